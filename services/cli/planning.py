"""The command that says what a study would cost: plan."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from services.cli.output import complain, show
from services.cli.plan_tables import plan_lines
from services.cli.tables import reasons
from services.cli.watching import watch
from services.client import Client, read_request
from shared.contracts import Scoring
from shared.requests import StudyRequest

TRIAL_OBJECTS = 64


def plan(
    context: typer.Context,
    study: Annotated[Path, typer.Argument(metavar="STUDY.yaml", show_default=False, help="A study file.")],
    *,
    embedders: Annotated[
        int | None, typer.Option(min=1, help="Embedders there will be, if not those of `samesky up` on that machine.")
    ] = None,
    scorers: Annotated[int | None, typer.Option(min=1, help="Scorers there will be, if not one.")] = None,
    measure: Annotated[
        bool, typer.Option("--measure", help=f"First run each model on {TRIAL_OBJECTS} objects, and go by that.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Write the plan as JSON.")] = False,
) -> None:
    """Say what a study would cost before it runs: jobs, rows, seconds, bytes, core-hours. Nothing is begun."""
    request = read_request(study)
    with Client(context.obj) as client:
        found = client.plan(request, embedders=embedders, scorers=scorers)
        if measure and any(one.basis == "estimated" for one in found.passes):
            _try(client, request)
            found = client.plan(request, embedders=embedders, scorers=scorers)
    if as_json:
        typer.echo(found.model_dump_json(indent=1))
    else:
        show(Console(), *plan_lines(found))


def _try(client: Client, request: StudyRequest) -> None:
    """Run the trial to its end, so that its records are there to plan by. What failed in it stays an estimate."""
    console = Console(stderr=True)
    progress = client.submit(trial_of(request))
    show(console, f"trying each model on {TRIAL_OBJECTS} objects: study {progress.id}")
    if not progress.state.final:
        watch(client, progress.id, console)
    for reason in reasons(client.jobs(progress.id), ()):
        complain(reason)


def trial_of(request: StudyRequest) -> StudyRequest:
    """The same datasets and models on few objects, final layers only, scored as little as can be.

    It is a study like any other: it runs where the work will run, and its records are kept.
    """
    datasets = tuple(
        dataset.model_copy(update={"limit": min(dataset.limit or TRIAL_OBJECTS, TRIAL_OBJECTS)})
        for dataset in request.datasets
    )
    return request.model_copy(
        update={
            "title": f"Trial of {TRIAL_OBJECTS} objects: {request.title}"[:200],
            "datasets": datasets,
            "layers": ("final",),
            "pairs": tuple(policy for policy in request.pairs if policy != "probes") or request.pairs,
            "scoring": Scoring(permutations=99, slow_permutations=99, resamples=99, probes=("label-agreement",)),
        }
    )


COMMANDS = (plan,)
