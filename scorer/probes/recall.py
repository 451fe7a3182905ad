"""How many objects of each class are told right, and what that is worth. Imports numpy only.

Balanced accuracy (Brodersen et al. 2010): the mean over classes of the share of a class's objects that are told right,
so that a rare class counts as much as a common one. A guess that knows nothing has 1/C for C classes, whatever their
sizes; 1 is perfect.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from scorer.calibration import calibrate
from scorer.comparison import Measured
from scorer.intervals import percentile_interval
from scorer.probes.explained import TIE_DECIMALS
from scorer.probes.probing import Probing
from shared.outcomes import Interval

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def count_right(codes: Ints, predicted: Ints) -> Ints:
    """Objects of each class that are told right, `(C,)`. codes, predicted: `(n,)`, 0 to C - 1."""
    return np.bincount(codes[codes == predicted], minlength=int(codes.max()) + 1).astype(np.int64)


def balanced_accuracy(right: Ints, sizes: Ints) -> Floats:
    """The mean share told right, `(...)`, 0 to 1. right: `(..., C)`, told right of each class. sizes: `(C,)`."""
    return np.asarray((right / sizes).mean(axis=-1), dtype=np.float64)


def measure_recall(
    probing: Probing, codes: Ints, predicted: Ints, null: Floats, details: Mapping[str, float]
) -> Measured:
    """Balanced accuracy of the classes `predicted` `(n,)`, held against its null `(K,)`.

    chance: 1/C. interval, standard_error: of the predictions as they are, over the objects of each class. per_object:
    n/(C n_c) for an object of class c that is told right, else 0: their mean is the value. details: besides those
    given, the plain accuracy, and C.
    """
    sizes, right = np.bincount(codes), count_right(codes, predicted)
    value, scoring = float(balanced_accuracy(right, sizes)), probing.scoring
    worth = calibrate(round(value, TIE_DECIMALS), null.round(TIE_DECIMALS), scoring.confidence)
    return Measured(
        value=value,
        chance=1 / len(sizes),
        null_mean=float(null.mean()),
        null_std=float(null.std(ddof=1)),
        p_value=worth.p_value,
        threshold=worth.threshold,
        calibrated=worth.calibrated,
        interval=bootstrap_recall(right, sizes, scoring.resamples, scoring.confidence, probing.resampling()),
        standard_error=jackknife_recall(right, sizes),
        per_object=(codes == predicted) * (len(codes) / (len(sizes) * sizes))[codes],
        null=null,
        details={**details, "accuracy": float(right.sum() / len(codes)), "classes": float(len(sizes))},
    )


def bootstrap_recall(
    right: Ints, sizes: Ints, resamples: int, confidence: float, stream: np.random.Generator
) -> Interval:
    """Percentile interval (Efron 1979) of balanced accuracy, the objects of each class drawn with replacement.

    right, sizes: `(C,)`. Of n_c objects drawn so, the number told right is binomial: it is drawn as such.
    """
    drawn = stream.binomial(sizes, right / sizes, size=(resamples, len(sizes)))
    values = balanced_accuracy(drawn, sizes)
    return percentile_interval(values, confidence)


def jackknife_recall(right: Ints, sizes: Ints) -> float:
    """Jackknife standard error of balanced accuracy, one object left out of one class at a time (Jones 1974).

    right, sizes: `(C,)`, every class of two objects or more.
    """
    recall = right / sizes
    return float(np.sqrt((recall * (1 - recall) / (sizes - 1)).sum()) / len(sizes))
