"""The best of many layer pairs, held against the best that unrelated embeddings reach. Imports numpy only.

After Groeger et al. 2026 (arXiv 2602.14486): whoever looks at many pairs of layers and reports the best one finds
something every time. So each relabelling is applied to all layers of a side at once, which leaves the layers of a
model as alike as they are, and the maximum is calibrated against its own null: the maxima under the relabellings. For
p-values this is the single-step maximum of Westfall & Young 1993, which controls the chance of any false finding among
the pairs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import tee

import numpy as np
import numpy.typing as npt

from scorer.calibration import calibrate
from scorer.comparison import Neighbours
from scorer.neighbourhoods.mknn import count_shared
from scorer.neighbourhoods.shared_edges import shared_edges, tables_of

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class CalibratedMaximum:
    """MKNN of all layer pairs, and what their maximum is worth.

    values: `(left layers, right layers)`. p_values: of each pair, corrected for there being so many of them:
    (1 + #{null maximum >= its value})/(K + 1). best: the layers of the largest value, the first of equal ones.
    threshold: what the maximum of unrelated embeddings stays below at the confidence asked for. calibrated, p_value: of
    the maximum.
    """

    values: Floats
    p_values: Floats
    best: tuple[int, int]
    threshold: float
    calibrated: float
    p_value: float


def calibrate_best(values: Floats, nulls: Floats, confidence: float) -> CalibratedMaximum:
    """What the best of these scores is worth, of any metric that is 1 at best.

    values: `(left layers, right layers)`. nulls: `(left layers, right layers, K)`, their values under K relabellings,
    the same for all and in one order, as scores of the same objects keep them. Raises ValueError for other shapes, or
    for none.
    """
    if values.ndim != 2 or values.size == 0 or nulls.shape[:-1] != values.shape:
        raise ValueError(f"of values {values.shape}, at least one, nulls are {values.shape} by K, not {nulls.shape}")
    maxima = nulls.max(axis=(0, 1))
    best = np.unravel_index(values.argmax(), values.shape)
    worth = calibrate(float(values[best]), maxima, confidence)
    return CalibratedMaximum(
        values=values,
        p_values=(1 + (maxima >= values[..., None]).sum(axis=-1)) / (len(maxima) + 1),
        best=(int(best[0]), int(best[1])),
        threshold=worth.threshold,
        calibrated=worth.calibrated,
        p_value=worth.p_value,
    )


def calibrate_maximum(
    left: Sequence[Neighbours],
    right: Sequence[Neighbours],
    permutations: Iterable[npt.NDArray[np.int64]],
    confidence: float,
) -> CalibratedMaximum:
    """MKNN of each layer of the left with each of the right, and what the best is worth.

    left, right: neighbour tables of the layers of two models, of the same objects in the same order, with one k.
    permutations: `(n,)` each, at least one, used for all pairs. Raises ValueError for other tables, or for none.
    """
    if not left or not right:
        raise ValueError("at least one layer on each side is needed")
    pairs = [tables_of(ours, theirs) for ours in left for theirs in right]
    counts = np.array([[count_shared(ours, theirs).sum() for theirs in right] for ours in left])
    # all pairs in step, so that no more than one permutation is held
    relabelled = zip(pairs, tee(permutations, len(pairs)), strict=True)
    rounds = zip(*(shared_edges(*tables, copies) for tables, copies in relabelled), strict=True)
    nulls = np.array([[len(shared.left_objects) for shared in found] for found in rounds])
    edges = left[0].table.size
    return calibrate_best(counts / edges, nulls.T.reshape(*counts.shape, len(nulls)) / edges, confidence)
