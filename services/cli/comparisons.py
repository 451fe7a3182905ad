"""Commands that hold a study's scores against one another: differences, layers, links."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

import typer
from rich.table import Table

from services.cli.asking import StudyArgument
from services.cli.output import TableFormat
from services.cli.overview_tables import heat_table, name_compared, shorten_after
from services.cli.overviews import FormatOption, KOption, MetricOption, OutputOption, apart, given, show_overview
from services.cli.tables import Row, add_row, format_p, name_dataset, number, plain_table
from services.client import Client

_NO_STEP = "no two sizes of a family are scored yet, or the metric is no mean over objects"


def differences(
    context: typer.Context,
    study_id: StudyArgument = None,
    *,
    metric: MetricOption = None,
    k: KOption = None,
    form: FormatOption = TableFormat.TABLE,
    output: OutputOption = None,
) -> None:
    """Say whether larger models are really better, object by object, in a study (the newest, unless named)."""
    chosen = given(metric=metric, k=k)
    show_overview(
        context,
        study_id,
        "differences",
        ask=Client.differences,
        chosen=chosen,
        form=form,
        output=output,
        lay_out=lambda found, _: apart(_difference_tables(found), _NO_STEP),
    )


def layers(
    context: typer.Context,
    study_id: StudyArgument = None,
    *,
    metric: MetricOption = None,
    k: KOption = None,
    form: FormatOption = TableFormat.TABLE,
    output: OutputOption = None,
) -> None:
    """Show which layer of a model in one modality is alike to which in another, and what the best pair is worth."""
    chosen = given(metric=metric, k=k)
    show_overview(
        context,
        study_id,
        "layers",
        ask=Client.layers,
        chosen=chosen,
        form=form,
        output=output,
        lay_out=lambda found, _: list(_layer_maps(found)) or ["no model is compared in several layers yet"],
    )


def links(
    context: typer.Context,
    study_id: StudyArgument = None,
    *,
    metric: MetricOption = None,
    probe: Annotated[str | None, typer.Option(metavar="NAME", help="The probe.", show_default=False)] = None,
    k: KOption = None,
    form: FormatOption = TableFormat.TABLE,
    output: OutputOption = None,
) -> None:
    """Say whether models that agree more know more of a label, in a study (the newest, unless named)."""
    chosen = given(metric=metric, probe=probe, k=k)
    show_overview(
        context,
        study_id,
        "links",
        ask=Client.links,
        chosen=chosen,
        form=form,
        output=output,
        lay_out=lambda found, _: apart(_link_tables(found), "no model is both compared and probed yet"),
    )


def _difference_tables(rows: Sequence[Row]) -> Iterator[Table]:
    """A table for each dataset, pair of modalities, and model that sizes are held against: larger less smaller."""

    def heading(row: Row) -> str:
        k = f", k = {row['k']}" if row["k"] else ""
        return f"{name_compared(row)}, {row['metric']}{k}"

    for title, group in itertools.groupby(rows, key=heading):
        members = list(group)
        table = plain_table(title)
        table.add_column("step", overflow="fold")
        for name in ("difference", f"{100 * members[0]['confidence']:g}% interval", "p", "q", "n"):
            table.add_column(name, justify="right", no_wrap=True)
        for row in members:
            add_row(
                table,
                f"{row['smaller_model']}|{shorten_after(row['smaller_model'], row['larger_model'])}",
                f"{row['difference']:+.4f}",
                f"{row['low']:+.4f} to {row['high']:+.4f}",
                format_p(row["p_value"]),
                format_p(row["q_value"]),
                str(row["objects"]),
            )
        yield table


def _layer_maps(found: Sequence[Mapping[str, Any]]) -> Iterator[str | Table]:
    """Each map, and a sentence on its best pair."""
    for one in found:
        k = f", k = {one['k']}" if one["k"] else ""
        sides = f"{one['left_modality']} (rows)|{one['right_modality']} (columns)"
        yield f"{name_dataset(one)}: {one['model']}, {sides}, {one['metric']}{k}"
        yield heat_table(one)
        best = one["best"]
        if best:
            calibrated = "" if best["calibrated"] is None else f"calibrated {best['calibrated']:.4f}, "
            yield (
                f"best: {best['left_layer']}|{best['right_layer']} {best['value']:.4f}; unrelated layers at their best "
                f"stay below {best['threshold']:.4f}; {calibrated}p = {format_p(best['p_value'])}"
            )
        yield ""


def _link_tables(rows: Sequence[Row]) -> Iterator[Table]:
    """A table for each dataset and pair of modalities."""

    def heading(row: Row) -> str:
        return f"{name_dataset(row)}: {row['left_modality']}|{row['right_modality']} against what is told of a label"

    for title, group in itertools.groupby(rows, key=heading):
        table = plain_table(title)
        for name in ("label", "layers"):
            table.add_column(name, overflow="fold")
        for name in ("models", "Spearman", "p", "Kendall"):
            table.add_column(name, justify="right", no_wrap=True)
        table.add_column("note", overflow="fold")
        for row in group:
            add_row(
                table,
                row["label"],
                "|".join(dict.fromkeys((row["left_layer"], row["right_layer"]))),
                str(row["models"]),
                number(row["spearman"], "+.2f"),
                format_p(row["spearman_p"]),
                number(row["kendall"], "+.2f"),
                row["note"],
            )
        yield table


COMMANDS = (differences, layers, links)
