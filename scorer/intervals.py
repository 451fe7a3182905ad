"""How sure a mean over objects is: the percentile bootstrap and the jackknife. Pure functions; imports numpy only."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from shared.outcomes import Interval

Values = npt.NDArray[np.float64]


def bootstrap_interval(values: Values, resamples: int, confidence: float, stream: np.random.Generator) -> Interval:
    """Percentile interval of the mean of `values` `(n,)`, objects drawn with replacement (Efron 1979).

    One resample at a time: memory O(n), and the draws do not depend on any block size.
    """
    n = len(values)
    means = np.fromiter((values[stream.integers(n, size=n)].mean() for _ in range(resamples)), dtype=np.float64)
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(low=float(low), high=float(high), confidence=confidence)


def jackknife_error(values: Values) -> float:
    """Jackknife standard error of the mean of `values` `(n,)`, n > 1 (Tukey 1958).

    Of a mean, leaving each object out in turn comes to the sample standard deviation over the root of n.
    """
    return float(values.std(ddof=1) / np.sqrt(len(values)))
