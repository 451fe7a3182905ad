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

from scorer.neighbourhoods.shared_edges import shared_edges

Table = npt.NDArray[np.int32]
Counts = npt.NDArray[np.int64]


def chance_of_mknn(n: int, k: int) -> float:
    """The MKNN expected of unrelated embeddings of n objects: k/(n - 1), exactly."""
    return k / (n - 1)


def count_relabelled(left: Table, right: Table, permutations: Iterable[npt.NDArray[np.int64]]) -> Counts:
    """T for each relabelling: `(K,)`. left, right: neighbour tables `(n, k)` of the same objects.

    A permutation p `(n,)` gives object i of the left the place of object p[i] on the right: T counts the edges
    (i, j) of the left graph for which (p[i], p[j]) is an edge of the right one.
    """
    edges = shared_edges(left, right, permutations)
    return np.fromiter((len(each.left_objects) for each in edges), dtype=np.int64)


def moments_of_null(left: Table, right: Table) -> tuple[float, float]:
    """Mean and standard deviation of MKNN over all n! relabellings, exactly. left, right: tables `(n, k)`.

    From the first two moments of the quadratic assignment statistic T (Mantel 1967): edges taken two at a time,
    by how many ends they share.
    """
    n, k = left.shape
    first, second = edge_pairs(left), edge_pairs(right)
    products = [a * b for a, b in zip(first, second, strict=True)]
    same, turned, from_one, to_one, in_line, apart = products
    square = sum(
        Fraction(count, math.perm(n, ends))
        for count, ends in ((same + turned, 2), (from_one + to_one + 2 * in_line, 3), (apart, 4))
        if count  # n < ends leaves no such pair of edges, and nothing to divide
    )
    mean = Fraction((n * k) ** 2, math.perm(n, 2))
    return float(mean / (n * k)), math.sqrt(square - mean**2) / (n * k)


def edge_pairs(table: Table) -> tuple[int, int, int, int, int, int]:
    """Ordered pairs of edges that are the same, each other's reverse, share their start, share their end, follow
    one another (counted one way), and share nothing."""
    n, k = table.shape
    edges = n * k
    start, end = np.repeat(np.arange(n, dtype=np.int64), k), table.reshape(-1).astype(np.int64)
    turned = int(np.isin(end * n + start, start * n + end).sum())
    popularity = np.bincount(end, minlength=n).astype(object)  # Python integers: no sum overflows
    from_one = edges * k - edges
    to_one = int((popularity**2).sum()) - edges
    in_line = k * edges - turned
    return edges, turned, from_one, to_one, in_line, edges**2 - edges - turned - from_one - to_one - 2 * in_line
