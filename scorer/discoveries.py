"""Which of a study's many scores are more than chance: false-discovery control. Pure functions; imports numpy only.

A study of a thousand pairs has fifty with p <= 0.05 where nothing is to be found. The q-value of a score is the least
false-discovery rate at which it would still be called a discovery: of all scores with q <= 0.05, at most 5 % are false
on average.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def benjamini_hochberg(p_values: Floats) -> Floats:
    """q-values of `p_values` `(m,)`, in their order: min over all p_j >= p_i of m p_j / rank(p_j), 1 at most.

    Benjamini & Hochberg 1995: controls the rate when p-values are independent, or positively dependent on each that is
    null (Benjamini & Yekutieli 2001, theorem 1.2). Scores that share an embedding are expected to be, which nobody has
    proven. Raises ValueError for anything but numbers from 0 to 1.
    """
    if p_values.ndim != 1 or not ((p_values >= 0) & (p_values <= 1)).all():
        raise ValueError("p-values are numbers from 0 to 1, in one row")
    order = np.argsort(p_values)
    scaled = p_values[order] * len(p_values) / np.arange(1, len(p_values) + 1)
    q_values = np.empty(len(p_values))
    q_values[order] = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1)
    return q_values


def benjamini_yekutieli(p_values: Floats) -> Floats:
    """q-values as above, times 1 + 1/2 + ... + 1/m: they control the rate whatever the dependence.

    Benjamini & Yekutieli 2001, theorem 1.3. Raises ValueError as above.
    """
    price = (1 / np.arange(1, len(p_values) + 1)).sum()
    q_values: Floats = np.minimum(benjamini_hochberg(p_values) * price, 1)
    return q_values
