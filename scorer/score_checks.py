"""What must hold of one score record, whoever wrote it: its manifests, its numbers, its objects' values.

Pure functions that yield what is wrong, in words; nothing, where all is well.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from scorer.intervals import jackknife_error
from scorer.metrics import METRICS, results_wanted
from scorer.nulls import chance_of_mknn
from scorer.records import Floats, read_objects
from shared import keys
from shared.errors import BadArchive, SameSkyError
from shared.outcomes import Manifest, MetricResult, ScoreRecord
from shared.records import sha256_of
from shared.store import ObjectStore


class Known(NamedTuple):
    """A manifest that can be read, and the SHA-256 of its bytes."""

    manifest: Manifest
    sha256: str


def provenance_problems(record: ScoreRecord, manifests: Mapping[str, Known]) -> Iterator[str]:
    """The manifests it names are those that are here, and say what it says of them. manifests: by embedding digest."""
    pair, source, label = record.spec.pair, record.provenance, record.spec.pair.label
    sides = (
        (pair.left, source.left_manifest, record.left_objects),
        (pair.right, source.right_manifest, record.right_objects),
    )
    for spec, named, objects in sides:
        known = manifests.get(spec.digest)
        if known is None:
            yield f"{label} stands on {spec.label}, of which there is no manifest"
        elif known.sha256 != named:
            yield f"{label} was made from another manifest of {spec.label}: {named}, not {known.sha256}"
        elif known.manifest.rows != objects:
            yield f"{label} says that {spec.label} has {objects} objects, its manifest {known.manifest.rows}"
    if record.objects > min(record.left_objects, record.right_objects):
        yield f"{label} says that {record.left_objects} and {record.right_objects} objects share {record.objects}"


def result_problems(record: ScoreRecord) -> Iterator[str]:
    """Each result that is wanted is there, once, and its numbers can be.

    A metric that this release does not know is taken as it is.
    """
    label, scoring = record.spec.pair.label, record.spec.scoring
    there = [result.label for result in record.results]
    if len(set(there)) != len(there):
        yield f"{label} has a result twice"
    found = {(result.metric, result.k) for result in record.results}
    for metric, k in results_wanted(scoring):
        if metric in METRICS and (metric, k) not in found:
            yield f"{label} has no {metric}{'' if k is None else f'@{k}'}"
    for result in record.results:
        if result.metric not in scoring.metrics:
            yield f"{label} has {result.label}, for which nobody asked"
        yield from (f"{label}: {problem}" for problem in _number_problems(record, result))


def _number_problems(record: ScoreRecord, result: MetricResult) -> Iterator[str]:
    wanted = record.spec.metric_versions.get(result.metric, result.metric_version)
    if wanted != result.metric_version:
        yield f"{result.label} is of version {result.metric_version}, not {wanted}"
    if result.metric == "mknn" and result.k is not None and record.objects > 1:
        chance = chance_of_mknn(record.objects, result.k)
        if result.chance is None or not math.isclose(result.chance, chance, rel_tol=1e-12):
            yield f"the chance of {result.label} is {result.chance}, and k/(n-1) is {chance}"
    if result.p_value is not None and result.permutations:
        reached = result.p_value * (result.permutations + 1)
        if reached < 0.5 or not math.isclose(reached, round(reached), rel_tol=1e-9):
            yield f"{result.permutations} permutations give {result.label} no p-value of {result.p_value}"
    if result.interval and result.interval.low > result.interval.high:
        yield f"the interval of {result.label} ends at {result.interval.high}, before {result.interval.low}"


def read_columns(archive: ObjectStore, record: ScoreRecord) -> dict[str, Floats]:
    """The values of a score's objects, `(objects,)` each, by the label of their result.

    Raises BadArchive, naming what is wrong, for a table that is not the record's.
    """
    key, label = keys.score_objects(record.spec), record.spec.pair.label
    if record.per_object != key:
        raise BadArchive(f"{label} names {record.per_object!r:.200}, and not its table {key}")
    data = archive.get(key)
    if sha256_of(data) != record.per_object_sha256:
        named = record.per_object_sha256 or "none"
        raise BadArchive(f"{key} has the SHA-256 {sha256_of(data)}, and its score names {named}")
    try:
        _, columns = read_objects(data, record.objects)
    except SameSkyError as error:
        raise BadArchive(f"{key}: {error}") from error
    labels = {result.label for result in record.results}
    for column in columns:
        if column not in labels:
            raise BadArchive(f"{key} has a column {column!r:.100}, of which there is no result")
    return columns


def mean_problems(record: ScoreRecord, columns: Mapping[str, Floats]) -> Iterator[str]:
    """Value and standard error of each result that is a mean over objects are those of its column."""
    label = record.spec.pair.label
    for result in record.results:
        values = columns.get(result.label)
        if values is not None:
            yield from (f"{label}: {problem}" for problem in _column_problems(result, values))
        elif result.metric == "mknn":
            yield f"{label}: there are no values of objects for {result.label}"


def _column_problems(result: MetricResult, values: Floats) -> Iterator[str]:
    mean = float(values.mean())
    if not math.isclose(result.value, mean, rel_tol=1e-9, abs_tol=1e-12):
        yield f"{result.label} is {result.value}, and the mean of its objects {mean}"
    if result.standard_error is not None and len(values) > 1:
        error = jackknife_error(values)
        if not math.isclose(result.standard_error, error, rel_tol=1e-6, abs_tol=1e-12):
            yield f"the standard error of {result.label} is {result.standard_error}, and that of its objects {error}"
    if result.metric == "mknn" and result.k is not None and not _are_shares(values, result.k):
        yield f"the values of objects for {result.label} are not shares of {result.k} neighbours"


def _are_shares(values: Floats, k: int) -> bool:
    """Whether each is a whole number of k."""
    counts = values * k
    whole = np.rint(counts)
    return bool(np.all((whole >= 0) & (whole <= k) & (np.abs(counts - whole) < 1e-6)))
