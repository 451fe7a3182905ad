"""MKNN: how far two embeddings of the same objects agree on who is near whom (Huh et al. 2024, arXiv 2405.07987).

Imports numpy only. m_i = |N_left(i) intersect N_right(i)| / k for object i, MKNN = mean of m_i.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from scorer.calibration import calibrate
from scorer.comparison import Comparison, Measured, Neighbours
from scorer.intervals import bootstrap_interval, jackknife_error
from scorer.nulls import chance_of_mknn, count_relabelled, moments_of_null


def count_shared(left: Neighbours, right: Neighbours) -> npt.NDArray[np.int64]:
    """How many neighbours each object has on both sides: `(n,)`, 0 to k.

    Raises ValueError when the tables are not of the same objects in the same order, or not of the same k.
    """
    if left.object_ids != right.object_ids or left.k != right.k:
        raise ValueError("neighbour tables of the same objects, in the same order, with the same k are needed")
    both = np.sort(np.concatenate([left.table, right.table], axis=1), axis=1)
    # no neighbour stands twice on one side, so one that stands twice in both stands once on each
    shared: npt.NDArray[np.int64] = (both[:, 1:] == both[:, :-1]).sum(axis=1, dtype=np.int64)
    return shared


def measure_mknn(comparison: Comparison) -> Measured:
    """MKNN of a pair, with what it is worth.

    chance: k/(n - 1). null_mean and null_std: exact, in closed form. p_value, threshold, calibrated: by permutation.
    interval: percentile bootstrap over objects of m_i. Raises TooFewObjects, ZeroVector.
    """
    scoring, n, k = comparison.scoring, len(comparison.object_ids), comparison.k
    left, right = comparison.left.neighbours(k), comparison.right.neighbours(k)
    shared = count_shared(left, right)
    null_mean, null_std = moments_of_null(left.table, right.table)
    null = count_relabelled(left.table, right.table, comparison.permutations()) / (n * k)
    per_object, value = shared / k, int(shared.sum()) / (n * k)
    worth = calibrate(value, null, scoring.confidence)
    return Measured(
        value=value,
        chance=chance_of_mknn(n, k),
        null_mean=null_mean,
        null_std=null_std,
        p_value=worth.p_value,
        threshold=worth.threshold,
        calibrated=worth.calibrated,
        interval=bootstrap_interval(per_object, scoring.resamples, scoring.confidence, comparison.resampling()),
        standard_error=jackknife_error(per_object),
        per_object=per_object,
        null=null,
    )
