"""The scorer's process: Celery steps that turn two whole embeddings into one score.

A message only hints: the scorer believes manifests. Loads FAISS in its pool child; never torch.
"""

from __future__ import annotations

import logging
from functools import lru_cache, partial
from typing import Any

from services.board import Board
from services.broker import ANNOUNCE, SCORE, SCORE_PAIR, Sender
from services.dispatch import Dispatcher, score_step
from services.leases import Lease
from services.ledger import Ledger
from services.messages import Announcement, ScoreMessage, parse_message
from services.metered_store import MeteredStore
from services.meters import Meters
from services.steps import StepWork
from services.worker import delivery_of, edge, make_runner, make_worker_app, nudge_when_low, run_worker
from shared import keys
from shared.contracts import Attempt, ScoreSpec
from shared.log import context
from shared.settings import Settings
from shared.stores import open_store

_log = logging.getLogger(__name__)
_settings = Settings.read()
app = make_worker_app(_settings, __name__)


@app.task(name=SCORE_PAIR, bind=True)  # type: ignore[untyped-decorator]
def score_pair(self: Any, message: dict[str, Any]) -> None:
    """Make one score, if both embeddings of the pair are whole."""
    with edge():
        asked = parse_message(ScoreMessage, message)
        spec, ledger, board = asked.score, _ledger(), _board()
        if ledger.scored(spec) or not ledger.ready(spec):
            return
        step = StepWork(
            spec.digest,
            work=spec.digest,
            label=spec.pair.label,
            endings=keys.work_endings(spec.pair.left.dataset.name),
        )
        runner = make_runner(board, ledger.store, _meters(), _settings)
        with context(study=asked.study):
            runner.run(step, partial(_make_score, spec), delivery_of(self, board))
        nudge_when_low(board, SCORE, _settings)


@app.task(name=ANNOUNCE)  # type: ignore[untyped-decorator]
def announce(message: dict[str, Any]) -> None:
    """An embedding is said to be whole: send the scores it completes. Costs its own pairs, not the study's."""
    from scorer.ready import completed_by

    with edge():
        spec = parse_message(Announcement, message).embedding
        ledger, board = _ledger(), _board()
        dispatcher = Dispatcher(ledger, board, Sender(app), limit=_settings.release_limit)
        for study_id in board.wanted_by(spec.digest):
            completed = completed_by(ledger.study(study_id), spec.digest, lambda side: ledger.whole(side) is not None)
            steps = (score_step(score, study_id) for score in completed if not ledger.scored(score))
            dispatcher.send([steps], after=board.queued_for(SCORE, study_id))


def _make_score(spec: ScoreSpec, lease: Lease, attempt: Attempt) -> None:
    from scorer.pipeline import score

    store, threads = _ledger().store, _settings.threads
    record = score(
        spec, store=store, threads=threads, attempt=attempt, before_commit=lease.check, on_table=_count_table
    )
    _meters().observe("samesky_score_seconds", record.provenance.seconds)
    values = ", ".join(f"{name} {result.value:.4f}" for name, result in record.metrics.items())
    _log.info("%s: %s of %d objects in %.1f s", spec.pair.label, values, record.objects, record.provenance.seconds)


def _count_table(found: bool) -> None:
    _meters().count(f"samesky_neighbour_cache_{'hits' if found else 'misses'}_total")


@lru_cache(maxsize=1)
def _known() -> Ledger:
    return Ledger(MeteredStore(open_store(_settings), _meters()))


def _ledger() -> Ledger:
    """What this process knows of finished work, unless somebody said that it may no longer be so."""
    ledger = _known()
    ledger.keep_up(_board())
    return ledger


@lru_cache(maxsize=1)
def _meters() -> Meters:
    return Meters.open(_settings)


@lru_cache(maxsize=1)
def _board() -> Board:
    return Board.open(_settings)


def run(settings: Settings) -> None:
    """Consume the `score` queue until told to stop."""
    run_worker(app, settings, queue=SCORE, service="scorer")
