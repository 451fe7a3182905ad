"""The states of a job and of a pair, how they sum to a study's, and the record of a change of state."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import NamedTuple


class State(StrEnum):
    """`done`, `failed` and `cancelled` are final, and are read from the object store; the others pass."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def final(self) -> bool:
        """Whether nothing more will happen."""
        return self in (State.DONE, State.FAILED, State.CANCELLED)


def summarise(states: Iterable[State]) -> State:
    """One state for many: done when all are; failed, or else cancelled, once nothing can still happen."""
    seen = set(states)
    if all(state.final for state in seen):
        return next((state for state in (State.FAILED, State.CANCELLED) if state in seen), State.DONE)
    return State.QUEUED if seen == {State.QUEUED} else State.RUNNING


def count(states: Iterable[State]) -> dict[State, int]:
    """How many are in each state, those with none included."""
    counted = Counter(states)
    return {state: counted[state] for state in State}


class StateCounts(NamedTuple):
    """Jobs, pairs and studies by state, each once; rows that running jobs embed in a second, all together."""

    jobs: Mapping[State, int]
    pairs: Mapping[State, int]
    studies: Mapping[State, int]
    rows_per_second: float
