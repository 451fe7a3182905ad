"""Which processes are alive: each says so on its heart's beat, and is forgotten when it falls silent.

One sorted set in Redis, ordered by when each is to be forgotten by Redis's own clock, since the clocks of many machines
do not agree. So a count walks over the processes alone, and not over every key.
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from typing import cast

from redis import Redis
from redis.exceptions import RedisError

from services.connection import connect_briefly
from services.meters import SERVICES
from shared.settings import Settings

_log = logging.getLogger(__name__)
_ALIVE = "samesky:alive"
SILENCE_SECONDS = 30


class Presence:
    """Says that processes are alive, and counts them."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    @classmethod
    def open(cls, settings: Settings) -> Presence:
        """Presence in the Redis of these settings. Raises BadSetting."""
        return cls(connect_briefly(settings))

    def say_alive(self, service: str, name: str, *, seconds: float = SILENCE_SECONDS) -> None:
        """Process `name` of `service` is alive, and says so again within `seconds`. Without Redis, nothing is said."""
        try:
            now = self._now()
            with self._redis.pipeline() as pipe:
                pipe.zadd(_ALIVE, {_member(service, name): now + seconds})
                pipe.zremrangebyscore(_ALIVE, "-inf", now)
                pipe.execute()
        except RedisError as error:
            _log.debug("sign of life not given: %s", type(error).__name__)

    def say_gone(self, service: str, name: str) -> None:
        """The process ends of its own will."""
        try:
            self._redis.zrem(_ALIVE, _member(service, name))
        except RedisError as error:
            _log.debug("end not told: %s", type(error).__name__)

    def count(self) -> dict[str, int]:
        """Processes alive, by service; those with none stand at 0. Raises redis's RedisError."""
        members = cast("list[str]", self._redis.zrangebyscore(_ALIVE, f"({self._now()}", "+inf"))
        alive = Counter(json.loads(member)[0] for member in members)
        return {service: alive[service] for service in SERVICES}

    def _now(self) -> float:
        seconds, microseconds = self._redis.time()
        return seconds + microseconds / 1e6


def _member(service: str, name: str) -> str:
    return json.dumps([service, name])
