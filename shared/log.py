"""What processes say while they run: one line an event, for people as text, for machines as JSON.

Lines go to standard error. Passwords inside URLs, bearer tokens and the settings' secrets are struck out of every line.
Fields given as `extra` (`study`, `job`, `attempt`), or by `context` to all lines inside a block, stand at the end of a
text line, and beside the message in JSON.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any

from shared.settings import Settings

ROOMS = ("services", "embedder", "scorer", "shared", "samesky")
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_context: ContextVar[Mapping[str, Any]] = ContextVar("samesky_log", default=MappingProxyType({}))
_CREDENTIALS = re.compile(r"(?<=://)[^/@\s]*:[^/@\s]*@")
_BEARER = re.compile(r"(?<=\bbearer )\S+", re.IGNORECASE)


def configure(settings: Settings) -> None:
    """Log to standard error as the settings say; libraries speak from warnings up. May be called again."""
    handler = logging.StreamHandler(sys.stderr)
    lines = JsonLines if settings.log_format == "json" else TextLines
    handler.setFormatter(lines(settings.secrets()))
    handler.set_name("samesky")
    root = logging.getLogger()
    for old in [known for known in root.handlers if known.get_name() == "samesky"]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    for room in ROOMS:
        logging.getLogger(room).setLevel(settings.log_level.upper())


@contextmanager
def context(**fields: Any) -> Iterator[None]:
    """Add `fields` to every line that is logged inside the block, by this thread."""
    token = _context.set({**_context.get(), **fields})
    try:
        yield
    finally:
        _context.reset(token)


class TextLines(logging.Formatter):
    """`2026-01-31T12:00:00.000Z INFO embedder.pipeline: message job=... attempt=...`. secrets: struck out."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")
        self._secrets = tuple(secrets)

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802
        """The record's time in UTC, to the millisecond (ISO 8601)."""
        return _utc(record)

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        """The line, before any traceback."""
        extras = "".join(f" {name}={value}" for name, value in _extras(record).items())
        return super().formatMessage(record) + extras

    def format(self, record: logging.LogRecord) -> str:
        """The line, and below it the traceback of an unexpected error."""
        return _without_secrets(super().format(record), self._secrets)


class JsonLines(logging.Formatter):
    """One JSON object a line: time, level, logger, message, extras, `error` with a traceback. secrets: struck out."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        super().__init__()
        self._secrets = tuple(secrets)

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        fields: dict[str, Any] = {
            "time": _utc(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            fields["error"] = self.formatException(record.exc_info)
        return _without_secrets(json.dumps(_extras(record) | fields, default=str), self._secrets)


def _utc(record: logging.LogRecord) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z"


def _extras(record: logging.LogRecord) -> dict[str, Any]:
    given = {name: value for name, value in vars(record).items() if name not in _STANDARD}
    return {**_context.get(), **given}


def _without_secrets(line: str, secrets: Iterable[str]) -> str:
    for secret in secrets:
        line = line.replace(secret, "***")
    return _BEARER.sub("***", _CREDENTIALS.sub("***@", line))
