"""What the api tells about work under way: the same shapes on both sides of the wire."""

from __future__ import annotations

from shared.contract import Contract
from shared.outcomes import Failure, Transition
from shared.states import State


class JobProgress(Contract):
    """One job of a study. rate: rows per second while it runs; seconds_left: None when not known."""

    embedding: str
    label: str
    dataset: str
    modality: str
    model: str
    layer: str
    state: State
    rows: int
    rows_done: int
    rate: float | None = None
    seconds_left: float | None = None
    dropped: dict[str, int] = {}
    repaired: dict[str, int] = {}
    failure: Failure | None = None


class PairProgress(Contract):
    """One pair of a study. score: digest of the score wanted."""

    score: str
    label: str
    kind: str
    state: State
    failure: Failure | None = None


class JobDetail(Contract):
    """One job, and all that happened to it, oldest first."""

    job: JobProgress
    history: tuple[Transition, ...]


class PairDetail(Contract):
    """One pair, and all that happened to it, oldest first."""

    pair: PairProgress
    history: tuple[Transition, ...]


class Swept(Contract):
    """Keys of objects that nothing names any more. removed: whether they are gone, or were only looked for."""

    keys: tuple[str, ...]
    removed: bool


class StudyProgress(Contract):
    """A study as it stands. jobs, pairs: how many in each state; rows, rate: over all its jobs."""

    id: str
    title: str
    created_at: str
    state: State
    simulated: bool
    jobs: dict[State, int]
    pairs: dict[State, int]
    rows: int
    rows_done: int
    rate: float | None = None
    seconds_left: float | None = None
