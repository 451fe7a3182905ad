"""The embedder's process: Celery steps that make parts of embeddings.

The worker itself loads no torch; its one pool child, a fresh interpreter, does, and keeps the model it loaded
last. A step is one part, at all layers that are wanted of it, so a worker that dies wastes at most one.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache, partial
from typing import TYPE_CHECKING, Any

from embedder.extensions import extensions
from services.bench import Bench, edge
from services.broker import ANNOUNCE, EMBED, EMBED_PART, SCORE, Sender
from services.dispatch import part_step_id
from services.failures import parent_name
from services.leases import Lease, manifest_step_id
from services.messages import PartMessage, parse_message
from services.steps import StepWork
from services.worker import make_worker_app, run_worker
from shared import keys
from shared.contracts import DatasetRef, EmbeddingSpec
from shared.embeddings import list_parts, read_manifest
from shared.errors import BrokerUnavailable, LeaseLost, Permanent, Retryable
from shared.outcomes import Attempt, Part
from shared.settings import Settings

if TYPE_CHECKING:
    from embedder.adapters.loading import KeptAdapter
    from embedder.samples import Source

_log = logging.getLogger(__name__)
_settings = Settings.read()
_bench = Bench(_settings, EMBED)
app = make_worker_app(_settings, __name__)


@app.task(name=EMBED_PART, bind=True)  # type: ignore[untyped-decorator]
def embed_part(self: Any, message: dict[str, Any]) -> None:
    """Make one part of an embedding, and of others that the same pass gives; with its last part, its manifest."""
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
        _bench.run(self, asked.study, step, partial(_make_part, asked.embeddings, index))


def _make_part(specs: Sequence[EmbeddingSpec], index: int, lease: Lease, attempt: Attempt) -> None:
    """specs: the job whose step this is, which alone may fail it, and others that the same pass gives."""
    from embedder import pipeline
    from embedder.sources.tables import check_unchanged

    spec = specs[0]
    start, stop = spec.part_range(index)

    def before_store() -> None:
        lease.check()
        check_unchanged(spec.dataset)

    parts = pipeline.embed_part(
        specs,
        index,
        source=_source(spec.dataset),
        adapter=_models().load(spec.model, spec.dtype),
        store=_bench.store,
        attempt=attempt,
        batch=_settings.batch,
        on_rows=lambda rows: _report(index, {each.digest: rows for each in specs}),
        before_store=before_store,
    )
    _report(index, {each.digest: stop - start if each.layer in parts else 0 for each in specs})
    made = {layer: part for layer, part in parts.items() if keys.attempt_of(part.key) == attempt.name}
    _count(spec, index, list(made.values()))
    unfinished = _unfinished([each for each in specs if each.layer in made])
    _finish_others([each for each in specs[1:] if each.digest not in unfinished])
    if spec.digest not in unfinished:
        _finish(spec)


def _unfinished(specs: Sequence[EmbeddingSpec]) -> set[str]:
    """Those of `specs`, a part of which was made now, that miss rows as far as the board knows.

    The store is not asked of these, which costs as much as they have parts. If the board has lost count, the reconciler
    finds every part there and no manifest, and sends a step that finds its part made, and so asks.
    """
    try:
        rows = _bench.board.rows_done(spec.digest for spec in specs)
    except BrokerUnavailable:
        return set()
    return {spec.digest for spec, done in zip(specs, rows, strict=True) if done.rows < spec.dataset.rows}


def _count(spec: EmbeddingSpec, index: int, made: Sequence[Part]) -> None:
    """Count what one pass made: vectors of every layer, and the seconds of the whole."""
    if not made:  # it was stored before, and only a manifest was missing
        return
    rows, seconds = sum(part.rows for part in made), sum(part.seconds for part in made)
    _bench.meters.count("samesky_rows_total", rows)
    _bench.meters.observe("samesky_part_seconds", seconds, model=spec.model.name)
    layers = f" of {len(made)} layers" if len(made) > 1 else ""
    _log.info("%s part %d: %d vectors%s in %.1f s", spec.label, index, rows, layers, seconds)


def _finish_others(specs: Sequence[EmbeddingSpec]) -> None:
    """Finish those of `specs` that are whole now; what is wrong with one is for its own step to say."""
    for spec in specs:
        try:
            if len(list_parts(_bench.store, spec)) >= spec.parts():
                _finish(spec)
        except (LeaseLost, Permanent) as error:
            _log.warning("%s is left to its own step: %s", spec.label, error)
        except Retryable as error:
            _log.warning("%s and what comes after it are left to their own steps: %s", spec.label, error)
            return


def _finish(spec: EmbeddingSpec) -> None:
    """Declare the embedding whole if it is, and announce it."""
    from embedder import pipeline

    with _bench.board.leases.lease(manifest_step_id(spec.digest), parent_name()) as last:
        # One writer at a time, for stores that cannot say who was first. If the holder does not see this part yet,
        # the reconciler finds every part there and no manifest, and sends one more step.
        if last is not None and pipeline.finish(spec, _bench.store, before_commit=last.check) is not None:
            _announce(spec)


def _announce(spec: EmbeddingSpec) -> None:
    try:
        Sender(app).send(ANNOUNCE, SCORE, {"embedding": spec.model_dump(mode="json")})
    except BrokerUnavailable as error:
        _log.warning("%s; the reconciler will find the embedding", error)


def _report(index: int, rows: Mapping[str, int]) -> None:
    """Write up how many rows of part `index` are done. rows: by embedding."""
    try:
        for embedding, done in rows.items():
            _bench.board.set_rows(embedding, {index: done})
    except BrokerUnavailable as error:
        _log.warning("%s; progress is not shown meanwhile", error)


@cache
def _models() -> KeptAdapter:
    from embedder.adapters.loading import KeptAdapter

    return KeptAdapter(_settings)


@lru_cache(maxsize=4)
def _source(dataset: DatasetRef) -> Source:
    from embedder.sources.kinds import open_source

    return open_source(dataset, _settings)


def run(settings: Settings) -> None:
    """Consume the `embed` queue until told to stop. Raises BadExtension for a package that adds models, and cannot."""
    extensions()
    run_worker(app, settings, queue=EMBED, service="embedder")
