"""The embedder's process: Celery steps that make parts of embeddings.

The worker itself loads no torch; its one pool child, a fresh interpreter, does, and keeps the model it loaded
last. A step is one part, so a worker that dies wastes at most one.
"""

from __future__ import annotations

import logging
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

from embedder.extensions import extensions
from services.bench import Bench, edge
from services.board import Board
from services.broker import ANNOUNCE, EMBED, EMBED_PART, SCORE, Sender
from services.dispatch import part_step_id
from services.failures import parent_name
from services.leases import Lease, manifest_step_id
from services.messages import PartMessage, parse_message
from services.steps import StepWork
from services.worker import make_worker_app, run_worker
from shared import keys
from shared.contracts import DatasetRef, Dtype, EmbeddingSpec, ModelRef
from shared.embeddings import read_manifest
from shared.errors import BrokerUnavailable
from shared.outcomes import Attempt
from shared.settings import Settings

if TYPE_CHECKING:
    from embedder.adapters.base import Adapter
    from embedder.samples import Source

_log = logging.getLogger(__name__)
_settings = Settings.read()
_bench = Bench(_settings, EMBED)
app = make_worker_app(_settings, __name__)


@app.task(name=EMBED_PART, bind=True)  # type: ignore[untyped-decorator]
def embed_part(self: Any, message: dict[str, Any]) -> None:
    """Make one part of an embedding; with the last part, its manifest."""
    with edge():
        asked = parse_message(PartMessage, message)
        spec, index = asked.embedding, asked.part
        if read_manifest(_bench.store, spec) is not None:
            return
        step = StepWork(
            part_step_id(spec.digest, index),
            work=spec.digest,
            label=spec.label,
            endings=keys.work_endings(spec.dataset.name),
            part=f"part {index}",
        )
        _bench.run(self, asked.study, step, partial(_make_part, spec, index))


def _make_part(spec: EmbeddingSpec, index: int, lease: Lease, attempt: Attempt) -> None:
    from embedder import pipeline
    from embedder.sources.tables import check_unchanged

    board, store, meters = _bench.board, _bench.store, _bench.meters
    start, stop = spec.part_range(index)

    def before_store() -> None:
        lease.check()
        check_unchanged(spec.dataset)

    parts = pipeline.embed_part(
        [spec],
        index,
        source=_source(spec.dataset),
        adapter=_adapter(spec.model, spec.dtype),
        store=store,
        attempt=attempt,
        batch=_settings.batch,
        on_rows=lambda rows: _report(board, spec.digest, index, rows),
        before_store=before_store,
    )
    part = parts[spec.layer]
    _report(board, spec.digest, index, stop - start)
    if part.token == attempt.token:  # else it was stored before, and only the manifest was missing
        meters.count("samesky_rows_total", part.rows)
        meters.observe("samesky_part_seconds", part.seconds, model=spec.model.name)
        _log.info("%s part %d: %d vectors in %.1f s", spec.label, index, part.rows, part.seconds)
    with board.leases.lease(manifest_step_id(spec.digest), parent_name()) as last:
        # One writer at a time, for stores that cannot say who was first. If the holder does not see this part yet,
        # the reconciler finds every part there and no manifest, and sends one more step.
        if last is not None and pipeline.finish(spec, store, before_commit=last.check) is not None:
            _announce(spec)


def _announce(spec: EmbeddingSpec) -> None:
    try:
        Sender(app).send(ANNOUNCE, SCORE, {"embedding": spec.model_dump(mode="json")})
    except BrokerUnavailable as error:
        _log.warning("%s; the reconciler will find the embedding", error)


def _report(board: Board, embedding: str, index: int, rows: int) -> None:
    try:
        board.set_rows(embedding, {index: rows})
    except BrokerUnavailable as error:
        _log.warning("%s; progress is not shown meanwhile", error)


@lru_cache(maxsize=1)
def _adapter(model: ModelRef, dtype: Dtype) -> Adapter:
    from embedder.adapters.loading import load_adapter

    return load_adapter(model, _settings, dtype)


@lru_cache(maxsize=4)
def _source(dataset: DatasetRef) -> Source:
    from embedder.sources.kinds import open_source

    return open_source(dataset, _settings)


def run(settings: Settings) -> None:
    """Consume the `embed` queue until told to stop. Raises BadExtension for a package that adds models, and cannot."""
    extensions()
    run_worker(app, settings, queue=EMBED, service="embedder")
