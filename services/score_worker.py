"""The scorer's process: Celery steps that turn two whole embeddings into one score.

A message only hints: the scorer believes manifests. Loads FAISS in its pool child; never torch.
"""

from __future__ import annotations

import logging
from functools import lru_cache, partial
from typing import Any

from services.bench import Bench, edge
from services.broker import ANNOUNCE, SCORE, SCORE_PAIR, Sender
from services.dispatch import Dispatcher
from services.leases import Lease
from services.ledger import Ledger
from services.messages import Announcement, ScoreMessage, parse_message
from services.steps import StepWork
from services.worker import make_worker_app, run_worker
from shared import keys
from shared.contracts import ScoreSpec
from shared.outcomes import Attempt
from shared.settings import Settings

_log = logging.getLogger(__name__)
_settings = Settings.read()
_bench = Bench(_settings, SCORE)
app = make_worker_app(_settings, __name__)


@app.task(name=SCORE_PAIR, bind=True)  # type: ignore[untyped-decorator]
def score_pair(self: Any, message: dict[str, Any]) -> None:
    """Make one score, if both embeddings of the pair are whole."""
    with edge():
        asked, ledger = parse_message(ScoreMessage, message), _ledger()
        spec = asked.score
        if ledger.scored(spec) or not ledger.ready(spec):
            return
        endings = keys.work_endings(spec.pair.left.dataset.name)
        step = StepWork(spec.digest, work=spec.digest, label=spec.pair.label, endings=endings)
        _bench.run(self, asked.study, step, partial(_make_score, spec))


@app.task(name=ANNOUNCE)  # type: ignore[untyped-decorator]
def announce(message: dict[str, Any]) -> None:
    """An embedding is said to be whole: send the scores it completes."""
    with edge():
        spec = parse_message(Announcement, message).embedding
        Dispatcher(_ledger(), _bench.board, Sender(app), limit=_settings.release_limit).announced(spec)


def _make_score(spec: ScoreSpec, lease: Lease, attempt: Attempt) -> None:
    from scorer.pipeline import score

    threads = _settings.threads
    record = score(
        spec, store=_bench.store, threads=threads, attempt=attempt, before_commit=lease.check, on_table=_count_table
    )
    _bench.meters.observe("samesky_score_seconds", record.provenance.seconds)
    values = ", ".join(f"{result.label} {result.value:.4f}" for result in record.results)
    _log.info("%s: %s of %d objects in %.1f s", spec.pair.label, values, record.objects, record.provenance.seconds)


def _count_table(found: bool) -> None:
    _bench.meters.count(f"samesky_neighbour_cache_{'hits' if found else 'misses'}_total")


@lru_cache(maxsize=1)
def _known() -> Ledger:
    return Ledger(_bench.store)


def _ledger() -> Ledger:
    """What this process knows of finished work, unless somebody said that it may no longer be so."""
    ledger = _known()
    ledger.keep_up(_bench.board)
    return ledger


def run(settings: Settings) -> None:
    """Consume the `score` queue until told to stop."""
    run_worker(app, settings, queue=SCORE, service="scorer")
