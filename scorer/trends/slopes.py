"""How fast a score rises with log parameters: least squares, of one ladder or of many, and Theil-Sen."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
from scipy.special import stdtrit

from scorer.trends.ladders import Ladder
from shared.trends import Slope


def fit_slope(ladders: Sequence[Ladder], confidence: float) -> Slope:
    """The slope common to all ladders, each with an intercept of its own, per decade of parameters.

    The within-group (fixed effects) estimator, which for one ladder is least squares of value on log10 parameters.
    Interval: Student's t, for scatter that is independent and alike in all ladders; of N rungs on B ladders N - B - 1
    degrees of freedom are left, and of a single ladder of two sizes none, hence no interval.
    """
    decades = np.concatenate([ladder.decades - ladder.decades.mean() for ladder in ladders])
    values = np.concatenate([ladder.values - ladder.values.mean() for ladder in ladders])
    spread = float(decades @ decades)
    slope = float(decades @ values) / spread
    degrees = len(values) - len(ladders) - 1
    if not degrees:
        return Slope(per_decade=slope, low=None, high=None, confidence=confidence, degrees=0)
    residuals = values - slope * decades
    error = math.sqrt(float(residuals @ residuals) / degrees / spread)
    reach = float(stdtrit(degrees, (1 + confidence) / 2)) * error
    return Slope(per_decade=slope, low=slope - reach, high=slope + reach, confidence=confidence, degrees=degrees)


def theil_sen(ladder: Ladder) -> float:
    """The median of the slopes between any two sizes of a ladder, per decade (Theil 1950, Sen 1968)."""
    pairs = list(itertools.combinations(range(len(ladder.values)), 2))
    smaller, larger = np.array(pairs).T
    rises = ladder.values[larger] - ladder.values[smaller]
    return float(np.median(rises / (ladder.decades[larger] - ladder.decades[smaller])))
