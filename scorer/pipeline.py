"""From two whole embeddings to one score record: the whole story, read from top to bottom.

Imports `shared`, numpy and, through the neighbour search, FAISS; never torch.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

from scorer.comparison import Comparison, Measured
from scorer.metrics import Asked, Metric, find_metric, find_probe
from scorer.neighbour_cache import OnTable, ignore_table
from scorer.probes.probing import FEWEST, Probing
from scorer.records import read_score, result_of, write_nulls, write_objects
from scorer.shelf import Shelf
from scorer.sides import StoredSide
from scorer.whole import read_whole, share
from shared import keys
from shared.contracts import ScoreSpec
from shared.errors import BadRecord, BadStudy, DegenerateEmbedding, Permanent, TooFewObjects
from shared.outcomes import Attempt, Provenance, ScoreRecord, Transition
from shared.packages import package_versions
from shared.records import sha256_of
from shared.states import State
from shared.store import ObjectStore

_PACKAGES = ("samesky", "faiss-cpu", "numpy", "pyarrow", "scipy")
_Answer = tuple[Metric[Comparison] | Metric[Probing], int | None, Measured]


def score(
    spec: ScoreSpec,
    *,
    store: ObjectStore,
    threads: int,
    attempt: Attempt,
    before_commit: Callable[[], None] = lambda: None,
    on_table: OnTable = ignore_table,
    products: int | None = None,
    shelf: Shelf | None = None,
) -> ScoreRecord:
    """Make the score of a pair, unless it is made, and return the record that the store now holds.

    threads: for FAISS, BLAS and relabellings; 0 means all cores. attempt: who does the work, for the record. Values
    per object and per relabelling are stored before the record, so a record names what is there. before_commit: asked
    when all is computed; what it raises keeps the score out of the store. on_table: told of each neighbour table that
    the store was asked for whether it was found there. products: a search for neighbours of more products is none of
    this; None: all are. shelf: keeps what other pairs need again; no number depends on it. Raises NotReady (retryable)
    while an embedding, or the table of such a search, is not there, UnknownName for a metric, TooFewObjects,
    ZeroVector, DegenerateEmbedding, BadStudy for a pair of labels, and Corrupt for what the store has lost or altered;
    then no record is written.
    """
    found = read_score(store, spec)
    if found is not None:
        return found
    started = time.monotonic()
    shelf = shelf or Shelf.of_nothing()
    left, right = (read_whole(store, side, shelf) for side in (spec.pair.left, spec.pair.right))
    overlap = share(left, right, at_least=_fewest_objects(spec), shelf=shelf)
    ids = overlap.object_ids
    most = spec.scoring.largest_k
    sides = (
        StoredSide(store, left.manifest, left.sha256, ids, overlap.left_rows, most, on_table, products, shelf),
        StoredSide(store, right.manifest, right.sha256, ids, overlap.right_rows, most, on_table, products, shelf),
    )
    threads = threads or os.cpu_count() or 1
    with _thread_pools().limit(limits=threads):
        measured = _probe(spec, *sides) if spec.pair.kind == "probe" else _compare(spec, *sides, threads)
    before_commit()
    results = tuple(result_of(*each) for each in measured)
    answers = {result.label: answer for result, (_, _, answer) in zip(results, measured, strict=True)}
    values = _store_values(store, spec, ids, answers, before_commit)
    at = datetime.now(UTC).isoformat(timespec="milliseconds")
    record = ScoreRecord(
        spec=spec,
        left_objects=overlap.left_objects,
        right_objects=overlap.right_objects,
        objects=len(ids),
        results=results,
        **values,
        provenance=Provenance(
            left_manifest=left.sha256,
            right_manifest=right.sha256,
            packages=package_versions(*_PACKAGES),
            seconds=round(time.monotonic() - started, 3),
            threads=threads,
            created_at=at,
            worker=attempt.worker,
        ),
        history=(*attempt.history, Transition(state=State.DONE, at=at, worker=attempt.worker)),
    )
    if store.put_if_absent(keys.score(spec), record.to_json()):
        return record
    return read_score(store, spec) or record


@cache  # to look for them takes milliseconds; all are loaded with this module
def _thread_pools() -> ThreadpoolController:
    return ThreadpoolController()


def _store_values(
    store: ObjectStore,
    spec: ScoreSpec,
    object_ids: Sequence[str],
    answers: Mapping[str, Measured],
    before_commit: Callable[[], None],
) -> dict[str, Any]:
    """Store what each result is per object and per relabelling; the fields of the record that name both tables."""
    per_object = {name: one.per_object for name, one in answers.items() if one.per_object is not None}
    nulls = {name: one.null for name, one in answers.items() if one.null is not None}
    tables = {
        "per_object": (keys.score_objects(spec), write_objects(object_ids, per_object)),
        "nulls": (keys.score_nulls(spec), write_nulls(nulls)),
    }
    with ThreadPoolExecutor(len(tables)) as pool:  # a store is waited for, not worked for
        put = [pool.submit(store.put_if_absent, key, data) for key, data in tables.values()]
    for (key, data), done in zip(tables.values(), put, strict=True):
        if not done.result():
            before_commit()  # a start that did not end left others; or a successor's are not ours to replace
            store.put(key, data)
    named = {field: key for field, (key, _) in tables.items()}
    return named | {f"{field}_sha256": sha256_of(data) for field, (_, data) in tables.items()}


def _fewest_objects(spec: ScoreSpec) -> int:
    """Objects that the two sides must share."""
    return max(spec.scoring.largest_k + 1, FEWEST if spec.pair.kind == "probe" else 0)


def _compare(spec: ScoreSpec, left: StoredSide, right: StoredSide, threads: int) -> list[_Answer]:
    """What the metrics say of two embeddings."""
    metrics = [find_metric(name, spec.metric_versions.get(name)) for name in spec.scoring.metrics]
    comparison = Comparison(
        object_ids=left.object_ids,
        left=left,
        right=right,
        scoring=spec.scoring,
        pair_digest=spec.pair.digest,
        k=spec.scoring.k[0],
        threads=threads,
        shelf=left.shelf,
    )
    return list(_measure(metrics, comparison))


def _probe(spec: ScoreSpec, left: StoredSide, right: StoredSide) -> list[_Answer]:
    """What the probes say of an embedding and a label, which may stand on either side."""
    probes = [find_probe(name, spec.metric_versions.get(name)) for name in spec.scoring.metrics]
    embedding, label = (right, left) if left.manifest.spec.modality.kind == "label" else (left, right)
    if embedding.manifest.spec.modality.kind == "label":
        raise BadStudy(f"{spec.pair.label} is a pair of two labels", "an embedding and a label")
    probing = Probing(
        object_ids=label.object_ids,
        side=embedding,
        values=_numbers_of(label),
        classes=label.manifest.spec.modality.classes,
        scoring=spec.scoring,
        pair_digest=spec.pair.digest,
        label_digest=label.manifest.spec.digest,
        k=spec.scoring.k[0],
    )
    return list(_measure(probes, probing))


def _measure(metrics: Iterable[Metric[Asked]], asked: Asked) -> Iterator[tuple[Metric[Asked], int | None, Measured]]:
    """Each metric's answer; of one that counts neighbours, an answer for each k."""
    for metric in metrics:
        for k in asked.scoring.k if metric.per_k else (None,):
            try:
                measured = metric.measure(asked if k is None else replace(asked, k=k))
            except (DegenerateEmbedding, TooFewObjects) as error:
                raise _of_metric(error, metric.name, len(asked.scoring.metrics)) from error
            yield metric, k, measured


def _of_metric(error: Permanent, name: str, metrics: int) -> Permanent:
    """The same error, with the metric that cannot be measured: without it the others of the study may be."""
    instead = (f"or leave out `{name}`",) if metrics > 1 else ()
    remedy = "; ".join(part for part in (error.remedy, *instead) if part)
    return type(error)(f"{name}: {error.wrong}", error.expected, remedy)


def _numbers_of(label: StoredSide) -> npt.NDArray[np.float64]:
    """The label of each shared object, `(n,)`: the one number of its vector."""
    matrix = label.vectors().matrix
    if matrix.shape[1] != 1:
        raise BadRecord(f"the label {label.manifest.spec.label} has vectors of {matrix.shape[1]} numbers", "of one")
    return matrix[:, 0].astype(np.float64)
