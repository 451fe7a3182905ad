"""How sure a similarity of whole embeddings is: the delete-a-group jackknife. Imports numpy; scipy for one quantile.

The bootstrap would not do. Drawn with replacement, an object stands twice in both embeddings, at distance zero from
itself in each: an agreement that no sample of galaxies has, and that pulls every resampled similarity upwards.
"""

from __future__ import annotations

import math

import numpy as np

from scorer.similarity.centring import Doubles, Rows
from shared.errors import TooFewObjects
from shared.outcomes import Interval

GROUPS = 20
FEWEST = 8  # objects; fewer leave groups of one, and next to nothing to estimate from


def groups_of(n: int) -> list[Rows]:
    """The objects 0 to n - 1 in 20 groups, or in n/2 where that is less: object i is in group i modulo their number.

    Objects stand in the order of their ids, so the groups follow from the set of objects alone, and a run of ids is
    spread over all of them. Raises TooFewObjects for n < 8.
    """
    if n < FEWEST:
        raise TooFewObjects(f"{n} shared objects", f"at least {FEWEST} for a metric of whole embeddings", "take more")
    count = min(GROUPS, n // 2)
    return [np.arange(group, n, count) for group in range(count)]


def deletion_error(left_out: Doubles) -> float:
    """The jackknife's standard error, from the values `(G,)` without each group in turn (Shao & Tu 1995, chapter 2)."""
    count = len(left_out)
    return math.sqrt((count - 1) / count * float(np.square(left_out - left_out.mean()).sum()))


def deletion_interval(value: float, left_out: Doubles, confidence: float, bounds: tuple[float, float]) -> Interval:
    """value +- t error, t Student's with G - 1 degrees of freedom; cut to the bounds of what the metric can be."""
    from scipy.special import stdtrit

    reach = float(stdtrit(len(left_out) - 1, (1 + confidence) / 2)) * deletion_error(left_out)
    low, high = max(bounds[0], value - reach), min(bounds[1], value + reach)
    return Interval(low=low, high=high, confidence=confidence, method="jackknife")
