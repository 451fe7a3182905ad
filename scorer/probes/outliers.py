"""Labels of numbers far from all others. Imports numpy only."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

REACH = 10.0
"""In robust standard deviations: of normal numbers not one lies as far out."""
MOST = 0.05
"""The largest share of a sample that can be outliers."""
_TO_SIGMA = 1.482602218505602  # a normal distribution's standard deviation over its median absolute deviation


def find_bounds(values: Floats) -> tuple[float, float]:
    """Ten robust standard deviations below and above the median of `values` `(n,)`: what lies beyond is an outlier.

    The robust standard deviation is 1.4826 times the median absolute deviation (Hampel 1974). Labels beyond are set to
    the nearest bound, and so are predictions: they still lie outermost, but neither a failed fit or a filler such as
    -99, nor one vector far out of its kind, can outweigh the sample. Outliers are few: where more than one label in
    twenty would be one, or more than half are equal, so that there is no scale, the bounds are infinite.
    """
    median = float(np.median(values))
    reach = REACH * _TO_SIGMA * float(np.median(np.abs(values - median)))
    bounds = median - reach, median + reach
    return bounds if reach and count_outliers(values, bounds) <= MOST * len(values) else (-np.inf, np.inf)


def count_outliers(values: Floats, bounds: tuple[float, float]) -> int:
    """How many of `values` `(n,)` lie beyond the bounds."""
    return int(np.count_nonzero((values < bounds[0]) | (values > bounds[1])))
