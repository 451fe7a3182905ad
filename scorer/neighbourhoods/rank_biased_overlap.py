"""Rank-biased overlap: how far two embeddings agree on the order of neighbours, near ones before far ones.

Imports numpy only. Webber, Moffat & Zobel 2010 (ACM TOIS 28, 20), extrapolated to ranks that were not looked at. With
A_d = |the d nearest on the left intersect the d nearest on the right| / d and persistence p = 0.9,

    RBO_i = (1 - p) sum_{d=1}^{k} p^(d-1) A_d + p^k A_k

and the metric is the mean of RBO_i: 0 to 1, the same from either side, 1 where every object has the same neighbours
in the same order. It is the agreement expected by a reader who goes on after each rank with probability p, and stops at
the k-th. With p = 0.9 the first ten ranks decide 86 % of an endless list, so that beyond k of 30 or so little changes.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from scorer.comparison import Comparison, Measured, Neighbours
from scorer.neighbourhoods.judging import judge_mean
from scorer.neighbourhoods.shared_edges import SharedEdges, identity, shared_edges, tables_of

Floats = npt.NDArray[np.float64]

PERSISTENCE = 0.9


def rank_biased_overlap(left: Neighbours, right: Neighbours) -> Floats:
    """RBO_i of every object: `(n,)`, 0 to 1. Raises ValueError for tables of other objects, or of another k."""
    n = len(left.object_ids)
    (edges,) = shared_edges(*tables_of(left, right), [identity(n)])
    return np.bincount(edges.left_objects, weights=_worth(edges, left.k), minlength=n).astype(np.float64)


def chance_of_rank_biased_overlap(n: int, k: int) -> float:
    """The RBO expected of unrelated embeddings of n objects, exactly: (1 - p^k) / ((1 - p)(n - 1)).

    Of d neighbours of either side d^2/(n - 1) are shared on average, so that A_d is d/(n - 1).
    """
    return (1 - PERSISTENCE**k) / ((1 - PERSISTENCE) * (n - 1))


def measure_rank_biased_overlap(comparison: Comparison) -> Measured:
    """The mean rank-biased overlap of a pair, with what it is worth.

    chance, null_mean: exact. The rest by permutation and by bootstrap of RBO_i. Raises TooFewObjects, ZeroVector.
    """
    n, k = len(comparison.object_ids), comparison.k
    left, right = comparison.left.neighbours(k), comparison.right.neighbours(k)
    edges = shared_edges(*tables_of(left, right), comparison.permutations())
    null = np.fromiter((_worth(each, k).sum() for each in edges), dtype=np.float64) / n
    return judge_mean(
        comparison,
        rank_biased_overlap(left, right),
        null,
        chance=chance_of_rank_biased_overlap(n, k),
        details={"persistence": PERSISTENCE},
    )


def _worth(edges: SharedEdges, k: int) -> Floats:
    """What each shared neighbour adds to its object's RBO: `(m,)`.

    One in places r and s, counted from 0, is among the d nearest of both for every d > max(r, s).
    """
    depth = np.arange(1, k + 1)
    weights = (1 - PERSISTENCE) * PERSISTENCE ** (depth - 1.0)
    weights[-1] = PERSISTENCE ** (k - 1)  # and all ranks beyond, which are taken to agree as far as these
    from_here_on = np.cumsum((weights / depth)[::-1])[::-1]
    return from_here_on[np.maximum(edges.left_ranks, edges.right_ranks)]
