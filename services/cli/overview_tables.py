"""A study's overviews for people, readable at 80 columns: score matrix, scaling curves, probes."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.table import Table

from scorer.overviews.ladders import LadderName, name_sides, tell_published
from services.cli.tables import (
    Row,
    add_row,
    fold_name,
    format_p,
    interval,
    name_dataset,
    name_model,
    number,
    plain_table,
)

_ASIDE = 2  # empty places beside a column
_CELL = 4 + _ASIDE  # `.123`, or `1e-3`
_LONGEST_LABEL = 24
_STATISTICS = {"value": "", "calibrated": "calibrated ", "p_value": "p of "}


def matrix_tables(matrix: Mapping[str, Any], width: int) -> Iterator[Table]:
    """The lower half of a score matrix, dataset by dataset, in blocks of as many columns as `width` has room for.

    Columns are headed by the numbers of the rows.
    """
    k = f", k = {matrix['k']}" if matrix["k"] else ""
    for dataset, group in itertools.groupby(enumerate(matrix["embeddings"]), key=lambda each: name_dataset(each[1])):
        members = list(group)
        longest = min(_LONGEST_LABEL, max(len(_label(one)) for _, one in members))
        room = width - len(str(len(members))) - longest - 2 * _ASIDE
        abreast, last = max(1, room // _CELL), max(1, len(members) - 1)
        heading = f"{dataset}: {_STATISTICS[matrix['statistic']]}{matrix['metric']}{k}"
        for start in range(0, last, abreast):
            yield _block(heading if start == 0 else None, matrix, members, range(start, min(start + abreast, last)))


def _block(heading: str | None, matrix: Mapping[str, Any], members: Sequence[tuple[int, Row]], columns: range) -> Table:
    """The rows from the first of these columns on, under the name of their modality."""
    table = plain_table(heading)
    table.add_column("", justify="right", no_wrap=True)
    table.add_column("", overflow="fold", max_width=_LONGEST_LABEL)
    for column in columns:
        table.add_column(str(column + 1), justify="right", no_wrap=True)
    modality = None
    for row, (place, embedding) in enumerate(members):
        if row < columns.start:
            continue
        if embedding["modality"] != modality:
            modality = embedding["modality"]
            add_row(table, "", f"{modality}:")
        cells = [_cell(matrix, place, members[column][0]) if column < row else "" for column in columns]
        add_row(table, str(row + 1), _label(embedding), *cells)
    return table


def _label(embedding: Row) -> str:
    """The model; the layer where it is not the final one."""
    return name_model(embedding["model"], embedding["layer"])


def _cell(matrix: Mapping[str, Any], row: int, column: int) -> str:
    cell: float | None = matrix["values"][row][column]
    if cell is None:
        return "-"
    if matrix["statistic"] == "p_value" and cell < 0.001:
        return f"{cell:.0e}".replace("e-0", "e-")
    return f"{cell:.3f}".replace("0.", ".", 1) if abs(cell) < 0.9995 else f"{cell:.2f}"


def heat_table(one: Mapping[str, Any]) -> Table:
    """A layer map: its left layers down, its right layers across, headed by their numbers where they have one."""
    table = plain_table(None)
    table.add_column("", no_wrap=True)
    for layer in one["right_layers"]:
        table.add_column(layer.removeprefix("block-"), justify="right", no_wrap=True)
    for layer, values in zip(one["left_layers"], one["values"], strict=True):
        add_row(table, layer, *("-" if value is None else f"{value:.3f}".replace("0.", ".", 1) for value in values))
    return table


def curve_tables(rows: Sequence[Row]) -> Iterator[Table]:
    """Scaling curves: a table for each dataset, kind, pair of modalities, metric and k; small to large.

    Of crosskind pairs, one for each model that stays the same.
    """
    for heading, group in itertools.groupby(sorted(rows, key=_panel), key=_curve_heading):
        members = list(group)
        table = plain_table(heading)
        table.add_column("model", overflow="fold")
        for name in ("M", "value", _interval_of(members[0]), "chance", "calib.", "q", "n"):
            table.add_column(name, justify="right", no_wrap=True)
        for row in members:
            smaller = f"{row['smaller_model']}|{shorten_after(row['smaller_model'], row['model'])}"
            add_row(
                table,
                smaller if row["smaller_model"] else row["model"],
                f"{row['parameters']:g}",
                f"{row['value']:.4f}",
                interval(row),
                number(row["chance"], ".4f"),
                number(row["calibrated"], ".4f"),
                format_p(row["q_value"]),
                str(row["objects"]),
            )
        yield table


def _panel(row: Row) -> tuple[Any, ...]:
    modalities = (row["left_modality"], row["right_modality"])
    how = (row["against"] or "", row["left_published"], row["right_published"])
    what = (row["dataset"], row["dataset_digest"], row["kind"], *modalities, *how, row["metric"], row["k"] or 0)
    return (*what, row["family"], row["parameters"], row["model"])


def _curve_heading(row: Row) -> str:
    return name_compared(row, f"{row['kind']} ") + f", {_measure(row)}"


def name_compared(row: Row, kind: str = "") -> str:
    """The dataset and what is compared in it, as `desi_hsc: hsc against desi by specformer-base`.

    kind: what is said before the modalities.
    """
    of = LadderName(**{name: row[name] for name in LadderName._fields})
    return f"{tell_published(name_dataset(row), of)}: {kind}{name_sides(of, between='|')}"


def probe_tables(rows: Sequence[Row]) -> Iterator[Table]:
    """Probes: a table for each dataset, label, metric and k."""
    for heading, group in itertools.groupby(rows, key=_probe_heading):
        members = list(group)
        table = plain_table(heading)
        for name in ("modality", "model"):
            table.add_column(name, overflow="fold")
        for name in ("value", "folds", _interval_of(members[0]), "chance", "p", "q", "n"):
            table.add_column(name, justify="right", no_wrap=True)
        for row in members:
            add_row(
                table,
                row["modality"],
                fold_name(_label(row)),
                f"{row['value']:.3f}",
                "" if row["folds_std"] is None else f"± {row['folds_std']:.3f}",
                interval(row),
                number(row["chance"], ".3f"),
                format_p(row["p_value"]),
                format_p(row["q_value"]),
                str(row["objects"]),
            )
        yield table


def _probe_heading(row: Row) -> str:
    classes = f" ({row['classes']} classes)" if row["classes"] else ""
    return f"{name_dataset(row)}: {row['label']}{classes} told by {_measure(row)}"


def _measure(row: Row) -> str:
    k = f", k = {row['k']}" if row["k"] else ""
    return f"{row['metric']}{k}"


def _interval_of(row: Row) -> str:
    return f"{100 * row['confidence']:g}% interval"


def shorten_after(smaller: str | None, larger: str) -> str:
    """The larger model's name without the beginning it shares with the smaller's, up to a dash."""
    return larger.removeprefix(f"{(smaller or '').rpartition('-')[0]}-")
