"""A Redis that is away: what it raises, under our own name, and how to go on without it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from shared.errors import BrokerUnavailable

_log = logging.getLogger(__name__)


@contextmanager
def named_errors() -> Iterator[None]:
    """Turn a Redis that does not answer into BrokerUnavailable."""
    try:
        yield
    except (RedisConnectionError, RedisTimeoutError) as error:
        raise BrokerUnavailable(
            f"Redis does not answer ({type(error).__name__})",
            "a server at SAMESKY_REDIS_URL",
            "start it, then try again",
        ) from error


@contextmanager
def without_redis(consequence: str) -> Iterator[None]:
    """Go on without Redis, which is never the truth: say what follows from that."""
    try:
        yield
    except BrokerUnavailable as error:
        _log.warning("%s; %s", error, consequence)
