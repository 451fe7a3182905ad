"""How sure a number is: the percentile bootstrap and the jackknife over objects. Pure functions; imports numpy only.

Objects are drawn, or left out, with what they were given: neighbours are not searched for again among those that are
drawn, since a copy would be its own nearest neighbour. So an interval tells how the number would vary with which
objects are counted, the embedding of the others being what it is.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from shared.outcomes import Interval

Values = npt.NDArray[np.float64]


def bootstrap_interval(values: Values, resamples: int, confidence: float, stream: np.random.Generator) -> Interval:
    """Percentile interval of the mean of `values` `(n,)`, objects drawn with replacement (Efron 1979).

    One resample at a time: memory O(n), and the draws do not depend on any block size.
    """
    means = np.fromiter((values[rows].mean() for rows in _draw(len(values), resamples, stream)), dtype=np.float64)
    return percentile_interval(means, confidence)


def bootstrap_means(terms: Values, resamples: int, stream: np.random.Generator) -> Values:
    """Means over resampled objects of `terms` `(n, m)`: `(resamples, m)`, by the draws of `bootstrap_interval`.

    For a number that is a function of several means over objects: it is computed of each row.
    """
    return np.stack([terms[rows].mean(axis=0) for rows in _draw(len(terms), resamples, stream)])


def percentile_interval(values: Values, confidence: float) -> Interval:
    """The middle of these resampled values `(r,)`."""
    low, high = np.quantile(values, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(low=float(low), high=float(high), confidence=confidence)


def jackknife_error(values: Values) -> float:
    """Jackknife standard error of the mean of `values` `(n,)`, n > 1 (Tukey 1958).

    Of a mean, leaving each object out in turn comes to the sample standard deviation over the root of n.
    """
    return float(values.std(ddof=1) / np.sqrt(len(values)))


def left_out_means(terms: Values) -> Values:
    """Means of `terms` `(n, m)` with each object left out in turn: `(n, m)`, n > 1."""
    means: Values = (terms.sum(axis=0) - terms) / (len(terms) - 1)
    return means


def jackknife_error_of(left_out: Values) -> float:
    """Jackknife standard error of a number from its values `(n,)` with each object left out in turn (Tukey 1958)."""
    return float(left_out.std() * np.sqrt(len(left_out) - 1))


def _draw(n: int, resamples: int, stream: np.random.Generator) -> Iterator[npt.NDArray[np.int64]]:
    return (stream.integers(n, size=n) for _ in range(resamples))
