"""The command that says how a metric changes with model size: trend."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from services.cli.asking import StudyArgument, newest
from services.cli.output import show
from services.cli.trend_tables import in_words, notes, trend_tables
from services.client import Client
from shared.errors import BadInput
from shared.trends import Trend


def trend(
    context: typer.Context,
    study_id: StudyArgument = None,
    *,
    csv: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A table of scores, instead of a study's.", show_default=False)
    ] = None,
    metric: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="The metric; the study's first, or of a table mknn, unless given.", show_default=False
        ),
    ] = None,
    k: Annotated[
        int | None, typer.Option(min=1, max=1000, help="Neighbours counted; the study's first, unless given.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write everything, as JSON.")] = False,
) -> None:
    """Say whether larger models score higher, in a study (the newest, unless named) or in a CSV file."""
    if study_id is not None and csv is not None:
        raise BadInput("give a study or a table of scores", "one of the two")
    found = _of_study(context, study_id, metric, k) if csv is None else _of_table(csv, metric or "mknn", k)
    if as_json:
        typer.echo(found.model_dump_json(indent=1))
        return
    console = Console()
    show(console, in_words(found))
    for table in trend_tables(found):
        show(console, "", table)
    show(console, "", *notes(found))


def _of_study(context: typer.Context, study_id: str | None, metric: str | None, k: int | None) -> Trend:
    with Client(context.obj) as client:
        return client.trend(newest(client).id if study_id is None else study_id, metric, k)


def _of_table(file: Path, metric: str, k: int | None) -> Trend:
    from scorer.trends import measure_trend  # numpy and scipy are slow to load, and no other command needs them
    from services.trend_table import read_trend_table

    rungs, k = read_trend_table(file, metric, k)
    return measure_trend(rungs, metric=metric, k=k)


COMMANDS = (trend,)
