"""Cycle-kNN: whether a step to a neighbour in one embedding can be taken back in the other (Huh et al. 2024).

Imports numpy only. After arXiv 2405.07987 and its authors' public code: object i comes back when one of its k
neighbours on the one side, j, has i among its own k neighbours on the other. Its authors start from one side; here the
metric is the mean of both ways, so that A|B is B|A, and both are told besides:

    there_i = 1 if some j in N_left(i) has i in N_right(j), else 0,
    back_i  = 1 if some j in N_right(i) has i in N_left(j), else 0,

and the metric is the mean of (there_i + back_i)/2: 0 to 1. Of an embedding with itself it is the share of objects that
are a neighbour of one of their own neighbours, and so need not be 1.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from scorer.comparison import Comparison, Measured, Neighbours
from scorer.neighbourhoods.judging import judge_mean
from scorer.neighbourhoods.shared_edges import Table, cycles, identity, tables_of

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


def cycle_knn(left: Neighbours, right: Neighbours) -> tuple[Flags, Flags]:
    """Which objects come back from a first step on the left, and which from a first step on the right: `(n,)` each.

    Raises ValueError for tables of other objects, or of another k.
    """
    n = len(left.object_ids)
    ((there, back),) = cycles(*tables_of(left, right), [identity(n)])
    return np.bincount(there, minlength=n) > 0, np.bincount(back, minlength=n) > 0


def chance_of_cycle_knn(left: Neighbours, right: Neighbours) -> float:
    """The value expected when either side is relabelled at random, exactly; it depends on hubs.

    An object whose place on the other side is c objects' neighbour comes back unless its own k, drawn from the n - 1
    others, miss all of those c: with probability 1 - C(n - 1 - c, k)/C(n - 1, k). The expectation is its mean over all
    objects of either side.
    """
    return sum(_chance_of_return(table) for table in tables_of(left, right)) / 2


def measure_cycle_knn(comparison: Comparison) -> Measured:
    """Cycle-kNN of a pair, with what it is worth. details: `there` from a first step on the left, `back` on the right.

    chance, null_mean: exact, given both graphs. The rest by permutation, and by bootstrap of (there_i + back_i)/2.
    Raises TooFewObjects, ZeroVector.
    """
    n, k = len(comparison.object_ids), comparison.k
    left, right = comparison.left.neighbours(k), comparison.right.neighbours(k)
    there, back = cycle_knn(left, right)
    relabelled = cycles(*tables_of(left, right), comparison.permutations())
    counts = (len(np.unique(starts)) + len(np.unique(ends)) for starts, ends in relabelled)
    return judge_mean(
        comparison,
        (there.astype(np.float64) + back) / 2,
        np.fromiter(counts, dtype=np.float64) / (2 * n),
        chance=chance_of_cycle_knn(left, right),
        details={"there": float(there.mean()), "back": float(back.mean())},
    )


def _chance_of_return(table: Table) -> float:
    """Mean probability of a return by way of this table, when a first step is to any k others."""
    n, k = table.shape
    popularity = np.bincount(table.reshape(-1), minlength=n)
    missed = np.ones(n)
    for taken in range(k):
        missed *= np.maximum(n - 1 - popularity - taken, 0) / (n - 1 - taken)
    return float(1 - missed.mean())
