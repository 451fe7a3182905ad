"""The watch over a worker's heart: a worker whose event loop stands still, while Redis answers, ends itself.

Its supervisor then starts it again, and its lease runs out. While Redis is away the loop stands still for a good
reason: it tries to reach Redis again. Imports no celery.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
from contextlib import suppress

from billiard import active_children

from services.board import Board
from services.heartbeat import Heart
from shared.errors import BrokerUnavailable

_log = logging.getLogger(__name__)
EXIT_STATUS = 70


def watch_heart(heart: Heart, board: Board, seconds: float) -> None:
    """Start the watch: a heart silent for `seconds`, in which Redis answered, ends this process and its children."""
    threading.Thread(target=_watch, args=(heart, board, seconds), name="heart", daemon=True).start()


def _watch(heart: Heart, board: Board, seconds: float) -> None:
    pause = threading.Event()
    answering_for = 0.0
    while True:
        pause.wait(seconds / 4)
        answering_for = answering_for + seconds / 4 if _answers(board) else 0.0
        # Redis must have answered for as long: Celery waits up to 32 s between two tries to reach it again.
        if heart.age() > seconds and answering_for > seconds:
            _log.critical("the worker's heart has not beaten for %.0f s: it ends itself", heart.age())
            for child in active_children():
                with suppress(ProcessLookupError):
                    os.kill(child.pid, signal.SIGKILL)
            os._exit(EXIT_STATUS)


def _answers(board: Board) -> bool:
    try:
        board.ping()
    except BrokerUnavailable:
        return False
    return True
