"""A value that is costly or slow to find out, kept for a while: whoever asks waits a moment, and not for ever."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from shared.errors import SameSkyError

_log = logging.getLogger(__name__)
_SHARE = 20  # at most a twentieth of the time goes into finding out
T = TypeVar("T")


class Refreshed(Generic[T]):
    """The value of `compute`, which runs in a thread of its own, one at a time, and only when somebody asks.

    every: seconds that a value is good for; longer where finding out takes long. patience: seconds that a caller waits.
    stale: seconds for which a value is given on while the next is awaited.
    """

    def __init__(self, compute: Callable[[], T], *, every: float, patience: float, stale: float = 0) -> None:
        self._compute, self._every, self._patience, self._stale = compute, every, patience, stale
        self._lock = threading.Lock()
        self._value: T | None = None
        self._due = 0.0
        self._running: threading.Event | None = None

    def get(self) -> T | None:
        """The value; None when it could not be found out, or not in time."""
        with self._lock:
            if self._running is None and time.monotonic() >= self._due:
                self._running = threading.Event()
                threading.Thread(target=self._refresh, args=(self._running,), name="refresh", daemon=True).start()
            running = self._running
        if running is not None:
            running.wait(self._patience)
        with self._lock:
            return self._value if time.monotonic() <= self._due + self._stale else None

    def _refresh(self, running: threading.Event) -> None:
        started, value = time.monotonic(), None
        try:
            value = self._compute()
        except SameSkyError as error:
            _log.warning("not known now: %s", error)
        finally:
            with self._lock:
                now = time.monotonic()
                self._value, self._running = value, None
                self._due = now + max(self._every, _SHARE * (now - started))
            running.set()
