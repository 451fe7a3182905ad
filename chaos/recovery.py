"""How soon work goes on after its worker was killed, and how much of it was done more than once. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from chaos.faults import Kind
from chaos.injector import Deed
from chaos.watch import Holds

KILLS = frozenset({Kind.KILL_WORKER, Kind.KILL_POOL_CHILD, Kind.QUIT_WORKER})


def seconds_to_restart(
    deeds: Iterable[Deed], holds: Holds, made: Mapping[str, Sequence[float]]
) -> dict[str, list[float]]:
    """For each step that a killed worker held: seconds until a worker holds it again, or stores its result, by kind.

    made: when results of each step were stored. A step whose result was stored before its worker died, and that
    nobody took up again, is not counted: there was nothing left to do.
    """
    found: dict[str, list[float]] = {}
    for deed in deeds:
        for step in deed.held if deed.fault.kind in KILLS else ():
            later = [moment for moment in made.get(step, ()) if moment > deed.at]
            held = holds.taken_over(step, deed.at)
            moments = [*later[:1], *([] if held is None else [held])]
            if moments:
                found.setdefault(str(deed.fault.kind), []).append(round(min(moments) - deed.at, 2))
    return found


def quantile(values: Sequence[float], share: float) -> float | None:
    """The smallest of the values that at least this share of them do not exceed; None of no values."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else None


def repeated(made: Mapping[str, Sequence[float]]) -> int:
    """How many times a result was stored that was stored before."""
    return sum(len(moments) - 1 for moments in made.values())
