"""The scorer's process: Celery steps that turn two whole embeddings into one score.

A message only hints: the scorer believes manifests. Loads FAISS in its pool child; never torch.
"""

from __future__ import annotations

import logging
import time
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

from scorer.search.grid import TABLE, Step
from scorer.search.records import Search
from services.bench import Bench, edge
from services.broker import ANNOUNCE, PLAN_SEARCHES, SCORE, SCORE_PAIR, SEARCH_STEP, Sender
from services.dispatch import Dispatcher, plan_step_id, search_step_id
from services.leases import Lease
from services.ledger import Ledger
from services.messages import Announcement, ScoreMessage, SearchMessage, parse_message
from services.steps import StepWork
from services.worker import make_worker_app, run_worker
from shared import keys
from shared.contracts import ScoreSpec
from shared.outcomes import Attempt
from shared.settings import Settings

if TYPE_CHECKING:
    from scorer.shelf import Shelf

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
        if ledger.scored(spec) or not ledger.ready(spec) or _waits(ledger, spec):
            return
        endings = keys.work_endings(spec.pair.left.dataset.name)
        step = StepWork(spec.digest, work=spec.digest, label=spec.pair.label, endings=endings)
        _bench.run(self, asked.study, step, partial(_make_score, spec))


@app.task(name=ANNOUNCE)  # type: ignore[untyped-decorator]
def announce(message: dict[str, Any]) -> None:
    """An embedding is said to be whole: send the scores it completes."""
    with edge():
        spec = parse_message(Announcement, message).embedding
        limits = {"limit": _settings.release_limit, "products": _settings.search_products}
        Dispatcher(_ledger(), _bench.board, Sender(app), **limits).announced(spec)


@app.task(name=PLAN_SEARCHES, bind=True)  # type: ignore[untyped-decorator]
def plan_searches(self: Any, message: dict[str, Any]) -> None:
    """Plan the large searches that come before a score."""
    with edge():
        asked, ledger = parse_message(ScoreMessage, message), _ledger()
        spec = asked.score
        if ledger.scored(spec) or ledger.look_at_searches(spec, _settings.search_products).planned:
            return
        step = StepWork(
            plan_step_id(spec),
            work=spec.digest,
            label=spec.pair.label,
            endings=keys.work_endings(spec.pair.left.dataset.name),
            part="plan of its searches",
        )
        _bench.run(self, asked.study, step, partial(_plan_searches, spec))


@app.task(name=SEARCH_STEP, bind=True)  # type: ignore[untyped-decorator]
def search_step(self: Any, message: dict[str, Any]) -> None:
    """Do one step of a large search."""
    with edge():
        asked = parse_message(SearchMessage, message)
        if _bench.board.cancelled(asked.score):  # where another score needs it too, it is sent again
            return
        search, step = asked.search, Step.parse(asked.step) or TABLE
        work = StepWork(
            search_step_id(search, step),
            work=search.digest,
            label=search.label,
            endings=keys.work_endings(search.embedding.dataset.name),
            part=step.label,
        )
        _bench.run(self, asked.study, work, partial(_do_search_step, search, step))


def _waits(ledger: Ledger, spec: ScoreSpec) -> bool:
    """Whether large searches come before a score, also when the store is asked anew."""
    products = _settings.search_products
    if ledger.look_at_searches(spec, products).ready:
        return False
    ledger.refresh()
    return not ledger.look_at_searches(spec, products).ready


def _plan_searches(spec: ScoreSpec, lease: Lease, attempt: Attempt) -> None:
    from scorer.search import planning

    began = time.monotonic()
    found = planning.plan_searches(
        spec, store=_bench.store, before_commit=lease.check, products=_settings.search_products
    )
    seconds = time.monotonic() - began
    _log.info("%s: searches of %d objects planned in %.1f s", spec.pair.label, found.objects, seconds)


def _do_search_step(search: Search, step: Step, lease: Lease, attempt: Attempt) -> None:
    from scorer.search.steps import do_step

    began = time.monotonic()
    if do_step(
        search,
        step,
        store=_bench.store,
        attempt=attempt.name,
        before_commit=lease.check,
        threads=_settings.threads,
    ):
        seconds = time.monotonic() - began
        _bench.meters.observe("samesky_search_step_seconds", seconds, kind=step.kind)
        _log.info("%s of %s: %.1f s", step.label, search.label, seconds)


def _make_score(spec: ScoreSpec, lease: Lease, attempt: Attempt) -> None:
    from scorer.pipeline import score

    threads = _settings.threads
    record = score(
        spec,
        store=_bench.store,
        threads=threads,
        attempt=attempt,
        before_commit=lease.check,
        on_table=_count_table,
        products=_settings.search_products,
        shelf=_shelf(),
    )
    _bench.meters.observe("samesky_score_seconds", record.provenance.seconds)
    values = ", ".join(f"{result.label} {result.value:.4f}" for result in record.results)
    _log.info("%s: %s of %d objects in %.1f s", spec.pair.label, values, record.objects, record.provenance.seconds)


def _count_table(found: bool) -> None:
    _bench.meters.count(f"samesky_neighbour_cache_{'hits' if found else 'misses'}_total")


@lru_cache(maxsize=1)
def _shelf() -> Shelf:
    """What this pool child keeps from pair to pair."""
    from scorer.shelf import Shelf

    return Shelf(_settings.scorer_cache_mb * 1_000_000)


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
