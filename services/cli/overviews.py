"""Commands that lay a study's scores out: matrix, curves, probes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from services.cli.asking import StudyArgument, newest
from services.cli.output import TableFormat, deliver_table
from services.cli.overview_tables import curve_tables, matrix_tables, probe_tables
from services.client import Client, TableName

MetricOption = Annotated[str | None, typer.Option(metavar="NAME", help="The metric.", show_default=False)]
KOption = Annotated[int | None, typer.Option(min=1, max=1000, help="Neighbours counted.", show_default=False)]
FormatOption = Annotated[TableFormat, typer.Option("--format", help="How to write the table.")]
OutputOption = Annotated[Path | None, typer.Option(help="Write to this file.")]


class StatisticName(StrEnum):
    """What a matrix shows of each result."""

    VALUE = "value"
    CALIBRATED = "calibrated"
    P_VALUE = "p_value"


def matrix(
    context: typer.Context,
    study_id: StudyArgument = None,
    *,
    metric: MetricOption = None,
    k: KOption = None,
    statistic: Annotated[StatisticName, typer.Option(help="What to show of each pair.")] = StatisticName.VALUE,
    form: FormatOption = TableFormat.TABLE,
    output: OutputOption = None,
) -> None:
    """Show every two embeddings of a study (the newest, unless named). The study's first metric and k, unless given."""
    chosen = given(metric=metric, k=k, statistic=statistic.value)
    show_overview(
        context,
        study_id,
        "matrix",
        ask=Client.matrix,
        chosen=chosen,
        form=form,
        output=output,
        lay_out=lambda found, width: apart(matrix_tables(found, width), "no embedding to compare"),
    )


def curves(
    context: typer.Context,
    study_id: StudyArgument = None,
    *,
    metric: MetricOption = None,
    k: KOption = None,
    form: FormatOption = TableFormat.TABLE,
    output: OutputOption = None,
) -> None:
    """Show scores against model size, in a study (the newest, unless named). All metrics and k, unless given."""
    chosen = given(metric=metric, k=k)
    show_overview(
        context,
        study_id,
        "curves",
        ask=Client.curves,
        chosen=chosen,
        form=form,
        output=output,
        lay_out=lambda found, _: apart(curve_tables(found), "no score that stands against model size yet"),
    )


def probes(
    context: typer.Context,
    study_id: StudyArgument = None,
    *,
    form: FormatOption = TableFormat.TABLE,
    output: OutputOption = None,
) -> None:
    """Show what each embedding of a study (the newest, unless named) tells of each label."""
    show_overview(
        context,
        study_id,
        "probes",
        ask=Client.probes,
        chosen={},
        form=form,
        output=output,
        lay_out=lambda found, _: apart(probe_tables(found), "no probe yet"),
    )


def show_overview(
    context: typer.Context,
    study_id: str | None,
    name: TableName,
    *,
    ask: Callable[..., Any],
    chosen: Mapping[str, str],
    form: TableFormat,
    output: Path | None,
    lay_out: Callable[[Any, int], Iterable[str | Table]],
) -> None:
    """One of a study's tables, of the newest study unless one is named, as the user wants it.

    ask: the client's method that gives it as plain data. chosen: what of it. lay_out: as `deliver_table` has it.
    """
    with Client(context.obj) as client:
        study = study_id or newest(client).id
        deliver_table(
            form,
            output,
            make_file=lambda file: client.table(study, name, file, **chosen),
            ask=lambda: ask(client, study, **chosen),
            lay_out=lay_out,
        )


def given(**options: str | int | None) -> dict[str, str]:
    """What of a command's options was given, as the api takes it."""
    return {name: str(value) for name, value in options.items() if value is not None}


def apart(tables: Iterable[Table], otherwise: str) -> list[str | Table]:
    """The tables, with an empty line between; or, where there is none, why."""
    return [thing for table in tables for thing in ("", table)][1:] or [otherwise]


COMMANDS = (matrix, curves, probes)
