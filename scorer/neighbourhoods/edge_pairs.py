"""How many ends the edges of a neighbour graph share, taken two at a time: what the moments of a null follow from.

Imports numpy only.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt


class EdgePairs(NamedTuple):
    """Ordered pairs of edges that are the same, each other's reverse, share their start, share their end, follow one
    another (counted one way), and share nothing."""

    same: int
    turned: int
    from_one: int
    to_one: int
    in_line: int
    apart: int


def edge_pairs(table: npt.NDArray[np.int32]) -> EdgePairs:
    """Those of a neighbour table `(n, k)`, in exact integers."""
    n, k = table.shape
    edges = n * k
    start, end = np.repeat(np.arange(n, dtype=np.int64), k), table.reshape(-1).astype(np.int64)
    unordered = np.sort(np.minimum(start, end) * n + np.maximum(start, end))
    turned = 2 * int(np.count_nonzero(unordered[1:] == unordered[:-1]))  # no edge stands twice: it is its reverse
    popularity = np.bincount(end, minlength=n).astype(object)  # Python integers: no sum overflows
    from_one = edges * k - edges
    to_one = int((popularity**2).sum()) - edges
    in_line = k * edges - turned
    apart = edges**2 - edges - turned - from_one - to_one - 2 * in_line
    return EdgePairs(edges, turned, from_one, to_one, in_line, apart)
