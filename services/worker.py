"""A Celery worker of ours: one pool child, a fresh interpreter, and a parent that only talks to Redis.

The child is spawned, never forked: a process that used FAISS or torch must not fork.
"""

from __future__ import annotations

from celery import Celery
from celery.signals import setup_logging

from services.board import Board
from services.broker import make_app
from services.failures import worker_name
from services.heartbeat_step import beat_while_consuming
from services.startup import wait_for_services
from shared.log import configure
from shared.settings import Settings
from shared.stores import open_store


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
    wait_for_services(settings, open_store(settings), Board.open(settings))
    name = f"{service}-{worker_name()}"
    app.worker_main(["worker", "--queues", queue, "--hostname", name, "--without-gossip", "--without-mingle"])
