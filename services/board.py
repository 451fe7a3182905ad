"""The board in Redis where work under way is written up: leases, starts, rows done, who wants what.

Nothing here is truth: Redis may be wiped at any moment, and the reconciler writes the board again from the
object store. All Redis keys are built in this file.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple, cast

from redis import Redis
from redis.backoff import ExponentialBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import LockError, RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.lock import Lock
from redis.retry import Retry

from shared.errors import BadSetting, BrokerUnavailable, LeaseLost
from shared.settings import Settings

_log = logging.getLogger(__name__)
_KEPT_SECONDS = 7 * 24 * 3600


class RowsDone(NamedTuple):
    """Rows done of one embedding, all parts together, and rows per second since this board first saw it move."""

    rows: int
    rate: float | None


class Lease:
    """The right to do one step, renewed by a thread until it ends. `check` says whether it still holds."""

    def __init__(self, lock: Lock, seconds: int) -> None:
        self._lock, self._seconds = lock, seconds
        self._over = threading.Event()
        self._lost = False
        self._thread = threading.Thread(target=self._renew, name="lease", daemon=True)
        self._thread.start()

    def _renew(self) -> None:
        while not self._over.wait(self._seconds / 3):
            try:
                self._lock.reacquire()
            except LockError:
                self._lost = True
                return
            except RedisError as error:  # Redis is away: it may come back before the lease ends
                _log.warning("lease not renewed: %s", error)

    def check(self) -> None:
        """Raise LeaseLost if another worker may hold the step now."""
        if self._lost:
            raise LeaseLost("the lease ran out while the work was done", "a worker that renews in time")

    def end(self) -> None:
        """Give the step back."""
        self._over.set()
        self._thread.join()
        try:
            self._lock.release()
        except (LockError, RedisError) as error:
            _log.info("lease not given back, it will run out: %s", error)


class Board:
    """Leases, starts, progress and wants, in one Redis."""

    def __init__(self, redis: Redis, *, lease_seconds: int) -> None:
        self._redis, self._lease_seconds = redis, lease_seconds

    @classmethod
    def open(cls, settings: Settings) -> Board:
        """The board of these settings. Nothing is sent yet. Raises BadSetting for a URL that cannot be one."""
        try:
            redis = Redis.from_url(
                settings.redis_url,
                decode_responses=True,
                socket_timeout=10,
                socket_connect_timeout=5,
                health_check_interval=15,
                retry=Retry(ExponentialBackoff(cap=1, base=0.1), 3),
            )
        except ValueError:  # neither shown nor chained: what it quotes of the URL may be a password
            raise BadSetting("SAMESKY_REDIS_URL is no Redis URL", "redis://HOST:PORT/NUMBER") from None
        return cls(redis, lease_seconds=settings.lease_seconds)

    def ping(self) -> None:
        """Raise BrokerUnavailable unless Redis answers."""
        with _named_errors():
            self._redis.ping()

    def queued(self, queue: str) -> list[str]:
        """Ids of the messages that wait in `queue`.

        Reads kombu's own list (kombu 5.7: JSON with `headers.id`; messages of priority 0 lie under the
        queue's name), so that what is queued is never remembered beside the queue and cannot disagree with it.
        """
        with _named_errors():
            messages = cast("list[str]", self._redis.lrange(queue, 0, -1))
        return [json.loads(message)["headers"]["id"] for message in messages]

    def running(self, steps: Iterable[str]) -> set[str]:
        """Those of `steps` that a live worker holds."""
        return self._present(_lease_key, steps)

    def _present(self, key: Callable[[str], str], steps: Iterable[str]) -> set[str]:
        names = list(steps)
        if not names:
            return set()
        with _named_errors():
            values = cast("list[str | None]", self._redis.mget([key(step) for step in names]))
        return {step for step, value in zip(names, values, strict=True) if value}

    def rest(self, step: str, seconds: int) -> None:
        """Let `step` rest before it is sent again."""
        with _named_errors():
            self._redis.set(_rest_key(step), "1", ex=seconds)

    def resting(self, steps: Iterable[str]) -> set[str]:
        """Those of `steps` that rest after an error."""
        return self._present(_rest_key, steps)

    @contextmanager
    def lease(self, step: str) -> Iterator[Lease | None]:
        """Hold `step` for the length of the block; None when another worker holds it."""
        lock = Lock(self._redis, _lease_key(step), timeout=self._lease_seconds, blocking=False, thread_local=False)
        with _named_errors():
            taken = lock.acquire()
        if not taken:
            yield None
            return
        lease = Lease(lock, self._lease_seconds)
        try:
            yield lease
        finally:
            lease.end()

    def count_start(self, step: str) -> int:
        """Count one more start of `step`; how many there were, this one included."""
        with _named_errors(), self._redis.pipeline() as pipe:
            pipe.incr(_starts_key(step))
            pipe.expire(_starts_key(step), _KEPT_SECONDS)
            return int(pipe.execute()[0])

    def forget_starts(self, steps: Iterable[str]) -> None:
        """Start counting at nought again, without rest."""
        names = [key(step) for step in steps for key in (_starts_key, _rest_key)]
        if names:
            with _named_errors():
                self._redis.delete(*names)

    def set_rows(self, embedding: str, rows_by_part: Mapping[int, int]) -> None:
        """Write up the rows done of some parts."""
        if not rows_by_part:
            return
        key, now = _rows_key(embedding), time.time()
        values: dict[Any, Any] = {str(part): rows for part, rows in rows_by_part.items()} | {"now": now}
        with _named_errors(), self._redis.pipeline() as pipe:
            pipe.hsetnx(key, "since", now)
            pipe.hsetnx(key, "before", 0)
            pipe.hset(key, mapping=values)
            pipe.expire(key, _KEPT_SECONDS)
            pipe.execute()

    def restore_rows(self, embedding: str, rows_by_part: Mapping[int, int]) -> None:
        """Write up parts that were whole before this board knew of them; they do not count for the rate."""
        key = _rows_key(embedding)
        with _named_errors():
            known = cast("dict[str, str]", self._redis.hgetall(key))
            fresh = {str(part): rows for part, rows in rows_by_part.items() if str(part) not in known}
            if fresh:
                with self._redis.pipeline() as pipe:
                    pipe.hincrby(key, "before", sum(fresh.values()))
                    pipe.hset(key, mapping=cast("dict[Any, Any]", fresh))
                    pipe.expire(key, _KEPT_SECONDS)
                    pipe.execute()

    def rows_done(self, embeddings: Iterable[str]) -> list[RowsDone]:
        """Rows done of each embedding, in order."""
        with _named_errors(), self._redis.pipeline(transaction=False) as pipe:
            for embedding in embeddings:
                pipe.hgetall(_rows_key(embedding))
            return [_rows_done(fields) for fields in pipe.execute()]

    def want(self, study_id: str, embeddings: Iterable[str]) -> None:
        """Note that a study wants these embeddings."""
        with _named_errors(), self._redis.pipeline(transaction=False) as pipe:
            for embedding in embeddings:
                pipe.sadd(_wanted_key(embedding), study_id)
                pipe.expire(_wanted_key(embedding), _KEPT_SECONDS)
            pipe.execute()

    def wanted_by(self, embedding: str) -> list[str]:
        """Ids of the studies that want an embedding, as far as the board knows."""
        with _named_errors():
            return sorted(cast("set[str]", self._redis.smembers(_wanted_key(embedding))))


def _rows_done(fields: Mapping[str, str]) -> RowsDone:
    rows = sum(int(value) for name, value in fields.items() if name.isdecimal())
    if "since" not in fields:
        return RowsDone(rows, None)
    seconds = float(fields["now"]) - float(fields["since"])
    moved = rows - int(fields.get("before", 0))
    return RowsDone(rows, moved / seconds if seconds > 0 and moved > 0 else None)


def _lease_key(step: str) -> str:
    return f"samesky:lease:{step}"


def _rest_key(step: str) -> str:
    return f"samesky:rest:{step}"


def _starts_key(step: str) -> str:
    return f"samesky:starts:{step}"


def _rows_key(embedding: str) -> str:
    return f"samesky:rows:{embedding}"


def _wanted_key(embedding: str) -> str:
    return f"samesky:wanted:{embedding}"


@contextmanager
def _named_errors() -> Iterator[None]:
    try:
        yield
    except (RedisConnectionError, RedisTimeoutError) as error:
        raise BrokerUnavailable(
            f"Redis does not answer ({type(error).__name__})",
            "a server at SAMESKY_REDIS_URL",
            "start it, then try again",
        ) from error
