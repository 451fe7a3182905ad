"""Ranks and rank correlations of a few numbers or of many. Pure functions; imports numpy only."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def mid_ranks(values: Floats) -> Floats:
    """Ranks of `values` `(n,)`, 1 to n, tied values with their mean rank."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks: Floats = (last - (counts - 1) / 2)[place]
    return ranks


def spearman(left: Floats, right: Floats) -> float | None:
    """Spearman's rank correlation (1904) of `(n,)` and `(n,)`, ties with their mean rank; None where a side is
    constant.
    """
    ours, theirs = (mid_ranks(side) - (len(side) + 1) / 2 for side in (left, right))
    scale = np.sqrt((ours @ ours) * (theirs @ theirs))
    return float((ours @ theirs / scale).clip(-1, 1)) if scale else None


def kendall(left: Floats, right: Floats) -> float | None:
    """Kendall's tau-b (1945) of `(n,)` and `(n,)`; None where a side is constant. O(n^2)."""
    ours, theirs = (np.sign(side[:, None] - side) for side in (left, right))
    scale = np.sqrt((ours * ours).sum() * (theirs * theirs).sum())
    return float(((ours * theirs).sum() / scale).clip(-1, 1)) if scale else None
