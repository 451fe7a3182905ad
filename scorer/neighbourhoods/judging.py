"""From a value and its null to what it is worth: the one place where the metrics here become answers.

Imports numpy only.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from scorer.calibration import calibrate
from scorer.comparison import Comparison, Measured
from scorer.intervals import bootstrap_interval, jackknife_error
from shared.outcomes import Interval

Floats = npt.NDArray[np.float64]

# Values that are equal to so many decimals are a tie: the same terms in another order differ by 1e-15 or so.
_TIE_DECIMALS = 12


def judge_mean(
    comparison: Comparison,
    per_object: Floats,
    null: Floats,
    *,
    chance: float,
    null_std: float | None = None,
    details: Mapping[str, float] | None = None,
) -> Measured:
    """What the mean of `per_object` `(n,)` is worth. null and the rest as for `judge`.

    interval: percentile bootstrap over objects; standard_error: jackknife.
    """
    scoring = comparison.scoring
    return judge(
        comparison,
        float(per_object.mean()),
        null,
        chance=chance,
        null_std=null_std,
        interval=bootstrap_interval(per_object, scoring.resamples, scoring.confidence, comparison.resampling()),
        standard_error=jackknife_error(per_object),
        per_object=per_object,
        details=details,
    )


def judge(
    comparison: Comparison,
    value: float,
    null: Floats,
    *,
    chance: float,
    interval: Interval,
    standard_error: float,
    null_std: float | None = None,
    per_object: Floats | None = None,
    details: Mapping[str, float] | None = None,
) -> Measured:
    """What a value, 1 at best, is worth beside its null: `(K,)`, its values under the pair's relabellings.

    chance: its mean over all n! relabellings, exactly. null_std: its standard deviation, where that is known too. The
    value and its null are kept to 12 decimals, so that whoever compares them again finds the same ties.
    """
    value, null = round(value, _TIE_DECIMALS), null.round(_TIE_DECIMALS)
    worth = calibrate(value, null, comparison.scoring.confidence)
    return Measured(
        value=value,
        chance=chance,
        null_mean=chance,
        null_std=float(null.std(ddof=1)) if null_std is None else null_std,
        p_value=worth.p_value,
        threshold=worth.threshold,
        calibrated=worth.calibrated,
        interval=interval,
        standard_error=standard_error,
        per_object=per_object,
        null=null,
        details=details or {},
    )
