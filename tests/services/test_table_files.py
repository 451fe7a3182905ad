"""A table comes back from its files with its types, units, descriptions, nulls and meta."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Annotated, Any

import astropy.units
import pyarrow.parquet as pq
import pytest
from astropy.table import Table as AstropyTable
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from services.api.score_table import ScoreRow, StudyScoreRow
from services.tables.csv_file import to_csv
from services.tables.ecsv_file import to_ecsv
from services.tables.formats import FORMATS
from services.tables.latex_file import escape, to_latex
from services.tables.parquet_file import to_parquet
from services.tables.table import Table, columns_of
from shared.columns import MILLIONS, PROBABILITY, UNPRINTED


class Row(BaseModel):
    """A row with a column of every kind, and one that may be null of each."""

    digest: Annotated[str, UNPRINTED]
    model: str
    remark: str | None
    simulated: bool
    asked: bool | None
    objects: int
    k: int | None = Field(description="neighbours counted")
    parameters: Annotated[float, MILLIONS] = Field(description="of the model, in millions")
    value: float
    low: float | None
    p_value: Annotated[float | None, PROBABILITY]


META = {"study": "0123456789abcdef0123456789abcdef", "k": 10, "simulated": True, "metric_versions": {"mknn": 1}}
LETTERS = st.characters(exclude_categories=["C", "Z"], include_characters=" ")
TEXTS = st.text(LETTERS, min_size=1, max_size=12)
QUICK = settings(max_examples=40, deadline=None)  # a first file loads a library
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
ROWS = st.builds(
    Row,
    digest=st.text("0123456789abcdef", min_size=1, max_size=32),
    model=TEXTS,
    remark=st.none() | TEXTS,
    simulated=st.booleans(),
    asked=st.none() | st.booleans(),
    objects=st.integers(-(2**40), 2**40),
    k=st.none() | st.integers(0, 1000),
    parameters=FLOATS,
    value=FLOATS,
    low=st.none() | FLOATS,
    p_value=st.none() | st.floats(0, 1),
)


def tabulate(rows: list[Row], title: str = "Rows of a test.") -> Table:
    return Table.of(Row, rows, name="rows", title=title, meta=META)


def row(**changes: Any) -> Row:
    plain: dict[str, Any] = {
        "digest": "d",
        "model": "vit-base",
        "remark": None,
        "simulated": False,
        "asked": None,
        "objects": 512,
        "k": None,
        "parameters": 86.0,
        "value": 0.123456,
        "low": None,
        "p_value": None,
    }
    return Row(**{**plain, **changes})


def test_columns_say_what_their_model_says() -> None:
    columns = {column.name: column for column in columns_of(Row)}
    assert list(columns) == list(Row.model_fields)
    assert {name for name, column in columns.items() if column.nullable} == {"remark", "asked", "k", "low", "p_value"}
    parameters = columns["parameters"]
    assert (parameters.kind, parameters.unit, parameters.description) == (
        "number",
        "1e+06",
        "of the model, in millions",
    )
    assert not columns["digest"].printed
    assert Row.model_json_schema()["properties"]["parameters"]["x-unit"] == "1e+06"


def test_units_are_as_astropy_writes_them() -> None:
    for model in (Row, ScoreRow, StudyScoreRow):
        for column in columns_of(model):
            assert astropy.units.Unit(column.unit).to_string() == column.unit


@QUICK
@given(st.lists(ROWS, max_size=4))
def test_csv_has_every_row_with_all_its_digits(rows: list[Row]) -> None:
    read = list(csv.reader(io.StringIO(to_csv(tabulate(rows)).decode(), newline="")))
    assert read[0] == list(Row.model_fields)
    assert [[float(line[8]), line[1], line[2]] for line in read[1:]] == [
        [r.value, r.model, r.remark or ""] for r in rows
    ]


@QUICK
@given(st.lists(ROWS, max_size=4))
def test_parquet_comes_back_whole(rows: list[Row]) -> None:
    table = pq.read_table(io.BytesIO(to_parquet(tabulate(rows))))
    assert table.to_pylist() == [each.model_dump() for each in rows]
    field = table.schema.field("parameters")
    assert field.metadata == {b"unit": b"1e+06", b"description": b"of the model, in millions"}
    assert not field.nullable
    assert [str(table.schema.field(name).type) for name in ("model", "asked", "k", "low")] == [
        "string",
        "bool",
        "int64",
        "double",
    ]
    assert json.loads(table.schema.metadata[b"meta"]) == META
    assert table.schema.metadata[b"title"] == b"Rows of a test."


def on_one_line(cell: object) -> object:
    return (" ".join(cell.split()) or None) if isinstance(cell, str) else cell


@QUICK
@given(st.lists(ROWS, max_size=4))
def test_astropy_reads_ecsv_back_with_units_and_meta(rows: list[Row]) -> None:
    table = AstropyTable.read(to_ecsv(tabulate(rows)).decode(), format="ascii.ecsv")
    assert table.colnames == list(Row.model_fields)
    assert table["parameters"].unit == astropy.units.Unit(1e6)
    assert table["k"].description == "neighbours counted"
    assert dict(table.meta) == {"title": "Rows of a test.", **META}
    assert [table[name].dtype.kind for name in ("model", "asked", "k", "low")] == ["U", "b", "i", "f"]
    for name in Row.model_fields:
        cells = table[name].tolist()
        assert cells == [on_one_line(getattr(each, name)) for each in rows], name


def test_a_row_that_would_be_read_as_a_comment_is_not_written() -> None:
    with pytest.raises(ValueError, match="comment"):
        to_ecsv(tabulate([row(digest="#1")]))


def test_an_ecsv_without_a_row_keeps_its_columns() -> None:
    table = AstropyTable.read(to_ecsv(tabulate([])).decode(), format="ascii.ecsv")
    assert (len(table), table["value"].dtype.kind) == (0, "f")


# What TeX prints for each of our escapes, so that a text can be read back.
PRINTED = {
    r"\textbackslash{}": "\\",
    r"\textasciicircum{}": "^",
    r"\textasciitilde{}": "~",
    r"\textasciigrave{}": "`",
    r"\textbar{}": "|",
    r"\textless{}": "<",
    r"\textgreater{}": ">",
    **{rf"\{letter}": letter for letter in "{}$&#%_"},
}
ESCAPE = re.compile("|".join(map(re.escape, PRINTED)))


def printed(latex: str) -> str:
    """What TeX would print: escapes undone, then the braces that only part or hold together."""
    taken = ESCAPE.sub(lambda found: f"\x00{ord(PRINTED[found[0]]):06d}", latex)
    assert not re.search(r"[\\$&#%_^~`|<>]", taken), f"not escaped: {taken!r}"
    return re.sub("\x00([0-9]{6})", lambda found: chr(int(found[1])), re.sub(r"[{}]", "", taken))


@QUICK
@given(st.text(LETTERS, max_size=30))
def test_escaped_text_stands_for_itself(text: str) -> None:
    latex = escape(text)
    assert printed(latex) == " ".join(text.split())
    assert not re.search(r"--|''|,,|\?`|!`", latex), "TeX would join these"
    assert latex[:1] not in ("[", "*")


def test_nothing_in_a_title_is_a_command() -> None:
    latex = to_latex(tabulate([row()], title=r"\input{/etc/passwd} % $x$ {")).decode()
    assert r"\input" not in latex
    assert r"\textbackslash{}input\{/etc/passwd\} \% \$x\$ \{" in latex


def body_of(latex: str) -> list[list[str]]:
    """The cells between the rules of a tabular."""
    (found,) = re.findall(r"\\midrule\n(.*?)\\bottomrule", latex, re.DOTALL)
    lines = [line.removesuffix(r" \\") for line in found.strip().splitlines()]
    return [re.split(r"(?<!\\) & ", line) for line in lines]


def head_of(latex: str) -> list[str]:
    (found,) = re.findall(r"\\toprule\n(.*?) \\\\\n", latex)
    return found.split(" & ")


def test_latex_prints_what_readers_want_with_sensible_digits() -> None:
    rows = [
        row(digest="a", k=10, low=-0.0123456, p_value=1 / 1001, value=0.123456, parameters=4.7),
        row(digest="b", k=5, low=0.5, p_value=0.25, value=1234567.0, objects=-3, parameters=1136.0),
        row(digest="c", model="a_b&c", p_value=0.02, value=0.0, parameters=1e9),
    ]
    latex = to_latex(tabulate(rows, "Rows, 100 % of them.")).decode()
    assert head_of(latex) == ["model", "objects", "$k$", "parameters ($10^{6}$)", "value", "low", "$p$"]
    assert body_of(latex) == [
        ["vit-base", "512", "10", "4.7000", "0.1235", "$-0.0123$", r"$1.0\times10^{-3}$"],
        ["vit-base", "$-3$", "5", "1136", "1234567", "0.5000", "0.25"],
        [r"a\_b\&c", "512", "--", "1000000000", "0.0000", "--", "0.02"],
    ]
    assert r"\caption{Rows, 100 \% of them. All rows: simulated no.}" in latex
    assert r"\label{tab:rows-01234567}" in latex
    assert r"\begin{tabular}{lrrrrrr}" in latex


class Sides(BaseModel):
    """A row of two sides."""

    left_model: str
    right_model: str
    left_layer: str
    right_layer: str
    confidence: float
    chance: float
    bias: float
    value: float


def test_latex_says_once_what_is_the_same_on_both_sides_or_in_all_rows() -> None:
    sides = {"left_layer": "final", "right_layer": "final", "confidence": 0.95, "chance": 0.0, "bias": -1.5}
    rows = [
        Sides(left_model=model, right_model=model, value=value, **sides)
        for model, value in (("vit-base", 0.25), ("vit-large", 0.5))
    ]
    table = Table.of(Sides, rows, name="sides", title="Sides.", meta={})
    latex = to_latex(table).decode()
    assert head_of(latex) == ["model", "value"]
    assert r"\caption{Sides. All rows: layer final, confidence 0.95, chance 0, bias $-1.5$.}" in latex
    assert r"\label{tab:sides}" in latex
    rows[1] = rows[1].model_copy(update={"right_model": "vit-huge"})
    other = to_latex(Table.of(Sides, rows, name="sides", title="Sides.", meta={})).decode()
    assert head_of(other) == ["left model", "right model", "value"]


def test_latex_of_no_row_and_of_one_is_a_table_too() -> None:
    assert body_of(to_latex(tabulate([row()])).decode()) == [["vit-base", "no", "512", "86", "0.1235"]]
    empty = to_latex(tabulate([])).decode()
    assert len(head_of(empty)) == len(Row.model_fields) - 1
    assert empty.index(r"\midrule") < empty.index(r"\bottomrule")


@QUICK
@given(st.lists(ROWS, max_size=4))
def test_latex_is_balanced_whatever_stands_in_it(rows: list[Row]) -> None:
    latex = to_latex(tabulate(rows)).decode()
    for bare in (re.sub(r"\\[{}$&#%_]", "", latex),):
        assert bare.count("{") == bare.count("}")
        assert bare.count("$") % 2 == 0
    assert [latex.count(rf"\{end}{{{name}}}") for name in ("table", "tabular") for end in ("begin", "end")] == [1] * 4
    columns = len(head_of(latex))
    assert all(len(cells) == columns for cells in body_of(latex) if rows)
    assert re.search(rf"\\begin{{tabular}}{{[lr]{{{columns}}}}}", latex)


def test_latex_compiles(tmp_path: Path) -> None:
    compiler = shutil.which("pdflatex")
    if compiler is None:
        pytest.skip("no pdflatex here: the structure is tested above")
    table = to_latex(tabulate([row(model="a_b&c-%$#^~|<>*[x", p_value=1e-3), row(low=-1.5)]))
    document = rb"\documentclass{article}\usepackage{booktabs}\begin{document}" + table + rb"\end{document}"
    (tmp_path / "table.tex").write_bytes(document)
    done = subprocess.run(
        [compiler, "-interaction=nonstopmode", "-halt-on-error", "table.tex"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout[-2000:]


def test_each_format_has_a_media_type_of_its_own() -> None:
    assert len({form.media for form in FORMATS.values()}) == len(FORMATS) == 4
    for form in FORMATS.values():
        assert form.write(tabulate([row()]))
