"""A Celery worker of ours: one pool child, a fresh interpreter, and a parent that only talks to Redis.

The child is spawned, never forked: a process that used FAISS or torch must not fork. When the child dies, or runs
past the step limit and is ended, the parent says so on the board at once: nobody waits for its lease to run out.
"""

from __future__ import annotations

import logging
from typing import Any

from billiard.exceptions import TimeLimitExceeded, WorkerLostError
from celery import Celery
from celery.signals import setup_logging, task_failure

from services.board import Board
from services.broker import Delivery, make_app
from services.failures import worker_name
from services.heart import watch_heart
from services.heartbeat_step import beat_while_consuming
from services.startup import wait_for_services
from services.steps import leave
from shared.errors import BrokerUnavailable
from shared.log import configure
from shared.settings import Settings
from shared.stores import open_store

_log = logging.getLogger(__name__)


def make_worker_app(settings: Settings, module: str) -> Celery:
    """The app of a worker whose tasks are in `module`. It logs as we do, in parent and child, and beats."""
    app = make_app(settings, module)
    setup_logging.connect(lambda **_: configure(settings), weak=False)
    beat_while_consuming(app, settings)
    return app


def run_worker(app: Celery, settings: Settings, *, queue: str, service: str) -> None:
    """Wait for Redis and the store, then consume `queue` until told to stop: TERM lets the running step end.

    Raises BrokerUnavailable or StoreUnavailable when they do not answer in time.
    """
    configure(settings)
    board = Board.open(settings)
    wait_for_services(settings, open_store(settings), board)

    def note_lost_child(task_id: str, exception: BaseException, **_: object) -> None:
        if isinstance(exception, WorkerLostError | TimeLimitExceeded):
            _leave_lost(board, task_id, exception, settings)

    task_failure.connect(note_lost_child, weak=False)
    watch_heart(app.heart, board, settings.heart_seconds)
    name = f"{service}-{worker_name()}"
    app.worker_main(["worker", "--queues", queue, "--hostname", name, "--without-gossip", "--without-mingle"])


def _leave_lost(board: Board, step: str, error: BaseException, settings: Settings) -> None:
    why = (
        f"it ran past the limit of {settings.step_limit_seconds} s, and was ended"
        if isinstance(error, TimeLimitExceeded)
        else f"its process died: {error}"
    )
    _log.error("step %s: %s", step, why)
    try:
        if board.leases.end(step, f" {worker_name()}"):
            leave(board, step, board.starts(step), why=why, part=_part_of(step), first_rest=1)
    except BrokerUnavailable as lost:
        _log.warning("%s; the lease will run out", lost)


def _part_of(step: str) -> str:
    _, _, index = step.partition(":")
    return f"part {index}" if index else ""


def delivery_of(task: Any, board: Board) -> Delivery:
    """The delivery of the message that `task`, a bound Celery task, is working on."""
    return board.delivery((task.request.properties or {}).get("delivery_tag"))


def nudge_when_low(board: Board, queue: str, settings: Settings) -> None:
    """Ask for more work when few messages wait, so that no worker stands idle until the reconciler's next look."""
    try:
        if board.waiting(queue) < settings.release_limit // 4:
            board.nudge()
    except BrokerUnavailable as error:
        _log.info("%s", error)
