"""What every process does first: read settings, set up the log, wait a bounded time for Redis and the store."""

from __future__ import annotations

import logging
import time

from services.board import Board
from shared.errors import BrokerUnavailable
from shared.settings import Settings
from shared.store import ObjectStore
from shared.stores import wait_for_store

_log = logging.getLogger(__name__)


def wait_for_services(settings: Settings, store: ObjectStore, board: Board) -> None:
    """Return once Redis and the object store answer.

    Raises BrokerUnavailable or StoreUnavailable when they do not within `settings.wait_seconds`.
    """
    deadline = time.monotonic() + settings.wait_seconds
    while True:
        try:
            board.ping()
            break
        except BrokerUnavailable as error:
            if time.monotonic() > deadline:
                raise BrokerUnavailable(
                    f"Redis did not answer for {settings.wait_seconds} s", error.expected, error.remedy
                ) from error
            _log.warning("waiting for Redis")
            time.sleep(1)
    wait_for_store(store, settings.wait_seconds)
