"""Commands that ask the api: submit, status, scores, studies, models, datasets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from services.cli.output import ListFormat, TableFormat, complain, deliver_table, show, show_list
from services.cli.tables import dataset_table, job_table, model_table, reasons, score_table, study_table, summary
from services.cli.watching import watch
from services.client import Client
from shared.errors import BadStudy, ObjectMissing, Retryable
from shared.progress import StudyProgress
from shared.states import State

FormatOption = Annotated[ListFormat, typer.Option("--format", help="How to write the list.")]
WatchOption = Annotated[bool, typer.Option("--watch", help="Follow it to its end, a progress bar per job.")]
StudyArgument = Annotated[str | None, typer.Argument(metavar="STUDY_ID", show_default=False)]


def submit(
    context: typer.Context,
    study: Annotated[
        Path | None, typer.Argument(metavar="STUDY.yaml", show_default=False, help="A study file.")
    ] = None,
    *,
    dataset: Annotated[list[str] | None, typer.Option(metavar="NAME", help="A dataset; may be repeated.")] = None,
    model: Annotated[list[str] | None, typer.Option(metavar="NAME", help="A model; may be repeated.")] = None,
    layer: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="final, a block such as block-03, or all; may be repeated.")
    ] = None,
    dtype: Annotated[str | None, typer.Option(help="What networks compute in: float32, bfloat16 or float16.")] = None,
    pairs: Annotated[
        list[str] | None,
        typer.Option(metavar="POLICY", help="crossmodal, intramodal, crosskind, all or probes; may be repeated."),
    ] = None,
    limit: Annotated[int | None, typer.Option(help="Take the first LIMIT objects only.")] = None,
    k: Annotated[list[int] | None, typer.Option(help="Neighbours counted; may be repeated.")] = None,
    title: Annotated[str | None, typer.Option(help="What the study is called.")] = None,
    follow: WatchOption = False,
) -> None:
    """Ask for a study: from a file, or by --dataset and --model."""
    options = _study_of(
        dataset or (), limit, models=model, layers=layer, dtype=dtype, pairs=pairs, scoring=k and {"k": k}, title=title
    )
    if study is not None and limit is not None:
        raise BadStudy("--limit beside a study file", "`limit` in the file", "write it there, for each dataset")
    if (study is None) == (not options):
        raise BadStudy("give a study file, or --dataset and --model", "one of the two")
    with Client(context.obj) as client:
        progress = client.submit(options if study is None else study)
        console = Console()
        show(console, summary(progress))
        if follow:
            end(client, watch(client, progress.id, console), console)
        elif not progress.state.final:
            show(console, f"follow it with: samesky status {progress.id} --watch")


def _study_of(datasets: Sequence[str], limit: int | None, **fields: Any) -> dict[str, Any]:
    taken = [{"name": name} if limit is None else {"name": name, "limit": limit} for name in datasets]
    return {name: value for name, value in {"datasets": taken, **fields}.items() if value}


def status(context: typer.Context, study_id: StudyArgument = None, follow: WatchOption = False) -> None:
    """Show how far a study is; the newest, unless named. Exit status 1 when something in it failed."""
    console = Console()
    with Client(context.obj) as client:
        progress = client.status(study_id) if study_id else newest(client)
        if follow and not progress.state.final:
            progress = watch(client, progress.id, console)
        else:
            show(console, job_table(client.jobs(progress.id)))
        end(client, progress, console)


def newest(client: Client) -> StudyProgress:
    """The newest study. Raises ObjectMissing."""
    found = client.studies(1)
    if not found:
        raise ObjectMissing("there is no study yet", "", "submit one with `samesky submit STUDY.yaml`")
    return found[0]


def end(client: Client, progress: StudyProgress, console: Console) -> None:
    """Say where the study is; with reasons and exit status 1 if something failed."""
    show(console, summary(progress))
    if progress.jobs.get(State.FAILED) or progress.pairs.get(State.FAILED):
        for reason in reasons(client.jobs(progress.id), client.pairs(progress.id)):
            complain(reason)
        raise typer.Exit(1)
    if progress.state is State.DONE:
        show(console, f"see its scores with: samesky scores {progress.id}")
    elif not progress.state.final:
        _say_absent(client)


def _say_absent(client: Client) -> None:
    """Say who is not there to do the work: it then waits, and waiting looks like working."""
    try:
        absent = client.absent()
    except Retryable as error:  # the study's state was told all the same
        complain(error)
        return
    if absent:
        complain(f"its work waits: no process is alive of {', '.join(absent)}; start what is missing, or see its log")


def scores(
    context: typer.Context,
    study_id: StudyArgument = None,
    form: Annotated[TableFormat, typer.Option("--format", help="How to write the scores.")] = TableFormat.TABLE,
    output: Annotated[Path | None, typer.Option(help="Write to this file.")] = None,
) -> None:
    """Show the scores of a study; every score there is, unless one is named."""
    with Client(context.obj) as client:
        deliver_table(
            form,
            output,
            make_file=lambda file: client.score_table(file, study_id),
            ask=lambda: client.scores(study_id),
            lay_out=lambda rows, width: [score_table(rows, width)],
        )


def studies(context: typer.Context, form: FormatOption = ListFormat.TABLE) -> None:
    """List the studies, newest first."""
    with Client(context.obj) as client:
        found = client.studies()
        rows = [study.model_dump(mode="json") for study in found]
        show_list(rows, form, lambda _: study_table(found))


def models(context: typer.Context, form: FormatOption = ListFormat.TABLE) -> None:
    """List the models to choose from."""
    with Client(context.obj) as client:
        show_list(client.models(), form, model_table)


def datasets(context: typer.Context, form: FormatOption = ListFormat.TABLE) -> None:
    """List the datasets to choose from."""
    with Client(context.obj) as client:
        show_list(client.datasets(), form, dataset_table)


COMMANDS = (submit, status, scores, studies, models, datasets)
