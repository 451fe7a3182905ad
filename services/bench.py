"""The bench: what the tasks of a worker's pool child share, and the edge beyond which a task raises nothing."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any

from services.board import Board
from services.leases import Lease
from services.metered_store import MeteredStore
from services.meters import Meters
from services.steps import Runner, StepWork
from shared.errors import BrokerUnavailable, Retryable, SameSkyError
from shared.log import context
from shared.outcomes import Attempt
from shared.settings import Settings
from shared.store import ObjectStore
from shared.stores import open_store

_log = logging.getLogger(__name__)


class Bench:
    """Board, meters and store of these settings, each opened when first used. queue: the one the worker consumes."""

    def __init__(self, settings: Settings, queue: str) -> None:
        self._settings, self._queue = settings, queue

    @cached_property
    def board(self) -> Board:
        """Where work under way is written up."""
        return Board.open(self._settings)

    @cached_property
    def meters(self) -> Meters:
        """What is counted and timed."""
        return Meters.open(self._settings)

    @cached_property
    def store(self) -> ObjectStore:
        """The object store, whose errors are counted."""
        return MeteredStore(open_store(self._settings), self.meters)

    def run(self, task: Any, study: str | None, step: StepWork, do: Callable[[Lease, Attempt], None]) -> None:
        """Run one step. task: the bound Celery task whose message asks for it; study: on whose account."""
        attempts, rest_seconds = self._settings.attempts, self._settings.rest_seconds
        runner = Runner(self.board, self.store, self.meters, attempts=attempts, rest_seconds=rest_seconds)
        with context(study=study):
            runner.run(step, do, self.board.delivery((task.request.properties or {}).get("delivery_tag")))
        self._ask_for_more()

    def _ask_for_more(self) -> None:
        """Nudge the reconciler when few messages wait, so that no worker stands idle until its next look."""
        try:
            if self.board.waiting(self._queue) < self._settings.release_limit // 4:
                self.board.nudge()
        except BrokerUnavailable as error:
            _log.info("%s", error)


@contextmanager
def edge() -> Iterator[None]:
    """The edge of a task: what could not be begun is logged, and the message is over.

    What may pass later is sent again by the reconciler; a message that cannot be one of ours is refused for good.
    """
    try:
        yield
    except Retryable as error:
        _log.warning("a message will be sent again: %s", error)
    except SameSkyError as error:
        _log.error("a message is refused: %s", error)
