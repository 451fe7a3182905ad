"""What the queue costs beyond the work: `python -m benchmarks.queue_overhead`, about two minutes.

A whole installation of real processes, a fake engine, a store in a folder, a study of 10,011 pairs. What a step costs
is read from what it left behind: the time from its start to the start of its worker's next step, less the seconds that
its record gives to the work. So all else counts: messages, leases, commits, announcements, waiting for more to do, and
one processor for two workers. Compared are, for a step, the work itself; for accepting the study, accepting one of a
single pair; for scheduling it, Celery sending as many messages with nothing to decide; for an announcement, one in a
small study.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from benchmarks.queue_scheduling import measure_announcements, measure_scheduling
from benchmarks.ratios import Row
from benchmarks.wide_table import make_study, write_table
from services.client import Client
from services.local import running
from shared import keys
from shared.contracts import Study
from shared.embeddings import read_receipts
from shared.outcomes import ScoreRecord, Transition
from shared.records import read_record
from shared.settings import Settings
from shared.states import State
from shared.store import DirectoryStore

MODALITIES, ROWS, SCORES = 71, 32, 600
_WARM = 3  # the first steps of a worker load what the others have
_LOOK_SECONDS, _PATIENCE_SECONDS = 0.5, 120.0


class Step(NamedTuple):
    """One step that ended. began: Unix seconds. work: seconds that its record gives to the work."""

    worker: str
    began: float
    work: float


class Overheads(NamedTuple):
    """Seconds beyond the work, over many steps, and the median of the work."""

    steps: int
    median: float
    p95: float
    work: float

    @classmethod
    def of(cls, steps: Sequence[Step]) -> Overheads:
        """From the steps of any number of workers, each of which did some."""
        beyond: list[float] = []
        for worker in {step.worker for step in steps}:
            own = sorted(step for step in steps if step.worker == worker)[_WARM:]
            beyond += [following.began - step.began - step.work for step, following in pairwise(own)]
        highest = statistics.quantiles(beyond, n=20)[-1]
        return cls(len(beyond), statistics.median(beyond), highest, statistics.median(step.work for step in steps))


class Installation(NamedTuple):
    """Seconds until the api had accepted a study of one pair, and the huge one; what a step costs."""

    accepted_small: float
    accepted: float
    embed: Overheads
    score: Overheads


def measure_installation(folder: Path) -> Installation:
    """Submit the huge study, and let it run until 600 pairs are scored."""
    data = folder / "data"
    write_table(data, MODALITIES, ROWS + 8)
    with (
        running(Settings.read(), folder / "run", embedders=1, scorers=1, any_port=True) as stack,
        Client(stack.api_url) as client,
    ):
        single = {"models": ["fake-small"], "title": "one pair"}
        first, _ = _submit(client, make_study(data, 2, title="", limit=ROWS + 1) | single)
        client.wait(first, timeout=_PATIENCE_SECONDS)
        _, accepted_small = _submit(client, make_study(data, 2, title="", limit=ROWS + 2) | single)
        huge, accepted = _submit(client, make_study(data, MODALITIES, title="huge", limit=ROWS))
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while client.status(huge).pairs[State.DONE] < SCORES:
            if time.monotonic() > deadline:
                raise SystemExit(f"fewer than {SCORES} pairs were scored in {_PATIENCE_SECONDS:.0f} s")
            time.sleep(_LOOK_SECONDS)
    embed, score = _read_steps(DirectoryStore(folder / "run" / "store"), huge)
    return Installation(accepted_small, accepted, Overheads.of(embed), Overheads.of(score))


def _submit(client: Client, study: dict[str, object]) -> tuple[str, float]:
    began = time.perf_counter()
    return client.submit(study).id, time.perf_counter() - began


def _read_steps(store: DirectoryStore, study_id: str) -> tuple[list[Step], list[Step]]:
    study = read_record(store, keys.study(study_id), Study)
    if study is None:
        raise SystemExit(f"the study {study_id} is not in the store")
    parts = [part for spec in study.embeddings for part in read_receipts(store, spec).values()]
    records = [read_record(store, key, ScoreRecord) for key in store.keys(keys.SCORES) if keys.is_score(key)]
    embed = [Step(part.worker, _last_start(part.history), part.seconds) for part in parts]
    score = [
        Step(record.provenance.worker, _last_start(record.history), record.provenance.seconds)
        for record in records
        if record
    ]
    return embed, score


def _last_start(history: Sequence[Transition]) -> float:
    starts = [told.at for told in history if told.state is State.RUNNING]
    return datetime.fromisoformat(starts[-1]).timestamp()


def rows() -> list[Row]:
    """Measure all of it, for the table of record."""
    with tempfile.TemporaryDirectory(prefix="samesky-queue-") as folder:
        run = measure_installation(Path(folder))
    scheduling, announcements = measure_scheduling(), measure_announcements()
    small, large = announcements[0], announcements[-1]
    found = [
        _row(f"{kind} step beyond its work, {name}", value, step.work, "50 ms", f"{step.steps} steps; plain: its work")
        for kind, step in (("embed", run.embed), ("score", run.score))
        for name, value in (("median", step.median), ("p95", step.p95))
    ]
    found += [
        _row("10,011 pairs accepted", run.accepted, run.accepted_small, "2 s", "plain: a study of one pair"),
        _row(
            "10,011 pairs scheduled, all looks together",
            scheduling.seconds,
            scheduling.plain,
            "10 s",
            f"{scheduling.looks} looks; plain: Celery sends as many",
        ),
    ]
    found += [_row(f"a look with {state}", seconds, scheduling.plain) for state, seconds in scheduling.states.items()]
    note = f"{large.store_calls} store calls and {large.commands} Redis commands for {large.pairs} pairs; " + (
        f"plain: {small.store_calls} and {small.commands} for {small.pairs}"
    )
    found.append(_row("an announcement, for each pair", large.per_pair, small.per_pair, "as plain", note))
    return found


def _row(what: str, ours: float, plain: float, target: str = "", note: str = "") -> Row:
    return Row(what, ours, plain, ours / plain, target=target, note=note)


def main() -> None:
    """Measure and print."""
    table = Table("what", "ms", "plain, ms", "ratio", "target", "note")
    for row in rows():
        numbers = f"{1e3 * row.ours:.1f}", f"{1e3 * row.plain:.1f}", f"{row.ratio:.3g}"
        table.add_row(row.what, *numbers, row.target, row.note)
    Console(width=160).print(table)


if __name__ == "__main__":
    main()
