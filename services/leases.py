"""Leases in Redis: one live worker for each step, renewed while it works, with a fencing token.

A token is a number that only grows, also over a wiped Redis, since it starts from the server's clock. A lease that
ran out, or was wiped, is taken up again by its own holder as long as nobody came after it; once somebody did, the
former holder is fenced out: it cannot renew, and `check` refuses what it would commit.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import copy_context
from typing import cast

from redis import Redis
from redis.exceptions import RedisError

from services.redis_errors import named_errors
from shared.errors import BrokerUnavailable, LeaseLost

_log = logging.getLogger(__name__)
_KEPT_MS = 7 * 24 * 3600 * 1000
_PAUSE_SECONDS = 0.5

# KEYS: the lease, the last token given for it. ARGV: milliseconds, holder, milliseconds the last token is kept.
_TAKE = """
if redis.call('EXISTS', KEYS[1]) == 1 then return false end
local clock = redis.call('TIME')
local token = math.max(tonumber(redis.call('GET', KEYS[2]) or '0') + 1, clock[1] * 1000000 + clock[2])
local text = string.format('%.0f', token)
redis.call('SET', KEYS[1], text .. ' ' .. ARGV[2], 'PX', ARGV[1])
redis.call('SET', KEYS[2], text, 'PX', ARGV[3])
return text
"""
# KEYS as above. ARGV: milliseconds, holder, milliseconds kept, token. 1: it holds; 0: somebody came after.
_HOLD = """
local held = redis.call('GET', KEYS[1])
if held and held ~= ARGV[4] .. ' ' .. ARGV[2] then return 0 end
if tonumber(redis.call('GET', KEYS[2]) or '0') > tonumber(ARGV[4]) then return 0 end
redis.call('SET', KEYS[1], ARGV[4] .. ' ' .. ARGV[2], 'PX', ARGV[1])
redis.call('SET', KEYS[2], ARGV[4], 'PX', ARGV[3])
return 1
"""
# KEYS: the lease. ARGV: how its value ends, the empty token for any.
_END = """
local held = redis.call('GET', KEYS[1])
if held and string.sub(held, -string.len(ARGV[1])) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
"""


class Lease:
    """The right to do one step. A thread renews it, and whatever `renew_also` renews, until it ends."""

    def __init__(self, leases: Leases, step: str, token: int, holder: str, renew_also: Callable[[], None]) -> None:
        self.token = token
        self._leases, self._step, self._holder, self._renew_also = leases, step, holder, renew_also
        self._over, self._lost = threading.Event(), False
        self._thread = threading.Thread(target=copy_context().run, args=(self._renew,), name="lease", daemon=True)
        self._thread.start()

    def _renew(self) -> None:
        while not self._over.wait(self._leases.seconds / 3):
            try:
                if not self._leases.hold(self._step, self.token, self._holder):
                    self._lost = True
                    return
                self._renew_also()
            except (BrokerUnavailable, RedisError) as error:  # Redis is away: when it is back, nobody may have come
                _log.warning("lease not renewed: %s", error)

    def check(self) -> None:
        """Return if the lease holds at this moment. Raises LeaseLost if another worker has, or had, the step since.

        While Redis is away nobody can tell: it is waited for. Raises BrokerUnavailable when it stays away.
        """
        deadline = time.monotonic() + self._leases.patience
        while not self._lost:
            try:
                self._lost = not self._leases.hold(self._step, self.token, self._holder)
                break
            except BrokerUnavailable:
                if time.monotonic() > deadline:
                    raise
                time.sleep(_PAUSE_SECONDS)
        if self._lost:
            raise LeaseLost(
                "another worker took the step over while this one was silent", "a worker that renews in time"
            )

    def end(self) -> None:
        """Give the step back."""
        self._over.set()
        self._thread.join()
        try:
            self._leases.end(self._step, f"{self.token} {self._holder}")
        except BrokerUnavailable as error:
            _log.info("lease not given back, it will run out: %s", error)


class Leases:
    """All leases of one Redis. seconds: how long a silent holder keeps one. patience: seconds Redis is waited for."""

    def __init__(self, redis: Redis, *, seconds: float, patience: float) -> None:
        self.seconds, self.patience = seconds, patience
        self._take, self._hold, self._end = (redis.register_script(script) for script in (_TAKE, _HOLD, _END))

    @contextmanager
    def lease(self, step: str, holder: str, renew_also: Callable[[], None] = lambda: None) -> Iterator[Lease | None]:
        """Hold `step` for the length of the block; None when another worker holds it."""
        with named_errors():
            token = cast("str | None", self._take(keys=_keys(step), args=[self._ms(), holder, _KEPT_MS]))
        if token is None:
            yield None
            return
        lease = Lease(self, step, int(token), holder, renew_also)
        try:
            yield lease
        finally:
            lease.end()

    def hold(self, step: str, token: int, holder: str) -> bool:
        """Renew the lease, or take it up again where nobody came after; False when somebody did."""
        with named_errors():
            return bool(self._hold(keys=_keys(step), args=[self._ms(), holder, _KEPT_MS, token]))

    def end(self, step: str, ending: str) -> bool:
        """End the lease on `step` if its value, `<token> <holder>`, ends so; whether it did."""
        with named_errors():
            return bool(self._end(keys=[lease_key(step)], args=[ending]))

    def _ms(self) -> int:
        return int(self.seconds * 1000)


def token_time(token: int) -> float:
    """When a token was given, by the server's clock, in Unix seconds; later ones of one step may be a little ahead."""
    return token / 1e6


def manifest_step_id(embedding: str) -> str:
    """The step that declares the embedding with this digest whole: one writer at a time, and none while it is swept."""
    return f"{embedding}:manifest"


def lease_key(step: str) -> str:
    """The Redis key that is there while a live worker holds `step`."""
    return f"samesky:lease:{step}"


def _keys(step: str) -> list[str]:
    return [lease_key(step), f"samesky:token:{step}"]
