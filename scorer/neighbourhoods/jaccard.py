"""Jaccard: neighbours that two embeddings agree on, of all that either names. Imports numpy only.

J_i = |N_left(i) intersect N_right(i)| / |N_left(i) union N_right(i)| = m/(2k - m), m being shared (Jaccard 1901). The
metric is the mean of J_i: 0 to 1, the same from either side, 1 where every object has the same neighbours on both.
Convex in m, it gives objects that agree well more weight than MKNN does.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from scorer.comparison import Comparison, Measured, Neighbours
from scorer.neighbourhoods.judging import judge_mean
from scorer.neighbourhoods.mknn import count_shared
from scorer.neighbourhoods.shared_edges import shared_edges, tables_of

Floats = npt.NDArray[np.float64]


def jaccard(left: Neighbours, right: Neighbours) -> Floats:
    """J_i of every object: `(n,)`, 0 to 1. Raises ValueError for tables of other objects, or of another k."""
    return _of_counts(left.k)[count_shared(left, right)]


def chance_of_jaccard(n: int, k: int) -> float:
    """The mean Jaccard expected of unrelated embeddings of n objects, 0 < k < n, exactly.

    Under a random relabelling either side's neighbours of an object are k of the n - 1 others, whatever the other
    side's are: m is hypergeometric, and the expectation of m/(2k - m) a sum of k + 1 terms.
    """
    counts = np.arange(max(0, 2 * k - n + 1), k + 1)
    # P(m + 1)/P(m), multiplied up in logarithms: the first P(m) may be less than any float
    before = counts[:-1]
    ratios = 2 * np.log(k - before) - np.log(before + 1) - np.log(n - 2 * k + before)
    logs = np.concatenate([[0.0], np.cumsum(ratios)])
    weights = np.exp(logs - logs.max())
    return float(weights @ _of_counts(k)[counts] / weights.sum())


def measure_jaccard(comparison: Comparison) -> Measured:
    """The mean Jaccard of a pair, with what it is worth.

    chance, null_mean: exact. The rest by permutation and by bootstrap of J_i. Raises TooFewObjects, ZeroVector.
    """
    n, k = len(comparison.object_ids), comparison.k
    left, right = comparison.left.neighbours(k), comparison.right.neighbours(k)
    values = _of_counts(k)
    edges = shared_edges(*tables_of(left, right), comparison.permutations())
    null = np.fromiter((values[np.bincount(each.left_objects)].sum() for each in edges), dtype=np.float64) / n
    return judge_mean(comparison, jaccard(left, right), null, chance=chance_of_jaccard(n, k))


def _of_counts(k: int) -> Floats:
    """J for m = 0 to k shared neighbours."""
    shared = np.arange(k + 1)
    return shared / (2 * k - shared)
