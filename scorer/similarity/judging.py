"""From a similarity to what it is worth: its null, threshold, p-value, standard error and interval. Imports numpy only.

The one place where the metrics of whole embeddings become answers, so that all of them are judged alike.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from scorer.calibration import calibrate
from scorer.comparison import Comparison, Measured
from scorer.pairing import id_set_digest
from scorer.similarity.centring import Doubles, Rows
from scorer.similarity.deletion import deletion_error, deletion_interval, groups_of
from scorer.similarity.relabelling import Relabelled, Similarity, relabelled_values, relabelling_of
from scorer.streams import open_stream
from shared.outcomes import Interval
from shared.vectors import Vectors

# Values that are equal to so many decimals are a tie: the same terms in another order differ by 1e-15 or so.
_TIE_DECIMALS = 11
# Metrics that look at every pair of objects do so for this many at most: 4.5 million pairs.
MOST_OBJECTS = 3000


class Spread(NamedTuple):
    """How sure a value is."""

    standard_error: float
    interval: Interval


def judge_by_deletion(
    comparison: Comparison, similarity: Similarity, *, least: float, most: float = 1, sample: Rows | None = None
) -> Measured:
    """What `similarity` is worth, how sure it is being told by leaving out groups of objects.

    least, most: between which it must lie. The rest is as for `judge`. Raises TooFewObjects for fewer than 8 objects.
    """
    left_out = np.array([similarity.without(group) for group in groups_of(len(similarity))])
    interval = deletion_interval(similarity.value(), left_out, comparison.scoring.confidence, (least, most))
    spread = Spread(deletion_error(left_out), interval)
    measured = judge(comparison, similarity, spread, bounded=math.isfinite(most), sample=sample)
    return replace(measured, details={**measured.details, "jackknife_groups": float(len(left_out))})


def judge(
    comparison: Comparison,
    similarity: Relabelled,
    spread: Spread,
    *,
    bounded: bool = True,
    sample: Rows | None = None,
    per_object: Doubles | None = None,
) -> Measured:
    """What `similarity`, of the pair that is compared, is worth.

    bounded: whether it is 1 at most; what is not is not calibrated. sample: the rows of the objects it is computed on,
    when not on all. The null is that of the pair's slow relabellings; a sample is relabelled within itself. Value and
    null are given to 11 decimals, so that what ties is seen to. chance is there only where it is known exactly. Raises
    what the similarity raises.
    """
    value = round(similarity.value(), _TIE_DECIMALS)
    null = relabelled_values(similarity, _permutations(comparison, sample)).round(_TIE_DECIMALS)
    calibration = calibrate(value, null, comparison.scoring.confidence)
    exact = similarity.null_moments()
    mean, std = exact or (float(null.mean()), float(null.std(ddof=1)))
    return Measured(
        value=value,
        chance=exact[0] if exact else None,
        null_mean=mean,
        null_std=std,
        p_value=calibration.p_value,
        threshold=calibration.threshold,
        calibrated=calibration.calibrated if bounded else None,
        interval=spread.interval,
        standard_error=spread.standard_error,
        per_object=per_object,
        null=null,
        details={"objects": float(len(similarity)), **similarity.details()},
    )


def sample_of(comparison: Comparison) -> Rows | None:
    """Rows of 3,000 of the pair's objects, in order, drawn without replacement; None for all, where there are no more.

    The same ones for every metric, and for every pair of these objects.
    """
    n = len(comparison.object_ids)
    if n <= MOST_OBJECTS:
        return None
    stream = open_stream("sample", comparison.scoring.seed, id_set_digest(comparison.object_ids))
    return np.sort(stream.choice(n, size=MOST_OBJECTS, replace=False)).astype(np.int64)


def vectors_of(comparison: Comparison, sample: Rows | None = None) -> tuple[Vectors, Vectors]:
    """Both sides' vectors, of the sample where there is one, in the same order of objects."""
    left, right = comparison.left.vectors(), comparison.right.vectors()
    return (left, right) if sample is None else (left.take(sample), right.take(sample))


def _permutations(comparison: Comparison, sample: Rows | None) -> Iterator[Rows]:
    permutations = comparison.permutations(slow=True)
    return permutations if sample is None else (relabelling_of(sample, p) for p in permutations)
