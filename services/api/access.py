"""Who may write and who may read: one guard before every request, by its method, whatever endpoint it asks for.

With tokens, a request that writes bears one of them. Without, the api listens on loopback only (`services.api.server`),
and a page in a browser of this machine is the one stranger who can reach it: it is told apart by `Host` and `Origin`.
"""

from __future__ import annotations

import hmac
import ipaddress
import math
import time
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

from flask import Flask, Response, current_app, request
from flask_limiter import Limiter, RateLimitExceeded
from werkzeug.exceptions import Forbidden

from services.api.errors import answer_error
from shared.errors import BadSetting, TooManyWrites, Unauthorised
from shared.settings import Secret, Settings

READS = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that change nothing (RFC 9110, section 9.2.1); every other one writes."""
# What machines ask to see whether this one lives, and the front page, which then names no study.
_ALWAYS_OPEN = frozenset({"/", "/livez", "/readyz"})
_EXTENSION = "samesky-access"


@dataclass(frozen=True, slots=True)
class Access:
    """Who may do what. tokens: any of them lets in; none means that whoever reaches the api may write."""

    tokens: tuple[Secret, ...]
    reads_open: bool
    writes_per_minute: int
    host: str

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """As the settings say. Raises BadSetting where reads are closed and nobody could open them."""
        if settings.reads == "closed" and not settings.tokens:
            raise BadSetting(
                "SAMESKY_READS='closed' without a token",
                "at least one token that lets in",
                "set SAMESKY_TOKENS; see .env.example",
            )
        return cls(settings.tokens, settings.reads == "open", settings.writes_per_minute, settings.api_host)

    def guards(self, method: str, path: str) -> bool:
        """Whether a request needs a token."""
        if method not in READS:
            return bool(self.tokens)
        return not self.reads_open and path not in _ALWAYS_OPEN

    def bearer(self, authorization: str | None) -> int | None:
        """Which of the tokens the header `Authorization` bears, None for none of them.

        Takes as long for a wrong token as for any of the right ones.
        """
        scheme, _, given = (authorization or "").partition(" ")
        offered = given.strip().encode()
        same = [hmac.compare_digest(token.encode(), offered) for token in self.tokens]
        return same.index(True) if scheme.lower() == "bearer" and any(same) else None


def guard(app: Flask, access: Access) -> None:
    """Let `app` answer only whom `access` lets in, and nobody who writes too often."""
    app.extensions[_EXTENSION] = access
    app.before_request(_refuse_pages_of_others)
    app.before_request(_refuse_strangers)
    _limit_writes(app, access)  # after the token is known, so that strangers use up nobody's writes


def current_access() -> Access:
    """What holds for the request at hand."""
    found: Access = current_app.extensions[_EXTENSION]
    return found


def may_read() -> bool:
    """Whether whoever asks may see studies; only the front page, which is open to all, has to ask."""
    return current_access().reads_open or _bearer() is not None


def is_loopback(host: str) -> bool:
    """Whether `host` is this machine's name for itself or an address that only this machine reaches; asks no DNS."""
    try:
        return host.lower() == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _bearer() -> int | None:
    return current_access().bearer(request.headers.get("Authorization"))


def _refuse_strangers() -> None:
    if current_access().guards(request.method, request.path) and _bearer() is None:
        offered = "Authorization" in request.headers
        raise Unauthorised(
            "this token lets nobody in" if offered else "there is no token",
            "Authorization: Bearer TOKEN, one of the api's SAMESKY_TOKENS",
            "set SAMESKY_TOKEN for `samesky` and its client",
        )


def _refuse_pages_of_others() -> None:
    """Where no token guards: no name that a stranger's DNS gave this machine, and no write from a stranger's page."""
    access = current_access()
    if access.tokens:
        return
    asked = _host_of(f"//{request.headers.get('Host', 'localhost')}")
    if not is_loopback(asked) and asked != access.host.lower():
        raise Forbidden("without tokens the api answers only to localhost, 127.0.0.1 or [::1]")
    origin = request.headers.get("Origin")
    if request.method not in READS and origin is not None and not is_loopback(_host_of(origin)):
        raise Forbidden("without tokens no page of another site may write")


def _host_of(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:  # brackets without an address
        return ""


def _limit_writes(app: Flask, access: Access) -> None:
    """Count in memory: there is one api process, and it takes studies while Redis is away."""
    limiter = Limiter(
        _writer,
        app=app,
        application_limits=[f"{access.writes_per_minute} per minute"],
        application_limits_exempt_when=lambda: request.method in READS,
        storage_uri="memory://",
        strategy="moving-window",
    )

    def refuse(_: RateLimitExceeded) -> Response:
        full = limiter.current_limit
        seconds = min(max(1, math.ceil(full.reset_at - time.time())), 60) if full else 60
        response = answer_error(
            TooManyWrites(
                "too many writes within a minute",
                f"at most {access.writes_per_minute}",
                f"wait {seconds} s, or set SAMESKY_WRITES_PER_MINUTE",
            )
        )
        response.headers["Retry-After"] = str(seconds)
        return response

    app.register_error_handler(RateLimitExceeded, refuse)


def _writer() -> str:
    """Whose writes are counted together: a token, by its place and not its text, or else an address."""
    place = _bearer()
    return f"address {request.remote_addr}" if place is None else f"token {place}"
