"""What Redis raises when it is away, under our own name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from shared.errors import BrokerUnavailable


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
