"""A Celery worker of ours: one pool child, a fresh interpreter, and a parent that only talks to Redis.

The child is spawned, never forked: a process that used FAISS or torch must not fork. When the child dies, or runs
past the step limit and is ended, the parent says so on the board at once: nobody waits for its lease to run out.
"""

from __future__ import annotations

import logging

from billiard.exceptions import TimeLimitExceeded, WorkerLostError
from celery import Celery
from celery.signals import setup_logging, task_failure

from services.board import Board
from services.broker import make_app
from services.failures import worker_name
from services.heart import watch_heart
from services.heartbeat_step import beat_while_consuming, call_while_consuming
from services.leases import manifest_step_id
from services.meters import Meters
from services.presence import Presence
from services.startup import wait_for_services
from services.steps import leave
from shared.errors import BrokerUnavailable
from shared.log import configure
from shared.settings import Settings
from shared.states import State
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
    name, presence = f"{service}-{worker_name()}", Presence.open(settings)
    call_while_consuming(app, lambda: presence.say_alive(service, worker_name()))
    try:
        app.worker_main(["worker", "--queues", queue, "--hostname", name, "--without-gossip", "--without-mingle"])
    finally:
        presence.say_gone(service, worker_name())


def _leave_lost(board: Board, step: str, error: BaseException, settings: Settings) -> None:
    why = (
        f"it ran past the limit of {settings.step_limit_seconds} s, and was ended"
        if isinstance(error, TimeLimitExceeded)
        else f"its process died: {error}"
    )
    _log.error("step %s: %s", step, why)
    try:
        for held in (step, manifest_step_id(step.partition(":")[0])):
            board.leases.end(held, f" {worker_name()}")
        (history,) = board.histories([step])
        # Celery 5.7 tells of a time limit twice; and a lease that ran out meanwhile may be another's now.
        if history and history[-1].state is State.RUNNING and step not in board.running([step]):
            rest = 1 if board.starts(step) < settings.attempts else 0  # nothing is left but to say that it is over
            leave(board, step, why=why, part=history[-1].step, rest=rest)
            Meters.open(settings).count("samesky_step_retries_total", code="stopped")
            board.nudge()
    except BrokerUnavailable as lost:
        _log.warning("%s; the lease will run out", lost)
