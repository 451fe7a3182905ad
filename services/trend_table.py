"""A table of scores as CSV: text in, rungs out, or an error that names file, line and column.

Two kinds are read: one line per model, as published with arXiv 2509.19453, and the score table of the api. Lines that
begin with `#` are comments; columns that are not needed are not looked at.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

from pydantic import Field

from scorer.overviews.ladders import Side
from scorer.trends.rungs import KINDS, PairValue, name_simulated, place_rungs
from services.field_errors import InvalidFields, validate
from services.text_file import read_text
from shared.contract import Contract
from shared.contracts import PairKind
from shared.errors import BadTable, MissingColumn, UnknownName, one_line
from shared.requests import VECTOR_RECIPE
from shared.trends import Label, Parameters, Rung, Score

_MOST_KIB = 8 * 1024
_EXPECTED = "scores as CSV"
Line = TypeVar("Line", bound=Contract)


class _Published(Contract):
    """A line of the paper's table. Its metric is MKNN, whose k it does not say."""

    modality: Label
    family: Label
    size: Label
    params_millions: Parameters
    mknn_percent: float = Field(ge=0, le=100)


class _Scored(Contract):
    """A line of the api's score table, as far as it is needed.

    left_model: the size's name, which may be wanting. A crosskind pair needs all names of models and families.
    """

    dataset: Label
    simulated: bool = False
    kind: PairKind
    left_modality: Label
    right_modality: Label
    left_model: Label | None = None
    right_model: Label | None = None
    left_family: Label
    right_family: Label | None = None
    left_parameters: float = Field(ge=0, le=1e9)
    right_parameters: float = Field(ge=0, le=1e9)
    left_layer: Label = "final"
    right_layer: Label = "final"
    left_recipe: Label | None = None
    right_recipe: Label | None = None
    metric: Label
    k: int | None = Field(ge=1)
    value: Score

    @property
    def stands_on_a_ladder(self) -> bool:
        """Whether it is of a kind that does, and of final layers."""
        return self.kind in KINDS and self.left_layer == self.right_layer == "final"

    @property
    def is_told(self) -> bool:
        """Whether it says which model varies and which stays the same: of a crossmodal pair they are one."""
        return self.kind == "crossmodal" or None not in (self.left_model, self.right_model, self.right_family)

    @property
    def pair(self) -> PairValue:
        """What it says, as a study's record says it."""
        recipes = (self.left_recipe == VECTOR_RECIPE, self.right_recipe == VECTOR_RECIPE)
        left = Side(self.left_modality, self.left_family, self.left_model or "", self.left_parameters, recipes[0])
        others = (self.right_family or self.left_family, self.right_model or "", self.right_parameters, recipes[1])
        dataset = name_simulated(self.dataset, simulated=self.simulated)
        return PairValue(dataset, self.kind, left, Side(self.right_modality, *others), self.value)


class _Record(NamedTuple):
    """One record of a table, by column, and the line it stands on."""

    line: int
    cells: Mapping[str, str]


def read_trend_table(path: str | os.PathLike[str], metric: str, k: int | None = None) -> tuple[list[Rung], int | None]:
    """The rungs of a table's values of a metric, and the number of neighbours counted in them.

    Of a score table, kinds of pair and layers are those that `rungs_of` takes of a study.
    k: may be None where the table has one k only. Per cent become shares. Raises BadTable, naming line and column;
    MissingColumn; UnknownName for a metric that the table does not have.
    """
    file = Path(path)
    name = one_line(file.name)
    columns, records = _read(name, read_text(file, BadTable, _EXPECTED, _MOST_KIB))
    if {"mknn_percent", "params_millions"} & set(columns):
        return _published(name, _parse(name, _Published, columns, records), metric, k), None
    return _scored(name, _parse(name, _Scored, columns, records), metric, k)


def _published(name: str, lines: Sequence[tuple[int, _Published]], metric: str, k: int | None) -> list[Rung]:
    if metric != "mknn":
        raise _no_metric(name, metric, {"mknn"})
    if k is not None:
        raise BadTable(f"{name} does not say its k", "a column k", "leave --k out")
    found = [
        (
            number,
            Rung(
                group=line.modality,
                family=line.family,
                size=line.size,
                parameters=line.params_millions,
                value=line.mknn_percent / 100,
            ),
        )
        for number, line in lines
    ]
    return _each_once(name, found)


