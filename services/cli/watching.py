"""Watching a study to its end: a progress bar per job and one for the scores, from what the api tells."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn
from rich.text import Text

from services.cli.tables import summary
from services.client import Client
from shared.progress import JobProgress, StudyProgress
from shared.states import State

_MOST_BARS = 24


def watch(
    client: Client, study_id: str, console: Console, *, at_every_look: Callable[[], object] = lambda: None
) -> StudyProgress:
    """Show a study's progress until it is done or failed, and return how it ended.

    On a terminal, bars; elsewhere a line whenever another job or score has ended. What `at_every_look` raises ends it.
    """

    def follow(show: Callable[[StudyProgress], object]) -> StudyProgress:
        def look(now: StudyProgress) -> None:
            at_every_look()
            show(now)

        return client.wait(study_id, on_progress=look)

    if not console.is_terminal:
        return follow(_Lines(console))
    with Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=20),
        TextColumn("{task.completed:.0f}/{task.total:.0f}", justify="right"),
        _Pace(),
        console=console,
    ) as progress:
        bars = _Bars(progress)
        return follow(lambda now: bars.show(now, client.jobs(study_id)))


class _Lines:
    """Prints a line when something has ended since the last one."""

    def __init__(self, console: Console) -> None:
        self._console, self._ended = console, -1

    def __call__(self, study: StudyProgress) -> None:
        ended = sum(count for states in (study.jobs, study.pairs) for state, count in states.items() if state.final)
        if ended != self._ended and not study.state.final:
            self._console.print(summary(study), soft_wrap=True, highlight=False)
        self._ended = ended


class _Bars:
    """One bar per job, as many as fit, and one for the scores."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._jobs: dict[str, TaskID] = {}
        self._more = progress.add_task("", total=1, visible=False)
        self._scores = progress.add_task("scores", total=1, pace="")

    def show(self, study: StudyProgress, jobs: Sequence[JobProgress]) -> None:
        """Bring the bars up to date."""
        several = len({job.dataset for job in jobs}) > 1
        for job in jobs[:_MOST_BARS]:
            if job.embedding not in self._jobs:
                name = job.label if several else job.label.removeprefix(f"{job.dataset}/")
                self._jobs[job.embedding] = self._progress.add_task(name, total=job.rows)
            self._progress.update(self._jobs[job.embedding], completed=job.rows_done, pace=_pace(job))
        if len(jobs) > _MOST_BARS:
            rest = jobs[_MOST_BARS:]
            ended = sum(job.state.final for job in rest)
            self._progress.update(
                self._more, description=f"{len(rest)} more", total=len(rest), completed=ended, visible=True, pace=""
            )
        self._progress.update(self._scores, total=sum(study.pairs.values()), completed=study.pairs.get(State.DONE, 0))


class _Pace(ProgressColumn):
    """Rate and time left as the api tells them, not as this process saw them."""

    def render(self, task: Task) -> Text:
        """The text of one bar."""
        return Text(str(task.fields.get("pace", "")), style="dim")


def _pace(job: JobProgress) -> str:
    if job.state is not State.RUNNING:
        return str(job.state)
    rate = f"{job.rate:.0f}/s" if job.rate else ""
    return " ".join(part for part in (rate, _clock(job.seconds_left)) if part)


def _clock(seconds: float | None) -> str:
    if seconds is None:
        return ""
    form = "%H:%M:%S" if seconds >= 3600 else "%M:%S"
    return f"{time.strftime(form, time.gmtime(seconds))} left"
