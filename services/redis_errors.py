"""A Redis that is away, or takes no writes: what it raises, under our own name, and how to go on without it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from redis.exceptions import ClusterDownError, OutOfMemoryError, ReadOnlyError, ResponseError, TryAgainError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from shared.errors import BrokerUnavailable

_NO_WRITES = (OutOfMemoryError, ReadOnlyError, ClusterDownError, TryAgainError)
_DISK_FAILS = "MISCONF"  # has no class of its own; Redis says it to PING too
_log = logging.getLogger(__name__)


@contextmanager
def named_errors() -> Iterator[None]:
    """Turn a Redis that does not answer, or is full or a mere copy, into BrokerUnavailable: it may pass."""
    try:
        yield
    except (RedisConnectionError, RedisTimeoutError) as error:
        raise BrokerUnavailable(
            f"Redis does not answer ({type(error).__name__})",
            "a server at SAMESKY_REDIS_URL",
            "start it, then try again",
        ) from error
    except (*_NO_WRITES, ResponseError) as error:
        if not isinstance(error, _NO_WRITES) and _DISK_FAILS not in str(error):
            raise
        raise BrokerUnavailable(
            f"Redis takes no writes ({type(error).__name__})",
            "a server with memory and disk to spare",
            "look at Redis's log, its maxmemory and its disk",
        ) from error


@contextmanager
def without_redis(consequence: str) -> Iterator[None]:
    """Go on without Redis, which is never the truth: say what follows from that."""
    try:
        yield
    except BrokerUnavailable as error:
        _log.warning("%s; %s", error, consequence)
