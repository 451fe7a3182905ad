"""Whether one pair of embeddings really agrees better than another, on the same objects. Imports numpy only.

Two scores whose intervals overlap may still differ for certain: what is hard in one pair is mostly hard in the other.
So values are compared object by object, joined on object id.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from scorer.intervals import bootstrap_interval, jackknife_error
from scorer.pairing import join
from shared.outcomes import Interval

Floats = npt.NDArray[np.float64]

_TIE_DECIMALS = 12


@dataclass(frozen=True, slots=True)
class Difference:
    """The mean of one score less that of another, over the `objects` that both have.

    interval: percentile bootstrap over objects. standard_error: jackknife. p_value: two-sided, by sign-flip.
    """

    objects: int
    difference: float
    interval: Interval
    standard_error: float
    p_value: float


def paired_difference(
    left_ids: Sequence[str],
    left_values: Floats,
    right_ids: Sequence[str],
    right_values: Floats,
    *,
    resamples: int,
    confidence: float,
    stream: np.random.Generator,
) -> Difference:
    """Left less right of two scores' per-object values, `(n,)` each, in the order of their object ids.

    The p-value is that of the sign-flip test (Fisher 1935): if it makes no difference which of the two an object's
    value is from, each object's difference is as likely turned round; p = (1 + #{|mean of flipped| >= |mean|})/(R + 1)
    for R = `resamples` flips. It is drawn from `stream` after the interval. Like the interval it takes objects one by
    one, the neighbours of the others being what they are. Raises TooFewObjects when fewer than two are shared,
    DuplicateObjectIds, and ValueError for ids and values of different lengths.
    """
    if (len(left_ids), len(right_ids)) != (len(left_values), len(right_values)):
        raise ValueError("as many object ids as values are needed")
    shared = join(left_ids, right_ids, at_least=2)
    differences = left_values[shared.left_rows] - right_values[shared.right_rows]
    n, mean = len(differences), float(differences.mean())
    interval = bootstrap_interval(differences, resamples, confidence, stream)
    flips = (2 * stream.integers(2, size=n, dtype=np.int8) - 1 for _ in range(resamples))
    null = np.fromiter((abs(flip @ differences) / n for flip in flips), dtype=np.float64).round(_TIE_DECIMALS)
    return Difference(
        objects=n,
        difference=mean,
        interval=interval,
        standard_error=jackknife_error(differences),
        p_value=(1 + int(np.count_nonzero(null >= round(abs(mean), _TIE_DECIMALS)))) / (resamples + 1),
    )
