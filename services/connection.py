"""A connection to Redis, as the settings say. Nothing is sent until it is used."""

from __future__ import annotations

from redis import Redis
from redis.backoff import ExponentialBackoff
from redis.retry import Retry

from shared.errors import BadSetting
from shared.settings import Settings


def connect(settings: Settings, *, seconds: float, retries: int) -> Redis:
    """A client that waits `seconds` for an answer, and tries `retries` times more; safe for threads.

    Raises BadSetting for a URL that cannot be one.
    """
    try:
        return Redis.from_url(
            settings.redis_url,
            decode_responses=True,
            socket_timeout=seconds,
            socket_connect_timeout=min(seconds, 5),
            health_check_interval=15,
            retry=Retry(ExponentialBackoff(cap=1, base=0.1), retries),
        )
    except ValueError:  # neither shown nor chained: what it quotes of the URL may be a password
        raise BadSetting("SAMESKY_REDIS_URL is no Redis URL", "redis://HOST:PORT/NUMBER") from None


def connect_briefly(settings: Settings) -> Redis:
    """A client for what may be lost without harm: it keeps nobody waiting. Raises BadSetting."""
    return connect(settings, seconds=2, retries=1)