def _scored(
    name: str, lines: Sequence[tuple[int, _Scored]], metric: str, k: int | None
) -> tuple[list[Rung], int | None]:
    if metric not in {line.metric for _, line in lines}:
        raise _no_metric(name, metric, {line.metric for _, line in lines})
    chosen = [(number, line) for number, line in lines if line.metric == metric and line.stands_on_a_ladder]
    ks = {line.k for _, line in chosen}
    if k is None and len(ks) > 1:
        raise BadTable(f"{name} has {metric} at {_ks(ks)}", "one k", "choose it with --k")
    if not ks or k not in {None, *ks}:
        kinds = " or ".join(KINDS)
        asked = f"{kinds} {metric}{f' at k = {k}' if k else ''}"
        raise BadTable(f"{name} has no {asked}", _ks(ks) if ks else f"rows of kind {kinds}, and of final layers")
    at_k = [(number, line) for number, line in chosen if k in (None, line.k)]
    for number, line in at_k:
        if not line.is_told:
            raise BadTable(
                f"{name}:{number}: a crosskind pair, of which it is not said which models it is of",
                "left_model, right_model and right_family",
                "keep these columns of `samesky scores --format csv`",
            )
    placed = place_rungs([line.pair for _, line in at_k])
    found = [(at_k[index][0], rung) for index, rung in placed]
    return _each_once(name, found), k if k is not None else ks.pop()


def _each_once(name: str, found: Sequence[tuple[int, Rung]]) -> list[Rung]:
    """The rungs. Raises BadTable when a size stands twice on its ladder."""
    first: dict[tuple[str, str, str], int] = {}
    for number, rung in found:
        line = first.setdefault((rung.group, rung.family, rung.size), number)
        if line != number:
            raise BadTable(
                f"{name}:{number}: {rung.size} of {rung.family} in {rung.group} stands on line {line} too",
                "each size once",
                "keep the rows of one run",
            )
    return [rung for _, rung in found]


def _no_metric(name: str, metric: str, known: set[str]) -> UnknownName:
    return UnknownName(f"{name} has no metric {metric[:80]!r}", f"one of {', '.join(sorted(known)):.200}")


def _ks(ks: set[int | None]) -> str:
    return f"k = {' and '.join(str(k) for k in sorted(ks, key=lambda k: k or 0))}"


def _parse(name: str, kind: type[Line], columns: Sequence[str], records: Sequence[_Record]) -> list[tuple[int, Line]]:
    """Each record as a `kind`, with its line. An empty cell is null."""
    for column, field in kind.model_fields.items():
        if field.is_required() and column not in columns:
            raise MissingColumn(
                f"{name} has no column {column}",
                f"columns {', '.join(_Published.model_fields)}; or those of `samesky scores --format csv`",
            )
    wanted = [column for column in columns if column in kind.model_fields]
    lines = []
    for record in records:
        try:
            lines.append((record.line, validate(kind, {column: record.cells[column] or None for column in wanted})))
        except InvalidFields as error:
            raise error.as_error(BadTable, f"{name}:{record.line}: ") from error
    return lines


def _read(name: str, text: str) -> tuple[list[str], list[_Record]]:
    """The column names of a CSV text (RFC 4180), and its records."""
    rows = _rows(name, text)
    line, columns = next(rows, (0, []))
    if not columns:
        raise BadTable(f"{name} is empty", _EXPECTED)
    twice = [column for column in columns if columns.count(column) > 1]
    if twice:
        raise BadTable(f"{name}:{line}: the column {one_line(twice[0])[:80]!r} stands twice", "each column once")
    records = [_Record(number, dict(zip(columns, cells, strict=True))) for number, cells in rows]
    if not records:
        raise BadTable(f"{name} has column names, and nothing below them", _EXPECTED)
    return columns, records


def _rows(name: str, text: str) -> Iterator[tuple[int, list[str]]]:
    """Every row that is not a comment, as many cells as there are in the first, with its line."""
    kept = [
        (number, line)
        for number, line in enumerate(io.StringIO(text, newline=""), 1)
        if line.strip() and not line.startswith("#")
    ]
    reader, width = csv.reader((line for _, line in kept), strict=True), None
    try:
        for cells in reader:
            number = kept[reader.line_num - 1][0]
            width = width or len(cells)
            if len(cells) != width:
                raise BadTable(f"{name}:{number}: {len(cells)} values in {width} columns", "one for each column")
            yield number, cells
    except csv.Error as error:
        raise BadTable(f"{name}:{kept[reader.line_num - 1][0]}: {one_line(error)}", _EXPECTED) from error
