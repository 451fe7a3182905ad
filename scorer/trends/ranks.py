"""Statistics of how far values rise along a ladder. Pure functions of ranks; imports numpy only.

Ranks are twice over (`scorer.trends.ladders.rank_twice`) and stand in the order of model size, smallest first. A
statistic scores many arrangements of them at once, in whole numbers, so that what is equal is equal exactly.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Statistic:
    """What is added up over ladders. score: `(m, n)` arrangements of twice-over ranks to `(m,)` whole numbers.

    unit: of the score of a ladder of n sizes; scores are divided by it before they are added.
    """

    score: Callable[[Ints], Ints]
    unit: Callable[[int], int]


def count_increases(ranks: Ints) -> Ints:
    """Steps that lead up: `(m, n)` to `(m,)`, 0 to n - 1. A tie does not lead up."""
    return np.asarray((np.diff(ranks, axis=1) > 0).sum(axis=1), dtype=np.int64)


def kendall_s(ranks: Ints) -> Ints:
    """Kendall's S (1938): pairs of sizes in the order of their values, less those against it; ties count for nothing.

    `(m, n)` to `(m,)`, -n(n - 1)/2 to n(n - 1)/2.
    """
    found = np.zeros(len(ranks), dtype=np.int64)
    for apart in range(1, ranks.shape[1]):
        found += np.sign(ranks[:, apart:] - ranks[:, :-apart]).sum(axis=1)
    return found


def page_l_twice(ranks: Ints) -> Ints:
    """Page's L (1963) of each arrangement, twice over: the sum of place times rank, places counted from one.

    `(m, n)` to `(m,)`, n(n + 1)(n + 2)/3 to n(n + 1)(2n + 1)/3.
    """
    return np.asarray(ranks @ np.arange(1, ranks.shape[1] + 1), dtype=np.int64)


INCREASES = Statistic(count_increases, lambda n: 1)
"""The number of steps that lead up."""

KENDALL = Statistic(kendall_s, lambda n: 1)
"""The sum of S over ladders, as over seasons in Hirsch, Slack & Smith (1982)."""

PAGE = Statistic(page_l_twice, lambda n: n * (n + 1))
"""The sum of L/(n(n + 1)) over ladders: of one length, Page's test itself (1963).

Of unequal lengths, each L is weighted inversely to its variance for a common rank correlation, as van Elteren (1960)
weights blocks of unequal size: the sum then rises with the mean of the ladders' Spearman correlations, weighted by
steps.
"""


def spearman(ranks: Ints) -> float | None:
    """Spearman's rank correlation (1904) with size, tied values with their mean rank; None when all are equal.

    ranks: `(n,)`.
    """
    centred, places = ranks - ranks.mean(), np.arange(len(ranks)) - (len(ranks) - 1) / 2
    scale = math.sqrt(float(centred @ centred) * float(places @ places))
    return None if scale == 0 else max(-1.0, min(1.0, float(centred @ places) / scale))


def kendall(ranks: Ints) -> float | None:
    """Kendall's tau-b (1945) with size; None when all values are equal. ranks: `(n,)`."""
    pairs = math.comb(len(ranks), 2)
    _, counts = np.unique(ranks, return_counts=True)
    untied = pairs - sum(math.comb(int(count), 2) for count in counts)
    return None if untied == 0 else int(kendall_s(ranks[None])[0]) / math.sqrt(pairs * untied)


def plain_spearman(ranks: Ints) -> float:
    """Spearman's correlation as it is without ties: 12 (L - n(n + 1)^2/4)/(n(n^2 - 1)); ties draw it towards zero.

    ranks: `(n,)`. It is what adds up over ladders in whole numbers; without ties it is `spearman`.
    """
    n = len(ranks)
    return (6 * int(page_l_twice(ranks[None])[0]) - 3 * n * (n + 1) ** 2) / (n * (n * n - 1))


def moments_of_page(ranks: Ints) -> tuple[float, float]:
    """Mean and variance of L over all arrangements of these ranks `(n,)` (Page 1963; here of tied ones too)."""
    n = len(ranks)
    spread = float(((ranks / 2 - (n + 1) / 2) ** 2).sum())
    return n * (n + 1) ** 2 / 4, spread * n * (n + 1) / 12
