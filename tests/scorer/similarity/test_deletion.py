"""The delete-a-group jackknife, and what is recorded of a metric that it judges."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats

from scorer.intervals import jackknife_error
from scorer.similarity.cka import Alignment, linear_kernels
from scorer.similarity.deletion import deletion_error, deletion_interval, groups_of
from scorer.similarity.predictivity import residual_error, residual_interval
from scorer.similarity.ridge import Residuals
from shared.errors import TooFewObjects

Doubles = npt.NDArray[np.float64]


@pytest.mark.parametrize("n", [8, 9, 39, 40, 41, 658])
def test_groups_hold_every_object_once_and_are_even(n: int) -> None:
    groups = groups_of(n)
    assert sorted(np.concatenate(groups).tolist()) == list(range(n))
    assert len(groups) == min(20, n // 2)
    sizes = [len(group) for group in groups]
    assert min(sizes) >= 2
    assert max(sizes) - min(sizes) <= 1


def test_too_few_objects_have_no_groups() -> None:
    with pytest.raises(TooFewObjects, match="at least 8"):
        groups_of(7)


def test_of_a_mean_it_is_the_error_of_the_groups_means() -> None:
    values = np.random.default_rng(1).standard_normal(200)
    groups = groups_of(200)
    left_out = np.array([np.delete(values, group).mean() for group in groups])
    assert deletion_error(left_out) == pytest.approx(
        jackknife_error(np.array([values[group].mean() for group in groups])), rel=1e-12
    )


def test_an_interval_is_students_and_stays_within_bounds() -> None:
    left_out = np.array([0.90, 0.95, 0.92, 0.93])
    error = deletion_error(left_out)
    wide = deletion_interval(0.93, left_out, 0.9, (-math.inf, math.inf))
    reach = stats.t.ppf(0.95, df=3) * error
    assert (wide.low, wide.high) == pytest.approx((0.93 - reach, 0.93 + reach), abs=1e-12)
    assert (wide.confidence, wide.method) == (0.9, "jackknife")
    cut = deletion_interval(0.93, left_out, 0.9, (0.92, 0.94))
    assert (cut.low, cut.high) == (0.92, 0.94)


def test_the_error_is_that_of_drawing_other_objects(make_pair: Callable[..., tuple[Doubles, Doubles]]) -> None:
    """Of CKA: against its scatter over samples of the same population."""
    left, right = make_pair(2, 60 * 150, 4, 4, signal=0.3)
    values, errors = [], []
    for rows in np.random.default_rng(3).permutation(60 * 150).reshape(150, 60):
        similarity = Alignment(linear_kernels(left[rows], right[rows]))
        values.append(similarity.value())
        errors.append(deletion_error(np.array([similarity.without(group) for group in groups_of(60)])))
    assert np.mean(errors) == pytest.approx(np.std(values), rel=0.2)


def test_the_bootstrap_with_replacement_is_too_high(make_pair: Callable[..., tuple[Doubles, Doubles]]) -> None:
    """Why it is not used: of unrelated embeddings, nearly every resampled CKA is above the one observed."""
    left, right = make_pair(4, 40, 30, 30, signal=0)
    observed = Alignment(linear_kernels(left, right)).value()
    stream, above = np.random.default_rng(5), 0
    for _ in range(50):
        rows = stream.integers(40, size=40)
        above += Alignment(linear_kernels(left[rows], right[rows])).value() > observed
    assert above > 47


def _residuals(seed: int, n: int = 50) -> tuple[Residuals, Residuals]:
    stream = np.random.default_rng(seed)
    return tuple(Residuals(stream.exponential(size=n), 2 + stream.exponential(size=n)) for _ in range(2))  # type: ignore[return-value]


def test_the_error_of_residuals_is_leave_one_out() -> None:
    sides = _residuals(6)
    left_out = np.array(
        [
            np.mean([Residuals(np.delete(side.errors, i), np.delete(side.totals, i)).explained for side in sides])
            for i in range(50)
        ]
    )
    expected = math.sqrt(49 / 50 * np.square(left_out - left_out.mean()).sum())
    assert residual_error(sides) == pytest.approx(expected, rel=1e-9)


def test_the_interval_of_residuals_is_that_of_direct_resampling() -> None:
    sides = _residuals(7)
    rows = np.random.default_rng(8).integers(50, size=(300, 50))
    values = np.mean([1 - side.errors[rows].sum(axis=1) / side.totals[rows].sum(axis=1) for side in sides], axis=0)
    interval = residual_interval(sides, 300, 0.9, np.random.default_rng(8))
    assert (interval.low, interval.high) == pytest.approx(tuple(np.percentile(values, [5, 95])), abs=1e-12)
    assert (interval.confidence, interval.method) == (0.9, "bootstrap")
