"""One log line for every request, under an id that the answer carries too.

The line has method, path, status and time; neither query nor headers, which may hold secrets.
"""

from __future__ import annotations

import logging
import re
import time
import uuid
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from shared.log import context

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_log = logging.getLogger(__name__)
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_OFTEN = frozenset({"/livez", "/readyz", "/metrics"})  # asked every few seconds, by machines
_LONGEST_PATH = 200


class RequestLog:
    """A WSGI application around another. Answers `X-Request-Id`: the caller's, if short and plain, or a new one."""

    def __init__(self, inner: WSGIApplication) -> None:
        self._inner = inner

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer, and log when the answer begins."""
        started = time.monotonic()
        given = environ.get("HTTP_X_REQUEST_ID", "")
        request = given if _PLAIN.fullmatch(given) else uuid.uuid4().hex

        def start(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            _say(environ, status, time.monotonic() - started)
            return start_response(status, [*headers, ("X-Request-Id", request)], *rest)

        with context(request=request):
            return self._inner(environ, start)


def _say(environ: WSGIEnvironment, status: str, seconds: float) -> None:
    path = environ.get("PATH_INFO", "")
    # Quoted, so that a path with a newline in it is one line; WSGI gives its bytes as Latin-1.
    shown = quote(path[:_LONGEST_PATH], safe="/:@,;=+!$*'()~", encoding="latin-1", errors="replace")
    method, code, milliseconds = environ.get("REQUEST_METHOD", ""), int(status.split(" ", 1)[0]), round(1000 * seconds)
    _log.log(
        logging.DEBUG if path in _OFTEN else logging.INFO,
        "%s %s %d in %d ms",
        method,
        shown,
        code,
        milliseconds,
        extra={"method": method, "path": shown, "status": code, "milliseconds": milliseconds},
    )
