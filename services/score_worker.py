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
from services.steps import Runner, StepWork
from services.worker import delivery_of, make_worker_app, nudge_when_low, run_worker
from shared import keys
from shared.contracts import Attempt, EmbeddingSpec, ScoreSpec
from shared.settings import Settings
from shared.stores import open_store

_log = logging.getLogger(__name__)
_settings = Settings.read()
app = make_worker_app(_settings, __name__)


@app.task(name=SCORE_PAIR, bind=True)  # type: ignore[untyped-decorator]
def score_pair(self: Any, message: dict[str, Any]) -> None:
    """Make one score, if both embeddings of the pair are whole."""
    spec, ledger, board = ScoreSpec.model_validate(message["score"]), _ledger(), _board()
    if ledger.scored(spec) or not ledger.ready(spec):
        return
    step = StepWork(
        spec.digest,
        work=spec.digest,
        label=spec.pair.label,
        endings=keys.work_endings(spec.pair.left.dataset.name),
    )
    runner = Runner(board, ledger.store, attempts=_settings.attempts)
    runner.run(step, partial(_make_score, spec), delivery_of(self, board))
    nudge_when_low(board, SCORE, _settings)


@app.task(name=ANNOUNCE)  # type: ignore[untyped-decorator]
def announce(message: dict[str, Any]) -> None:
    """An embedding is said to be whole: send the scores it completes. Costs its own pairs, not the study's."""
    from scorer.ready import completed_by

    spec, ledger, board = EmbeddingSpec.model_validate(message["embedding"]), _ledger(), _board()
    dispatcher = Dispatcher(ledger, board, Sender(app), limit=_settings.release_limit)
    for study_id in board.wanted_by(spec.digest):
        completed = completed_by(ledger.study(study_id), spec.digest, lambda side: ledger.whole(side) is not None)
        dispatcher.send([(score_step(score) for score in completed if not ledger.scored(score))])


def _make_score(spec: ScoreSpec, lease: Lease, attempt: Attempt) -> None:
    from scorer.pipeline import score

    store, threads = _ledger().store, _settings.threads
    record = score(spec, store=store, threads=threads, attempt=attempt, before_commit=lease.check)
    values = ", ".join(f"{name} {result.value:.4f}" for name, result in record.metrics.items())
    _log.info("%s: %s of %d objects in %.1f s", spec.pair.label, values, record.objects, record.provenance.seconds)


@lru_cache(maxsize=1)
def _known() -> Ledger:
    return Ledger(open_store(_settings))


def _ledger() -> Ledger:
    """What this process knows of finished work, unless somebody said that it may no longer be so."""
    ledger = _known()
    ledger.keep_up(_board())
    return ledger


@lru_cache(maxsize=1)
def _board() -> Board:
    return Board.open(_settings)


def run(settings: Settings) -> None:
    """Consume the `score` queue until told to stop."""
    run_worker(app, settings, queue=SCORE, service="scorer")
