"""The states of a job and of a pair, and how they sum to a study's."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum


class State(StrEnum):
    """`done` and `failed` are final, and are read from the object store; the others pass."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"

    @property
    def final(self) -> bool:
        """Whether nothing more will happen."""
        return self in (State.DONE, State.FAILED)


def summarise(states: Iterable[State]) -> State:
    """One state for many: failed only once nothing can still happen, done when all are."""
    seen = set(states)
    if seen <= {State.DONE}:
        return State.DONE
    if all(state.final for state in seen):
        return State.FAILED
    return State.QUEUED if seen == {State.QUEUED} else State.RUNNING
