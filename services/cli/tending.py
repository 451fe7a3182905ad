"""Commands that tend studies and the store: cancel, retry, history, gc."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from services.cli.output import show
from services.cli.tables import history_table, summary
from services.client import Client
from shared.errors import UnknownName

StudyArgument = Annotated[str, typer.Argument(metavar="STUDY_ID", show_default=False)]


def cancel(context: typer.Context, study_id: StudyArgument) -> None:
    """Begin no more of a study's work. What runs ends with its part; what is done stays; `retry` takes it up again."""
    with Client(context.obj) as client:
        show(Console(), summary(client.cancel(study_id)))


def retry(context: typer.Context, study_id: StudyArgument) -> None:
    """Take up again what failed in a study, or was cancelled."""
    with Client(context.obj) as client:
        show(Console(), summary(client.retry(study_id)))


def history(
    context: typer.Context,
    study_id: StudyArgument,
    label: Annotated[str, typer.Argument(metavar="LABEL", help="Of a job or a pair, as `status` shows it.")],
) -> None:
    """Show all that happened to one job or pair of a study: every change of state, with time, worker and reason."""
    with Client(context.obj) as client:
        jobs = {job.label: job.embedding for job in client.jobs(study_id)}
        if label in jobs:
            found = client.job(study_id, jobs[label]).history
        else:
            pairs = {pair.label: pair.score for pair in client.pairs(study_id)}
            if label not in pairs:
                raise UnknownName.of("job or pair", label, jobs.keys() | pairs.keys())
            found = client.pair(study_id, pairs[label]).history
        show(Console(), history_table(found))


def gc(
    context: typer.Context,
    remove: Annotated[bool, typer.Option("--remove", help="Remove it, and do not only look.")] = False,
) -> None:
    """List what the object store holds that nothing names any more; with --remove, remove it."""
    with Client(context.obj) as client:
        keys = client.garbage(remove=remove)
        for key in keys:
            typer.echo(key)
        console = Console(stderr=True)
        if remove:
            show(console, f"{len(keys)} objects removed")
        else:
            show(console, f"{len(keys)} objects" + ("; remove them with: samesky gc --remove" if keys else ""))


COMMANDS = (cancel, retry, history, gc)
