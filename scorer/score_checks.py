"""What must hold of one score record, whoever wrote it: its manifests, its numbers, its objects' values.

Pure functions that yield what is wrong, in words; nothing, where all is well.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from scorer.calibration import calibrate
from scorer.intervals import jackknife_error
from scorer.metrics import METRICS, PROBES, results_wanted
from scorer.nulls import chance_of_mknn
from scorer.records import Floats
from shared import keys
from shared.outcomes import Manifest, MetricResult, ScoreRecord

_TIE_DECIMALS = 12  # sums of the same numbers in another order differ in later ones, and are ties


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

    Of a metric that this release does not know, which may count neighbours or not, any result will do.
    """
    label, scoring = record.spec.pair.label, record.spec.scoring
    there = [result.label for result in record.results]
    if len(set(there)) != len(there):
        yield f"{label} has a result twice"
    found = {(result.metric, result.k) for result in record.results}
    strange = {metric for metric, _ in found if metric not in METRICS and metric not in PROBES}
    for metric, k in results_wanted(scoring):
        if (metric, k) not in found and metric not in strange:
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


def table_problems(record: ScoreRecord) -> Iterator[str]:
    """It names its own tables; that of nulls only if it has one."""
    spec, label = record.spec, record.spec.pair.label
    for named, own in ((record.per_object, keys.score_objects(spec)), (record.nulls, keys.score_nulls(spec))):
        if named != own and (named or own == keys.score_objects(spec)):
            yield f"{label} names {named!r:.200}, and not its table {own}"


def mean_problems(record: ScoreRecord, columns: Mapping[str, Floats]) -> Iterator[str]:
    """The value of each result that is a mean over objects is that of its column. columns: `(objects,)`, by label."""
    label = record.spec.pair.label
    for result in record.results:
        values = columns.get(result.label)
        if values is not None:
            yield from (f"{label}: {problem}" for problem in _column_problems(result, values))
        elif result.metric == "mknn":
            yield f"{label}: there are no values of objects for {result.label}"


def null_problems(record: ScoreRecord, nulls: Mapping[str, Floats]) -> Iterator[str]:
    """p-value, threshold and calibrated score of each result are those of its null. nulls: `(permutations,)`, by label.

    Nothing where the record names no table of nulls.
    """
    confidence, label = record.spec.scoring.confidence, record.spec.pair.label
    for result in record.results:
        null = nulls.get(result.label)
        if null is None:
            if record.nulls and result.permutations:
                yield f"{label}: there are no values under relabelling for {result.label}"
            continue
        worth = calibrate(round(result.value, _TIE_DECIMALS), null.round(_TIE_DECIMALS), confidence)
        for name, said, found in (
            ("p-value", result.p_value, worth.p_value),
            ("threshold", result.threshold, worth.threshold),
            ("calibrated score", result.calibrated, worth.calibrated),
        ):
            if said is not None and not math.isclose(said, found, rel_tol=1e-9, abs_tol=1e-9):
                yield f"{label}: the {name} of {result.label} is {said}, and by its null {found}"


def _column_problems(result: MetricResult, values: Floats) -> Iterator[str]:
    mean = float(values.mean())
    if not math.isclose(result.value, mean, rel_tol=1e-9, abs_tol=1e-12):
        yield f"{result.label} is {result.value}, and the mean of its objects {mean}"
    if (
        result.metric == "mknn" and len(values) > 1
    ):  # of other metrics, errors may be of what cannot be told from one column
        error = jackknife_error(values)
        if not math.isclose(result.standard_error or 0.0, error, rel_tol=1e-6, abs_tol=1e-12):
            yield f"the standard error of {result.label} is {result.standard_error}, and that of its objects {error}"
        if result.k is not None and not _are_shares(values, result.k):
            yield f"the values of objects for {result.label} are not shares of {result.k} neighbours"


def _are_shares(values: Floats, k: int) -> bool:
    """Whether each is a whole number of k."""
    counts = values * k
    whole = np.rint(counts)
    return bool(np.all((whole >= 0) & (whole <= k) & (np.abs(counts - whole) < 1e-6)))
