"""The reconciler: what is wanted minus what exists, onto the queues, at start and on a timer.

It is the one guarantee that nothing is lost: a message, a worker or all of Redis may go, and the next look
restores the work. It loads neither torch nor FAISS. Several may run; they do no harm to one another.
"""

from __future__ import annotations

import logging
import signal
import threading
import time

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
from shared.errors import BadRecord, BrokerUnavailable, StoreUnavailable
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

    def look(self) -> int:
        """One look; how many steps were sent. Raises BrokerUnavailable, StoreUnavailable."""
        if self._ledger.keep_up(self._board):
            self._complete.clear()
        self._ledger.refresh()
        open_studies = []
        for study_id in self._ledger.study_ids():
            if study_id in self._complete:
                continue
            study = self._read(study_id)
            if study is None:
                continue
            self._board.allow(self._ledger.works(study))  # a cancellation may have crossed with its acceptance
            self._board.want(study.id, (spec.digest for spec in study.embeddings))
            open_studies.append(study)
        return self._dispatcher.release(open_studies)

    def _read(self, study_id: str) -> Study | None:
        """An open study; None for one that is complete or cancelled, or cannot be read."""
        try:
            study = self._ledger.study(study_id)
        except BadRecord as error:
            _log.error("study left out: %s", error)
            return None
        if self._ledger.cancelled(study_id):
            return None
        if self._dispatcher.complete(study):
            self._complete.add(study_id)
            return None
        return study


def run(settings: Settings) -> None:
    """Look at start and every `settings.reconcile_seconds` until told to stop."""
    configure(settings)
    over = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: over.set())
    store, board = MeteredStore(open_store(settings), Meters.open(settings)), Board.open(settings)
    wait_for_services(settings, store, board)
    ledger = Ledger(store)
    dispatcher = Dispatcher(ledger, board, Sender(make_app(settings)), limit=settings.release_limit)
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
        except (BrokerUnavailable, StoreUnavailable) as error:
            _log.warning("will look again: %s", error)
            over.wait(_PAUSE_SECONDS)
    presence.say_gone("reconciler", worker_name())


def _wait_for_nudge(board: Board, over: threading.Event, until: float) -> None:
    """Return when somebody asks for a look, when it is time for one, or when told to stop."""
    while not over.is_set() and time.monotonic() < until and not board.wait_for_nudge(1):
        pass
