"""What can be seen of an installation at this moment, for /metrics and /readyz.

Redis or the object store may be away, and just then somebody looks: what is not known is left out, and an answer comes
within seconds all the same.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping
from typing import NamedTuple

from redis import Redis
from redis.exceptions import RedisError

from services.broker import EMBED, SCORE, queue_lists
from services.connection import connect_briefly
from services.meters import Meters, Tally
from services.presence import Presence
from services.refreshed import Refreshed
from services.studies import Studies
from shared import keys
from shared.errors import BrokerUnavailable, SameSkyError
from shared.packages import package_versions
from shared.settings import Settings
from shared.states import State, StateCounts
from shared.store import ObjectStore
from shared.stores import open_store

_log = logging.getLogger(__name__)
_PATIENCE_SECONDS = 2.0  # an answer to /metrics is awaited for ten seconds, as a rule
Levels = dict[str, dict[tuple[str, ...], float]]
"""Gauges: by name, by label values."""


class Waiting(NamedTuple):
    """Messages that wait in a queue, and for how many seconds the next to be taken has."""

    messages: int
    age: float


class Seeing:
    """Looks at an installation. What is slow to find out is kept for a while."""

    def __init__(self, studies: Studies, store: ObjectStore, redis: Redis) -> None:
        self._redis, self._store = redis, store
        self.meters, self.presence = Meters(redis), Presence(redis)
        self._states = Refreshed(studies.count_states, every=15, patience=_PATIENCE_SECONDS, stale=300)
        self._store_up = Refreshed(self._ask_store, every=5, patience=_PATIENCE_SECONDS)

    @classmethod
    def open(cls, settings: Settings, studies: Studies) -> Seeing:
        """Looks at the installation of these settings. Raises BadSetting."""
        return cls(studies, open_store(settings), connect_briefly(settings))

    def processes(self) -> dict[str, int]:
        """Processes alive, by service. Raises BrokerUnavailable."""
        try:
            return self.presence.count()
        except RedisError as error:
            raise BrokerUnavailable(
                f"Redis does not answer ({type(error).__name__})", "a server at SAMESKY_REDIS_URL", "start it"
            ) from error

    def look(self) -> tuple[Levels, Mapping[str, Mapping[tuple[str, ...], Tally]]]:
        """Gauges as they stand, and what was counted and timed."""
        levels: Levels = {
            "samesky_build_info": {(package_versions("samesky").get("samesky", "unknown"),): 1},
            "samesky_store_up": {(): float(self._store_up.get() or 0)},
        }
        tallies: Mapping[str, Mapping[tuple[str, ...], Tally]] = {}
        try:
            tallies = self.meters.read()
            levels |= self._levels_of_redis() | {"samesky_redis_up": {(): 1}}
        except RedisError as error:
            _log.warning("Redis does not answer (%s): much is not known now", type(error).__name__)
            levels["samesky_redis_up"] = {(): 0}
        states = self._states.get()
        return levels | (_levels_of_states(states) if states else {}), tallies

    def _levels_of_redis(self) -> Levels:
        waiting = {queue: look_at_queue(self._redis, queue) for queue in (EMBED, SCORE)}
        return {
            "samesky_processes": {(service,): number for service, number in self.presence.count().items()},
            "samesky_queue_messages": {(queue,): each.messages for queue, each in waiting.items()},
            "samesky_queue_age_seconds": {(queue,): each.age for queue, each in waiting.items()},
        }

    def _ask_store(self) -> bool:
        try:
            self._store.exists(keys.study("0" * 32))
        except SameSkyError as error:
            _log.warning("the object store: %s", error)
            return False
        return True


def look_at_queue(redis: Redis, queue: str) -> Waiting:
    """What waits in `queue`. Raises redis's RedisError.

    Reads kombu's own lists (kombu 5.7: JSON, put in at the left and taken at the right), and of each the next message
    alone, whose header `sent_at` is Unix seconds; one without it counts as new.
    """
    with redis.pipeline(transaction=False) as pipe:
        for name in queue_lists(queue):
            pipe.llen(name)
            pipe.lindex(name, -1)
        answers = pipe.execute()
    now = time.time()
    nexts = (json.loads(message)["headers"].get("sent_at", now) for message in answers[1::2] if message)
    return Waiting(sum(answers[::2]), max((max(0.0, now - sent_at) for sent_at in nexts), default=0.0))


def _levels_of_states(counts: StateCounts) -> Levels:
    def by_label(numbers: Mapping[State, int]) -> dict[tuple[str, ...], float]:
        return {(str(state),): number for state, number in numbers.items()}

    return {
        "samesky_studies": by_label(counts.studies),
        "samesky_jobs": by_label(counts.jobs),
        "samesky_pairs": by_label(counts.pairs),
        "samesky_rows_per_second": {(): counts.rows_per_second},
    }
