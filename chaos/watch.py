"""What the workers hold, seen from outside: the leases in Redis, looked at many times a second, with their history."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf
from typing import NamedTuple, Self, cast

from redis import Redis
from redis.exceptions import RedisError

_PREFIX = "samesky:lease:"
_LOOK_SECONDS = 0.05


class Spell(NamedTuple):
    """A lease as it was seen. value: `<fencing token> <host>:<pid of the worker>`. until: infinite while it is held."""

    began: float
    until: float
    value: str


@dataclass
class Holds:
    """Who held each step when: spells in order of time, by step."""

    spells: dict[str, list[Spell]] = field(default_factory=dict)

    def see(self, now: float, held: Mapping[str, str]) -> None:
        """Note what is held now: the lease's value by step."""
        for step, spells in self.spells.items():
            last = spells[-1]
            if last.until == inf and held.get(step) != last.value:
                spells[-1] = last._replace(until=now)
        for step, value in held.items():
            spells = self.spells.setdefault(step, [])
            if not spells or spells[-1].until != inf:
                spells.append(Spell(now, inf, value))

    def held_by(self, pid: int) -> list[str]:
        """The steps that the worker with this process id holds now."""
        return [
            step
            for step, spells in self.spells.items()
            if spells[-1].until == inf and spells[-1].value.endswith(f":{pid}")
        ]

    def taken_over(self, step: str, after: float) -> float | None:
        """When the step was first held by another lease than that of this moment; None if it never was."""
        spells = self.spells.get(step, [])
        before = {spell.value for spell in spells if spell.began <= after}
        return next((spell.began for spell in spells if spell.began > after and spell.value not in before), None)


class LeaseWatch:
    """Looks at the leases in a thread of its own; while Redis is away it sees nothing and notes nothing."""

    def __init__(self, redis_url: str) -> None:
        self.holds = Holds()
        self._redis = Redis.from_url(redis_url, decode_responses=True, socket_timeout=0.5, socket_connect_timeout=0.5)
        self._over, self._lock = threading.Event(), threading.Lock()
        self._thread = threading.Thread(target=self._watch, name="watch", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._redis.close()

    def held_by(self, pid: int) -> list[str]:
        """The steps that the worker with this process id held when last looked at."""
        with self._lock:
            return self.holds.held_by(pid)

    def _watch(self) -> None:
        while not self._over.wait(_LOOK_SECONDS):
            try:
                held = self._look()
            except RedisError:
                continue
            with self._lock:
                self.holds.see(time.time(), held)

    def _look(self) -> dict[str, str]:
        names = sorted(cast("list[str]", self._redis.keys(f"{_PREFIX}*")))
        values = cast("list[str | None]", self._redis.mget(names)) if names else []
        return {name.removeprefix(_PREFIX): value for name, value in zip(names, values, strict=True) if value}
