"""Two ways of doing the same, timed in turn in one process, and told as a ratio."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

ROUNDS = 3


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table of record: what was measured, ours and plain, and what was wanted of it.

    ratio: ours/plain, the median over rounds; smaller is better for seconds and bytes.
    """

    what: str
    ours: float
    plain: float
    ratio: float
    unit: str = "s"
    target: str = ""
    note: str = ""


def seconds(work: Callable[[], object]) -> float:
    """Wall seconds of one call."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def compare(
    what: str,
    ours: Callable[[], object],
    plain: Callable[[], object],
    *,
    target: str = "",
    note: str = "",
    rounds: int = ROUNDS,
) -> Row:
    """Time both in turn, `rounds` times: medians of seconds, and the median of the rounds' own ratios."""
    timed = [(seconds(ours), seconds(plain)) for _ in range(rounds)]
    mine, theirs = (statistics.median(column) for column in zip(*timed, strict=True))
    ratio = statistics.median(a / b for a, b in timed)
    return Row(what, mine, theirs, ratio, target=target, note=note)
