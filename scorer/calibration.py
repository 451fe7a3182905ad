"""A score against what unrelated embeddings reach: p-value, threshold, calibrated score (Groeger et al. 2026).

Pure functions; imports numpy only. After arXiv 2602.14486: similarity grows with width and falls with n by itself, so
a score is read from the threshold that its own null stays below, not from zero.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Calibration:
    """threshold: what the null stays below at the confidence asked for. calibrated: 0 at or below it, 1 for 1.

    p_value: (1 + #{null >= observed})/(K + 1), one-sided, never zero (Phipson & Smyth 2010).
    """

    threshold: float
    calibrated: float
    p_value: float


def calibrate(observed: float, null: Floats, confidence: float) -> Calibration:
    """Hold an observed score, 1 at best, against its null `(K,)`: its values under K relabellings.

    The threshold is the ceil(confidence (K + 1))-th smallest of the K null scores and the observed one. Scores that
    are whole counts over one number tie exactly when they are given so. Where the threshold is 1 itself, nothing
    can pass it, and the calibrated score is 0.
    """
    reached = np.sort(np.append(null, observed))
    # 0.95 of 1001 is 950.95 in decimals, and must not become 951 + 1 by the rounding of a binary fraction
    rank = math.ceil(round(confidence * len(reached), 9))
    threshold = float(reached[rank - 1])
    above = (observed - threshold) / (1 - threshold) if threshold < 1 else 0.0
    return Calibration(
        threshold=threshold,
        calibrated=min(1.0, max(0.0, above)),
        p_value=(1 + int(np.count_nonzero(null >= observed))) / len(reached),
    )
