"""MKNN: how far two embeddings of the same objects agree on who is near whom (Huh et al. 2024, arXiv 2405.07987).

Imports numpy only. m_i = |N_left(i) intersect N_right(i)| / k for object i, MKNN = mean of m_i: 0 to 1, the same from
either side, 1 where every object has the same neighbours on both.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from scorer.comparison import Comparison, Measured, Neighbours
from scorer.neighbourhoods.judging import judge_mean
from scorer.neighbourhoods.shared_edges import tables_of
from scorer.nulls import chance_of_mknn, count_relabelled, moments_of


def count_shared(left: Neighbours, right: Neighbours) -> npt.NDArray[np.int64]:
    """How many neighbours each object has on both sides: `(n,)`, 0 to k.

    Raises ValueError when the tables are not of the same objects in the same order, or not of the same k.
    """
    both = np.sort(np.concatenate(tables_of(left, right), axis=1), axis=1)
    # no neighbour stands twice on one side, so one that stands twice in both stands once on each
    shared: npt.NDArray[np.int64] = (both[:, 1:] == both[:, :-1]).sum(axis=1, dtype=np.int64)
    return shared


def measure_mknn(comparison: Comparison) -> Measured:
    """MKNN of a pair, with what it is worth.

    chance: k/(n - 1). null_mean and null_std: exact, in closed form. p_value, threshold, calibrated: by permutation.
    interval: percentile bootstrap over objects of m_i. Raises TooFewObjects, ZeroVector.
    """
    n, k = len(comparison.object_ids), comparison.k
    left, right = comparison.left.neighbours(k), comparison.right.neighbours(k)
    tables = tables_of(left, right)
    _, null_std = moments_of(left.edge_pairs, right.edge_pairs, n, k)
    null = count_relabelled(*tables, comparison.permutations(), comparison.threads) / (n * k)
    return judge_mean(comparison, count_shared(left, right) / k, null, chance=chance_of_mknn(n, k), null_std=null_std)
