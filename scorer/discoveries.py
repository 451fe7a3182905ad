"""False discoveries among many tests: how small a p-value must be when it is one of many.

Pure functions; imports numpy only.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def benjamini_hochberg(p: npt.ArrayLike) -> Floats:
    """The q-value of each of m p-values `(m,)`, in their order (Benjamini & Hochberg 1995).

    q of the i-th smallest is the least of m p_(j)/j over j >= i. To call discoveries those with q <= a holds their
    expected share of false ones at a, for tests that are independent or positively dependent (Benjamini & Yekutieli
    2001). Raises ValueError for what is not in [0, 1].
    """
    given = np.asarray(p, dtype=np.float64)
    if given.ndim != 1 or not ((given >= 0) & (given <= 1)).all():
        raise ValueError("p-values are (m,) numbers from 0 to 1")
    order = np.argsort(given)[::-1]
    ranks = np.arange(len(given), 0, -1)
    q = np.empty_like(given)
    q[order] = np.minimum.accumulate(given[order] * len(given) / ranks)
    return q
