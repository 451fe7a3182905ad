"""The calibrated score: the formula, written out another way, and its laws."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scorer.calibration import calibrate

unit = st.floats(0, 1, allow_nan=False)


@given(observed=unit, null=st.lists(unit, min_size=99, max_size=300), percent=st.integers(51, 99))
def test_it_is_the_formula(observed: float, null: list[float], percent: int) -> None:
    found = calibrate(observed, np.array(null), percent / 100)
    ranked = sorted([*null, observed])
    threshold = ranked[-(-percent * len(ranked) // 100) - 1]  # whole numbers only: no rounding
    assert found.threshold == threshold
    assert found.p_value == (1 + sum(value >= observed for value in null)) / len(ranked)
    expected = 0.0 if threshold == 1 else min(1.0, max(0.0, (observed - threshold) / (1 - threshold)))
    assert found.calibrated == pytest.approx(expected, abs=1e-15)
    assert 0 <= found.calibrated <= 1


@given(null=st.lists(st.floats(0, 0.9, allow_nan=False), min_size=99, max_size=200))
def test_a_perfect_score_stays_perfect_and_one_within_the_null_is_nought(null: list[float]) -> None:
    values = np.array(null)
    assert calibrate(1.0, values, 0.95).calibrated == 1
    assert calibrate(float(np.median(values)), values, 0.95).calibrated == 0


def test_where_all_is_one_nothing_passes() -> None:
    found = calibrate(1.0, np.ones(99), 0.95)
    assert (found.threshold, found.calibrated, found.p_value) == (1.0, 0.0, 1.0)


def test_a_threshold_is_passed_by_one_null_score_in_twenty() -> None:
    null = np.arange(1000) / 1000
    found = calibrate(2.0, null, 0.95)
    assert math.isclose(found.threshold, 0.95)
    assert np.count_nonzero(null > found.threshold) == 49


@given(observed=st.integers(0, 30), null=st.lists(st.integers(0, 30), min_size=199, max_size=199))
def test_to_pass_the_threshold_is_to_have_a_small_p_value(observed: int, null: list[int]) -> None:
    """With 199 permutations, one in twenty is a whole number of them; whatever ties there are."""
    found = calibrate(observed / 40, np.array(null) / 40, 0.95)
    assert (found.calibrated > 0) == (found.p_value <= 0.05)
