"""What a score would be if the two embeddings had nothing to do with each other.

Imports numpy only. The null relabels one side's objects at random: of its neighbour table, so that no neighbour is
ever searched again. Counts here are T = n k MKNN, whole numbers, so that ties with the observed one are exact.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from scorer.neighbourhoods.edge_pairs import EdgePairs, edge_pairs
from scorer.neighbourhoods.shared_edges import count_shared_edges

Table = npt.NDArray[np.int32]
Counts = npt.NDArray[np.int64]


def chance_of_mknn(n: int, k: int) -> float:
    """The MKNN expected of unrelated embeddings of n objects: k/(n - 1), exactly."""
    return k / (n - 1)


def count_relabelled(
    left: Table, right: Table, permutations: Iterable[npt.NDArray[np.int64]], threads: int = 1
) -> Counts:
    """T for each relabelling: `(K,)`. left, right: neighbour tables `(n, k)` of the same objects.

    A permutation p `(n,)` gives object i of the left the place of object p[i] on the right: T counts the edges
    (i, j) of the left graph for which (p[i], p[j]) is an edge of the right one.
    """
    return count_shared_edges(left, right, permutations, threads)


def moments_of_null(left: Table, right: Table) -> tuple[float, float]:
    """Mean and standard deviation of MKNN over all n! relabellings, exactly. left, right: tables `(n, k)`."""
    return moments_of(edge_pairs(left), edge_pairs(right), *left.shape)


def moments_of(left: EdgePairs, right: EdgePairs, n: int, k: int) -> tuple[float, float]:
    """The same of two graphs of n objects with k neighbours each, of which the pairs of edges are known.

    From the first two moments of the quadratic assignment statistic T (Mantel 1967): edges taken two at a time,
    by how many ends they share.
    """
    same, turned, from_one, to_one, in_line, apart = (a * b for a, b in zip(left, right, strict=True))
    square = sum(
        Fraction(count, math.perm(n, ends))
        for count, ends in ((same + turned, 2), (from_one + to_one + 2 * in_line, 3), (apart, 4))
        if count  # n < ends leaves no such pair of edges, and nothing to divide
    )
    mean = Fraction((n * k) ** 2, math.perm(n, 2))
    return float(mean / (n * k)), math.sqrt(square - mean**2) / (n * k)
