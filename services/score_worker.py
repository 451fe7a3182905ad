"""The scorer's process: Celery steps that turn two whole embeddings into one score.

A message only hints: the scorer believes manifests. Loads FAISS in its pool child; never torch.
"""

from __future__ import annotations

import logging
from functools import lru_cache
from typing import Any

from services.board import Board, Lease
from services.broker import SCORE, Sender
from services.dispatch import Dispatcher, score_step
from services.failures import worker_name
from services.ledger import Ledger
from services.steps import run_step
from services.worker import make_worker_app, run_worker
from shared import keys
from shared.contracts import EmbeddingSpec, ScoreSpec
from shared.settings import Settings
from shared.stores import open_store

_log = logging.getLogger(__name__)
_settings = Settings.read()
app = make_worker_app(_settings, __name__)


@app.task(name="samesky.score_pair")  # type: ignore[untyped-decorator]
def score_pair(message: dict[str, Any]) -> None:
    """Make one score, if both embeddings of the pair are whole."""
    spec, ledger = ScoreSpec.model_validate(message["score"]), _ledger()
    if ledger.scored(spec) or not ledger.ready(spec):
        return
    run_step(
        spec.digest,
        lambda lease: _make_score(spec, lease),
        digest=spec.digest,
        label=spec.pair.label,
        failure_key=keys.score_failure(spec),
        board=_board(),
        store=ledger.store,
        attempts=_settings.attempts,
    )


@app.task(name="samesky.announce")  # type: ignore[untyped-decorator]
def announce(message: dict[str, Any]) -> None:
    """An embedding is said to be whole: send the scores it completes. Costs its own pairs, not the study's."""
    from scorer.ready import completed_by

    spec, ledger, board = EmbeddingSpec.model_validate(message["embedding"]), _ledger(), _board()
    dispatcher = Dispatcher(ledger, board, Sender(app), limit=_settings.release_limit)
    for study_id in board.wanted_by(spec.digest):
        completed = completed_by(ledger.study(study_id), spec.digest, lambda side: ledger.whole(side) is not None)
        dispatcher.send(score_step(score) for score in completed if not ledger.scored(score))


def _make_score(spec: ScoreSpec, lease: Lease) -> None:
    from scorer.pipeline import score

    record = score(spec, store=_ledger().store, threads=_settings.threads, worker=worker_name())
    lease.check()
    values = ", ".join(f"{name} {result.value:.4f}" for name, result in record.metrics.items())
    _log.info("%s: %s of %d objects in %.1f s", spec.pair.label, values, record.objects, record.provenance.seconds)


@lru_cache(maxsize=1)
def _ledger() -> Ledger:
    return Ledger(open_store(_settings))


@lru_cache(maxsize=1)
def _board() -> Board:
    return Board.open(_settings)


def run(settings: Settings) -> None:
    """Consume the `score` queue until told to stop."""
    run_worker(app, settings, queue=SCORE, service="scorer")
