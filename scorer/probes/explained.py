"""How much of a label's variance predictions explain, and what that is worth. Imports numpy only.

R^2 = 1 - sum e_i^2 / sum t_i^2: e_i is the error of the prediction of object i, which was made without it, and t_i
that of the mean of the objects it was made from. 1 is perfect, 0 is as good as the mean, below 0 worse.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from scorer.calibration import calibrate
from scorer.comparison import Measured
from scorer.intervals import percentile_interval
from scorer.probes.probing import Probing
from scorer.ranks import spearman
from shared.outcomes import Interval

Floats = npt.NDArray[np.float64]

# Equal numbers summed in another order differ by rounding, and are to tie.
TIE_DECIMALS = 12


@dataclass(frozen=True, slots=True, eq=False)
class Predictions:
    """What was predicted of n objects, of each without it. values: what was to be. means: of what it was made from.

    All `(n,)`. squares, baselines: e^2 and t^2 of each object.
    """

    values: Floats
    predicted: Floats
    means: Floats

    @property
    def squares(self) -> Floats:
        return np.square(self.values - self.predicted)

    @property
    def baselines(self) -> Floats:
        return np.square(self.values - self.means)


def r_squared(misses: float, baseline: float) -> float:
    """1 - misses/baseline, of two sums of squares; 0 where there was nothing to explain."""
    return 1 - misses / baseline if baseline else 0.0


def measure_explained(
    probing: Probing, predictions: Predictions, null: Floats, details: Mapping[str, float], chance: float = 0.0
) -> Measured:
    """R^2 of these predictions, held against its null `(K,)`: its values under K relabellings.

    chance: where it is not known otherwise 0, that of the mean. interval, standard_error: of the predictions as they
    are, over objects; nothing is fitted again. per_object: 1 - e_i^2 / (mean of t^2), whose mean is R^2. details:
    besides those given, rmse in the label's unit, and Spearman's correlation of what was predicted with what is, which
    knows nothing of outliers and of scale.
    """
    squares, baselines = predictions.squares, predictions.baselines
    value = r_squared(float(squares.sum()), float(baselines.sum()))
    scoring = probing.scoring
    worth = calibrate(round(value, TIE_DECIMALS), null.round(TIE_DECIMALS), scoring.confidence)
    return Measured(
        value=value,
        chance=chance,
        null_mean=float(null.mean()),
        null_std=float(null.std(ddof=1)),
        p_value=worth.p_value,
        threshold=worth.threshold,
        calibrated=worth.calibrated,
        interval=bootstrap_explained(squares, baselines, scoring.resamples, scoring.confidence, probing.resampling()),
        standard_error=jackknife_explained(squares, baselines),
        per_object=1 - squares / baselines.mean(),
        null=null,
        details={
            **details,
            "rmse": float(np.sqrt(squares.mean())),
            "rank_correlation": spearman(predictions.predicted, predictions.values) or 0.0,
        },
    )


def bootstrap_explained(
    squares: Floats, baselines: Floats, resamples: int, confidence: float, stream: np.random.Generator
) -> Interval:
    """Percentile interval (Efron 1979) of 1 - sum(squares)/sum(baselines), each `(n,)`, objects drawn with replacement.

    Both sums are of the same draw, as a ratio's must be. One resample at a time: memory O(n).
    """
    n = len(squares)

    def draw() -> float:
        drawn = stream.integers(n, size=n)
        return r_squared(float(squares[drawn].sum()), float(baselines[drawn].sum()))

    ratios = np.fromiter((draw() for _ in range(resamples)), dtype=np.float64)
    return percentile_interval(ratios, confidence)


def jackknife_explained(squares: Floats, baselines: Floats) -> float:
    """Jackknife standard error (Tukey 1958) of 1 - sum(squares)/sum(baselines), each `(n,)`, leaving out one object."""
    n = len(squares)
    left_out = 1 - (squares.sum() - squares) / (baselines.sum() - baselines)
    return float(np.sqrt((n - 1) / n * np.square(left_out - left_out.mean()).sum()))
