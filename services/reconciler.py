"""The reconciler: what is wanted minus what exists, onto the queues, at start and on a timer.

It is the one guarantee that nothing is lost: a message, a worker or all of Redis may go, and the next look
restores the work. It loads neither torch nor FAISS. Several may run; they do no harm to one another.
"""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Sequence

from services.board import Board
from services.broker import Sender, make_app
from services.dispatch import Dispatcher
from services.failures import worker_name
from services.heartbeat import Heart
from services.ledger import Ledger
from services.metered_store import MeteredStore
from services.meters import Meters
from services.presence import SILENCE_SECONDS, Presence
from services.startup import wait_for_services
from shared.contracts import Study
from shared.errors import BadRecord, SameSkyError, UnknownName
from shared.log import configure
from shared.settings import Settings
from shared.stores import open_store

_log = logging.getLogger(__name__)
_LEAST_PAUSE_SECONDS = 0.2
_PAUSE_SECONDS = 1.0


class Reconciler:
    """Looks at every open study and releases what is missing."""

    def __init__(self, ledger: Ledger, board: Board, dispatcher: Dispatcher) -> None:
        self._ledger, self._board, self._dispatcher = ledger, board, dispatcher
        self._complete: set[str] = set()
        self._marked: set[str] = set()

    def look(self) -> int:
        """One look; how many steps were sent. Raises BrokerUnavailable, and what the store raises."""
        if self._ledger.keep_up(self._board):
            self._complete.clear()
            self._marked.clear()
        self._ledger.refresh()
        studies = [study for study_id in self._ledger.study_ids() if (study := self._read(study_id))]
        cancelled = [study for study in studies if self._ledger.cancelled(study.id)]
        wanted = [study for study in studies if not self._ledger.cancelled(study.id)]
        self._mark(cancelled, wanted)
        for study in wanted:
            self._board.want(study.id, (spec.digest for spec in study.embeddings))
        return self._dispatcher.release(wanted)

    def _read(self, study_id: str) -> Study | None:
        """A study; None for one that is complete, or cannot be read."""
        if study_id in self._complete:
            return None
        try:
            study = self._ledger.study(study_id)
        except (BadRecord, UnknownName) as error:  # it cannot be read, or was removed a moment ago
            _log.error("study left out: %s", error)
            return None
        if self._dispatcher.complete(study):
            self._complete.add(study_id)
            return None
        return study

    def _mark(self, cancelled: Sequence[Study], wanted: Sequence[Study]) -> None:
        """Let steps of what is wanted begin, and none of what only cancelled studies want.

        The api does it at once; here it is made good where a cancellation and a look or an acceptance crossed.
        """
        allowed = {work for study in wanted for work in self._ledger.works(study)}
        self._board.allow(allowed)
        self._marked &= {study.id for study in cancelled}
        for study in cancelled:
            if study.id not in self._marked:
                self._board.cancel(work for work in self._ledger.works(study) if work not in allowed)
                self._marked.add(study.id)


def run(settings: Settings) -> None:
    """Look at start and every `settings.reconcile_seconds` until told to stop."""
    configure(settings)
    over = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: over.set())
    store, board = MeteredStore(open_store(settings), Meters.open(settings)), Board.open(settings)
    wait_for_services(settings, store, board)
    ledger = Ledger(store)
    dispatcher = Dispatcher(
        ledger, board, Sender(make_app(settings)), limit=settings.release_limit, products=settings.search_products
    )
    reconciler = Reconciler(ledger, board, dispatcher)
    heart, presence = Heart(settings.heartbeat_file), Presence.open(settings)
    patience = max(SILENCE_SECONDS, 3 * settings.reconcile_seconds)
    _log.info("reconciler looks every %d s", settings.reconcile_seconds)
    while not over.is_set():
        started = time.monotonic()
        try:
            sent = reconciler.look()
            if sent:
                _log.info("released %d steps", sent)
            heart.beat()
            presence.say_alive("reconciler", worker_name(), seconds=patience)
            # Looks that cost much keep their distance, however often somebody asks for one.
            over.wait(max(_LEAST_PAUSE_SECONDS, 2 * (time.monotonic() - started)))
            _wait_for_nudge(board, over, started + settings.reconcile_seconds)
        except SameSkyError as error:  # credentials that ran out come back too
            _log.warning("will look again: %s", error)
            over.wait(_PAUSE_SECONDS)
    presence.say_gone("reconciler", worker_name())


def _wait_for_nudge(board: Board, over: threading.Event, until: float) -> None:
    """Return when somebody asks for a look, when it is time for one, or when told to stop."""
    while not over.is_set() and time.monotonic() < until and not board.wait_for_nudge(1):
        pass
