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


def calibrate_maximum(
    left: Sequence[Neighbours],
    right: Sequence[Neighbours],
    permutations: Iterable[npt.NDArray[np.int64]],
    confidence: float,
) -> CalibratedMaximum:
    """MKNN of each layer of the left with each of the right, and the calibrated maximum.

    left, right: neighbour tables of the layers of two models, of the same objects in the same order, with one k.
    permutations: `(n,)` each, used for all pairs. Raises ValueError for other tables, or for none.
    """
    if not left or not right:
        raise ValueError("at least one layer on each side is needed")
    pairs = [tables_of(ours, theirs) for ours in left for theirs in right]
    n, k = pairs[0][0].shape
    counts = np.array([[count_shared(ours, theirs).sum() for theirs in right] for ours in left])
    relabelled = zip(pairs, tee(permutations, len(pairs)), strict=True)
    rounds = zip(*(shared_edges(*tables, given) for tables, given in relabelled), strict=True)
    null = np.fromiter((max(len(edges.left_objects) for edges in found) for found in rounds), dtype=np.int64)
    worth = calibrate(int(counts.max()) / (n * k), null / (n * k), confidence)
    reached = (null >= counts[..., None]).sum(axis=-1)
    best = np.unravel_index(counts.argmax(), counts.shape)
    return CalibratedMaximum(
        values=counts / (n * k),
        p_values=(1 + reached) / (len(null) + 1),
        best=(int(best[0]), int(best[1])),
        threshold=worth.threshold,
        calibrated=worth.calibrated,
        p_value=worth.p_value,
    )
