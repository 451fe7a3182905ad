"""Labels of numbers far from all others. Imports numpy only."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

REACH = 10.0
"""In robust standard deviations: of normal numbers not one lies as far out."""
_TO_SIGMA = 1.482602218505602  # a normal distribution's standard deviation over its median absolute deviation


def clip_outliers(values: Floats) -> tuple[Floats, int]:
    """`values` `(n,)` within ten robust standard deviations of their median, and how many were brought there.

    The robust standard deviation is 1.4826 times the median absolute deviation (Hampel 1974). A value beyond is set to
    the nearest bound: it still lies outermost, but a failed fit or a filler such as -99 cannot outweigh the sample.
    Where more than half of the values are equal there is no such scale, and nothing is clipped.
    """
    median = np.median(values)
    reach = REACH * _TO_SIGMA * np.median(np.abs(values - median))
    if not reach:
        return values, 0
    clipped = np.clip(values, median - reach, median + reach)
    return clipped, int(np.count_nonzero(clipped != values))
