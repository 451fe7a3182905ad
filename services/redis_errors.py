"""What Redis raises when it is away, or takes no writes, under our own name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from redis.exceptions import ClusterDownError, OutOfMemoryError, ReadOnlyError, ResponseError, TryAgainError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from shared.errors import BrokerUnavailable

_NO_WRITES = (OutOfMemoryError, ReadOnlyError, ClusterDownError, TryAgainError)
_DISK_FAILS = "MISCONF"  # has no class of its own; Redis says it to PING too


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
