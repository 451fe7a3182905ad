"""The faults, and the schedule of a run: which, when and on whom, all drawn from one seed. Pure."""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from chaos.harms import Harm, Operation, can_harm


class Kind(StrEnum):
    """What is done. STORAGE is a burst of harmed requests; the others are done to processes, to Redis, to a queue."""

    KILL_WORKER = "kill worker"
    KILL_POOL_CHILD = "kill pool child"
    TERM_WORKER = "term worker"
    QUIT_WORKER = "quit worker"
    STALL_WORKER = "stall worker"  # beyond its lease
    KILL_REDIS = "kill redis"
    STALL_REDIS = "stall redis"
    FLUSH_REDIS = "flush redis"
    KILL_API = "kill api"
    KILL_RECONCILER = "kill reconciler"
    KILL_S3 = "kill s3"
    TWICE = "deliver twice"
    STORAGE = "storage"


# How often each kind lies in the deck that faults are dealt from.
_DECK: dict[Kind, int] = {
    Kind.KILL_WORKER: 4,
    Kind.KILL_POOL_CHILD: 2,
    Kind.TERM_WORKER: 1,
    Kind.QUIT_WORKER: 1,
    Kind.STALL_WORKER: 2,
    Kind.KILL_REDIS: 1,
    Kind.STALL_REDIS: 1,
    Kind.FLUSH_REDIS: 1,
    Kind.KILL_API: 1,
    Kind.KILL_RECONCILER: 1,
    Kind.KILL_S3: 1,
    Kind.TWICE: 1,
}
_OPERATIONS: tuple[Operation, ...] = ("GET", "GET", "PUT", "PUT", "HEAD", "LIST")
_LAST_SHARE = 0.9
T = TypeVar("T")


@dataclass(frozen=True)
class Fault:
    """One fault.

    share: of the work that is done when it comes, 0 to 1. pick: 0 to 1, which of those it may befall. seconds: how
    long it lasts, where it lasts. harm, operation, requests: of a burst on storage.
    """

    number: int
    kind: Kind
    share: float
    pick: float
    seconds: float
    harm: Harm | None = None
    operation: Operation | None = None
    requests: int = 0

    @property
    def name(self) -> str:
        """What the table calls it: `kill worker`, `PUT corrupt`."""
        return f"{self.operation} {self.harm}" if self.harm else str(self.kind)


def draw_schedule(seed: int, faults: int, kinds: Collection[Kind]) -> tuple[Fault, ...]:
    """`faults` faults of these kinds in the order of their time; the same for the same arguments.

    Half are dealt from a deck of faults on processes and half from one of harms to storage, so that a run of some
    length meets every kind. Without kinds of one half, all are of the other.
    """
    draw = random.Random(f"samesky-chaos-{seed}")
    deck = [kind for kind, count in _DECK.items() for _ in range(count) if kind in kinds]
    storage = 0 if Kind.STORAGE not in kinds else faults // 2 if deck else faults
    blows = _deal(deck, faults - storage, draw)
    harms = _deal(list(Harm), storage, draw)
    made: list[tuple[Kind, Harm | None]] = [(kind, None) for kind in blows]
    made += [(Kind.STORAGE, harm) for harm in harms]
    draw.shuffle(made)
    shares = sorted(draw.uniform(0, _LAST_SHARE) for _ in made)
    return tuple(
        _make(number, kind, harm, share, draw)
        for number, ((kind, harm), share) in enumerate(zip(made, shares, strict=True))
    )


def _deal(deck: Sequence[T], count: int, draw: random.Random) -> list[T]:
    """`count` cards, the deck shuffled anew whenever it is used up; none of an empty deck."""
    dealt: list[T] = []
    while deck and len(dealt) < count:
        dealt += draw.sample(deck, len(deck))
    return dealt[:count]


def _make(number: int, kind: Kind, harm: Harm | None, share: float, draw: random.Random) -> Fault:
    pick, seconds = draw.random(), draw.uniform(0.5, 2)
    if harm is None:
        return Fault(number, kind, share, pick, seconds)
    may = [operation for operation in _OPERATIONS if can_harm(harm, operation)]
    return Fault(number, kind, share, pick, seconds, harm, draw.choice(may), draw.randint(1, 6))
