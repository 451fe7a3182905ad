"""What can be done to a storage request, and the bursts in which it is done. Imports the standard library only."""

from __future__ import annotations

import random
import threading
from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

Operation = Literal["GET", "PUT", "HEAD", "LIST", "DELETE", "OTHER"]


class Harm(StrEnum):
    """What becomes of one request.

    ERROR_500, ERROR_503: answered so, and not passed on. SILENCE: not passed on, never answered; cut in the end.
    DELAY: passed on late. DRIBBLE: its body comes in small pieces. CUT: its body ends early and the connection is
    closed: a PUT's on the way to the server, any other's on the way back. CORRUPT: some bits of its body are
    flipped. LOST_ANSWER: the server does it, and the client never hears of it.
    """

    ERROR_500 = "error-500"
    ERROR_503 = "error-503"
    SILENCE = "silence"
    DELAY = "delay"
    DRIBBLE = "dribble"
    CUT = "cut"
    CORRUPT = "corrupt"
    LOST_ANSWER = "lost-answer"


# A list has no digest that could betray a flipped bit, with any client: that is what TLS is for. A HEAD has no body.
_OBJECTS: frozenset[Operation] = frozenset({"GET", "PUT"})
_BODIES: frozenset[Operation] = frozenset({"GET", "PUT", "LIST"})


def can_harm(harm: Harm, operation: Operation) -> bool:
    """Whether this harm makes sense to this operation."""
    return operation in {Harm.CORRUPT: _OBJECTS, Harm.DRIBBLE: _BODIES}.get(harm, {operation})


@dataclass
class Burst:
    """Harm to the next `requests` requests of these operations.

    seconds: how long a silence, a delay, or a body that dribbles lasts. containing: only of objects whose key
    contains this. hits: how many requests it has met.
    """

    harm: Harm
    operations: Collection[Operation]
    requests: int
    seconds: float = 1.0
    containing: str = ""
    hits: int = 0

    def meets(self, operation: Operation, key: str) -> bool:
        """Whether this request is one to harm."""
        wanted = operation in self.operations and self.containing in key
        return wanted and self.hits < self.requests and can_harm(self.harm, operation)


class Bursts:
    """The bursts that are going on. Safe for threads."""

    def __init__(self) -> None:
        self._bursts: list[Burst] = []
        self._lock = threading.Lock()

    def add(self, burst: Burst) -> None:
        """Let a burst begin."""
        with self._lock:
            self._bursts.append(burst)

    def end(self) -> None:
        """Let all bursts be over."""
        with self._lock:
            self._bursts.clear()

    def take(self, operation: Operation, key: str) -> Burst | None:
        """The burst that this request meets, if any, which has then one request less to harm."""
        with self._lock:
            for burst in self._bursts:
                if burst.meets(operation, key):
                    burst.hits += 1
                    return burst
        return None


@dataclass(frozen=True)
class Wound:
    """Where a body of known length is hurt: cut after `keep` bytes, or some bits flipped."""

    keep: int | None = None
    flips: tuple[tuple[int, int], ...] = ()

    def apply(self, start: int, data: bytes) -> bytes:
        """What is left of the piece of the body that starts at byte `start`."""
        if self.keep is not None:
            return data[: max(0, self.keep - start)]
        hurt = bytearray(data)
        for place, bit in self.flips:
            if start <= place < start + len(data):
                hurt[place - start] ^= 1 << bit
        return bytes(hurt)


def wound(harm: Harm | None, length: int, draw: random.Random) -> Wound:
    """The wound that `harm` gives a body of `length` bytes; none where it does not hurt bodies."""
    if not length or harm not in (Harm.CUT, Harm.CORRUPT):
        return Wound()
    if harm is Harm.CUT:
        return Wound(keep=draw.randrange(length))
    return Wound(flips=tuple((place, draw.randrange(8)) for place in draw.sample(range(length), min(3, length))))
