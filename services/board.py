"""The board in Redis where work under way is written up: leases, starts, rows done, who wants what.

Nothing here is truth: Redis may be wiped at any moment, and the reconciler writes the board again from the
object store. All Redis keys are built in this file.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, cast

from redis import Redis
from redis.client import Pipeline

from services.broker import PRIORITIES, Delivery, queue_lists
from services.connection import connect, connect_briefly
from services.leases import Leases, lease_key
from services.redis_errors import named_errors
from shared.outcomes import Transition
from shared.settings import Settings

_KEPT_SECONDS = 7 * 24 * 3600
_ANSWER_SECONDS = 10
_LONGEST_HISTORY = 100
_NUDGE = "samesky:nudge"
_EPOCH = "samesky:epoch"
_CANCELLED = "samesky:cancelled"


class RowsDone(NamedTuple):
    """Rows done of one embedding, all parts together, and rows per second since this board first saw it move."""

    rows: int
    rate: float | None


class Waiting(NamedTuple):
    """A message that waits in a queue. place: the Redis list it lies in. raw: as Celery wrote it."""

    place: str
    priority: int
    raw: str


class Board:
    """Leases, starts, progress and wants, in one Redis."""

    def __init__(self, redis: Redis, *, lease_seconds: float, patience: float = 60) -> None:
        self._redis = redis
        self.leases = Leases(redis, seconds=lease_seconds, patience=patience)

    @classmethod
    def open(cls, settings: Settings, *, briefly: bool = False) -> Board:
        """The board of these settings. Nothing is sent yet. briefly: keep nobody waiting for a silent Redis.

        Raises BadSetting for a URL that cannot be one.
        """
        redis = connect_briefly(settings) if briefly else connect(settings, seconds=_ANSWER_SECONDS, retries=3)
        return cls(redis, lease_seconds=settings.lease_seconds, patience=settings.wait_seconds)

    def ping(self) -> None:
        """Raise BrokerUnavailable unless Redis answers."""
        with named_errors():
            self._redis.ping()

    def queued(self, queue: str) -> list[str]:
        """Ids of the messages that wait in `queue`.

        Reads kombu's own lists (kombu 5.7: JSON with `headers.id`), so that what is queued is never remembered
        beside the queue and cannot disagree with it.
        """
        return list(self.waiting_steps(queue))

    def waiting_steps(self, queue: str) -> dict[str, Waiting]:
        """The messages that wait in `queue`, by the id of their step."""
        places = queue_lists(queue)
        with named_errors(), self._redis.pipeline(transaction=False) as pipe:
            for place in places:
                pipe.lrange(place, 0, -1)
            found = list(zip(places, PRIORITIES, pipe.execute(), strict=True))
        waiting = [Waiting(place, priority, raw) for place, priority, raws in found for raw in raws]
        return {json.loads(each.raw)["headers"]["id"]: each for each in reversed(waiting)}

    def withdraw(self, waiting: Waiting) -> bool:
        """Take a message out of its queue; False when a worker was first."""
        with named_errors():
            return bool(self._redis.lrem(waiting.place, 1, waiting.raw))

    def queued_for(self, queue: str, study_id: str) -> int:
        """How many messages wait in `queue` on account of a study."""
        return sum(message["headers"].get("study") == study_id for message in self.queued_messages(queue))

    def queued_messages(self, queue: str) -> list[dict[str, Any]]:
        """The messages that wait in `queue`, as Celery wrote them; `headers.sent_at` is when (Unix seconds)."""
        with named_errors(), self._redis.pipeline(transaction=False) as pipe:
            for name in queue_lists(queue):
                pipe.lrange(name, 0, -1)
            return [json.loads(message) for messages in pipe.execute() for message in messages]

    def waiting(self, queue: str) -> int:
        """How many messages wait in `queue`."""
        with named_errors(), self._redis.pipeline(transaction=False) as pipe:
            for name in queue_lists(queue):
                pipe.llen(name)
            return sum(pipe.execute())

    def nudge(self) -> None:
        """Ask the reconciler to look at once. Asking many times before it looks is asking once."""
        with named_errors(), self._redis.pipeline() as pipe:
            pipe.lpush(_NUDGE, "1")
            pipe.ltrim(_NUDGE, 0, 0)
            pipe.execute()

    def wait_for_nudge(self, seconds: int) -> bool:
        """Return when somebody asks for a look, or after `seconds`, fewer than 10; whether somebody did."""
        with named_errors():
            return self._redis.blpop([_NUDGE], timeout=seconds) is not None

    def cancel(self, works: Iterable[str]) -> None:
        """Let no step of these jobs and scores begin. works: their digests."""
        names = list(works)
        if names:
            with named_errors(), self._redis.pipeline(transaction=False) as pipe:
                pipe.sadd(_CANCELLED, *names)
                pipe.expire(_CANCELLED, _KEPT_SECONDS)
                pipe.execute()

    def cancelled(self, work: str) -> bool:
        """Whether no step of this job or score may begin."""
        with named_errors():
            return bool(self._redis.sismember(_CANCELLED, work))

    def allow(self, works: Iterable[str]) -> None:
        """Let steps of these jobs and scores begin again."""
        names = list(works)
        with named_errors():
            if names and self._redis.scard(_CANCELLED):  # mostly none is, and there may be thousands of names
                self._redis.srem(_CANCELLED, *names)

    def delivery(self, tag: str | None) -> Delivery:
        """The delivery of a Celery message, which is in the same Redis."""
        return Delivery(self._redis, tag)

    def epoch(self) -> str:
        """Changes when what processes remember of finished work may no longer be so."""
        with named_errors():
            return cast("str | None", self._redis.get(_EPOCH)) or ""

    def begin_epoch(self) -> None:
        """Make every process look anew at what it remembers of finished work."""
        with named_errors():
            self._redis.set(_EPOCH, uuid.uuid4().hex)

    def running(self, steps: Iterable[str]) -> set[str]:
        """Those of `steps` that a live worker holds."""
        return self._present(lease_key, steps)

    def _present(self, key: Callable[[str], str], steps: Iterable[str]) -> set[str]:
        names = list(steps)
        if not names:
            return set()
        with named_errors():
            values = cast("list[str | None]", self._redis.mget([key(step) for step in names]))
        return {step for step, value in zip(names, values, strict=True) if value}

    def rest(self, step: str, seconds: int) -> None:
        """Let `step` rest before it is sent again."""
        with named_errors():
            self._redis.set(_rest_key(step), "1", ex=seconds)

    def resting(self, steps: Iterable[str]) -> set[str]:
        """Those of `steps` that rest after an error."""
        return self._present(_rest_key, steps)

    def begin(self, step: str, transition: Transition, token: int) -> tuple[int, tuple[Transition, ...]]:
        """Count the start of `step` under the lease of `token`; how many there were, and all that happened to the step.

        Starts are a set, not a sum: the client sends again what Redis was slow to answer, and Redis then does both.
        """
        with named_errors(), self._redis.pipeline() as pipe:
            pipe.sadd(_starts_key(step), token)
            pipe.expire(_starts_key(step), _KEPT_SECONDS)
            self._note(pipe, step, transition)
            pipe.scard(_starts_key(step))
            pipe.lrange(_history_key(step), 0, -1)
            *_, starts, history = pipe.execute()
        return int(starts), _parse(history)

    def uncount(self, step: str, token: int) -> None:
        """Do not count the start of `step` under the lease of `token`."""
        with named_errors():
            self._redis.srem(_starts_key(step), token)

    def note(self, transitions: Mapping[str, Transition]) -> None:
        """Note what happened to some steps."""
        with named_errors(), self._redis.pipeline(transaction=False) as pipe:
            for step, transition in transitions.items():
                self._note(pipe, step, transition)
            pipe.execute()

    @staticmethod
    def _note(pipe: Pipeline, step: str, transition: Transition) -> None:
        pipe.rpush(_history_key(step), transition.model_dump_json())
        pipe.ltrim(_history_key(step), -_LONGEST_HISTORY, -1)
        pipe.expire(_history_key(step), _KEPT_SECONDS)

    def starts(self, step: str) -> int:
        """How often `step` was begun."""
        with named_errors():
            return int(self._redis.scard(_starts_key(step)))

    def histories(self, steps: Iterable[str]) -> list[tuple[Transition, ...]]:
        """What happened to each of `steps`, in order, as far as the board knows."""
        with named_errors(), self._redis.pipeline(transaction=False) as pipe:
            for step in steps:
                pipe.lrange(_history_key(step), 0, -1)
            return [_parse(entries) for entries in pipe.execute()]

    def forget(self, steps: Iterable[str]) -> None:
        """Forget starts, rest and history of `steps`."""
        names = [key(step) for step in steps for key in (_starts_key, _rest_key, _history_key)]
        if names:
            with named_errors():
                self._redis.delete(*names)

    def set_rows(self, embedding: str, rows_by_part: Mapping[int, int]) -> None:
        """Write up the rows done of some parts."""
        if not rows_by_part:
            return
        key, now = _rows_key(embedding), time.time()
        values: dict[Any, Any] = {str(part): rows for part, rows in rows_by_part.items()} | {"now": now}
        with named_errors(), self._redis.pipeline() as pipe:
            pipe.hsetnx(key, "since", now)
            pipe.hsetnx(key, "before", 0)
            pipe.hset(key, mapping=values)
            pipe.expire(key, _KEPT_SECONDS)
            pipe.execute()

    def forget_rows(self, embeddings: Iterable[str]) -> None:
        """Forget the rows done of some embeddings, whose parts were taken back."""
        names = [_rows_key(embedding) for embedding in embeddings]
        if names:
            with named_errors():
                self._redis.delete(*names)

    def restore_rows(self, embedding: str, rows_by_part: Mapping[int, int]) -> None:
        """Write up parts that were whole before this board knew of them; they do not count for the rate."""
        if not rows_by_part:
            return
        key = _rows_key(embedding)
        with named_errors():
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
        with named_errors(), self._redis.pipeline(transaction=False) as pipe:
            for embedding in embeddings:
                pipe.hgetall(_rows_key(embedding))
            return [_rows_done(fields) for fields in pipe.execute()]

    def want(self, study_id: str, embeddings: Iterable[str]) -> None:
        """Note that a study wants these embeddings."""
        with named_errors(), self._redis.pipeline(transaction=False) as pipe:
            for embedding in embeddings:
                pipe.sadd(_wanted_key(embedding), study_id)
                pipe.expire(_wanted_key(embedding), _KEPT_SECONDS)
            pipe.execute()

    def wanted_by(self, embedding: str) -> list[str]:
        """Ids of the studies that want an embedding, as far as the board knows."""
        with named_errors():
            return sorted(cast("set[str]", self._redis.smembers(_wanted_key(embedding))))


def _rows_done(fields: Mapping[str, str]) -> RowsDone:
    rows = sum(int(value) for name, value in fields.items() if name.isdecimal())
    if "since" not in fields:
        return RowsDone(rows, None)
    seconds = float(fields["now"]) - float(fields["since"])
    moved = rows - int(fields.get("before", 0))
    return RowsDone(rows, moved / seconds if seconds > 0 and moved > 0 else None)


def _parse(entries: Iterable[str]) -> tuple[Transition, ...]:
    """Each transition once, though it was sent again."""
    return tuple(Transition.model_validate_json(entry) for entry in dict.fromkeys(entries))


def _rest_key(step: str) -> str:
    return f"samesky:rest:{step}"


def _starts_key(step: str) -> str:
    return f"samesky:begun:{step}"


def _history_key(step: str) -> str:
    return f"samesky:history:{step}"


def _rows_key(embedding: str) -> str:
    return f"samesky:rows:{embedding}"


def _wanted_key(embedding: str) -> str:
    return f"samesky:wanted:{embedding}"
