"""Balanced accuracy, its interval and its error, against direct computation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score

from scorer.probes.explained import bootstrap_explained, jackknife_explained
from scorer.probes.recall import balanced_accuracy, bootstrap_recall, count_right, jackknife_recall


@given(seed=st.integers(0, 2**32 - 1), classes=st.integers(2, 5))
@settings(max_examples=40, deadline=None)
def test_it_is_balanced_accuracy(seed: int, classes: int) -> None:
    stream = np.random.default_rng(seed)
    codes = np.concatenate([np.arange(classes), stream.integers(0, classes, 30)])
    predicted = stream.integers(0, classes, len(codes))
    value = float(balanced_accuracy(count_right(codes, predicted), np.bincount(codes)))
    assert value == pytest.approx(balanced_accuracy_score(codes, predicted), abs=1e-12)


def test_its_interval_is_that_of_resampling_within_classes() -> None:
    sizes, right = np.array([80, 25, 12]), np.array([61, 12, 9])
    stream = np.random.default_rng(0)
    told = [np.arange(size) < hits for size, hits in zip(sizes, right, strict=True)]
    direct = [np.mean([stream.choice(each, len(each)).mean() for each in told]) for _ in range(4000)]
    interval = bootstrap_recall(right, sizes, 4000, 0.9, np.random.default_rng(1))
    assert (interval.low, interval.high) == pytest.approx(tuple(np.quantile(direct, [0.05, 0.95])), abs=0.01)
    assert jackknife_recall(right, sizes) == pytest.approx(np.std(direct), rel=0.06)


def test_its_error_is_that_of_leaving_one_out_of_each_class_in_turn() -> None:
    sizes, right = np.array([9, 6, 5]), np.array([7, 2, 5])
    squared = 0.0
    for code, (size, hits) in enumerate(zip(sizes, right, strict=True)):
        values = []
        for left_out in range(size):
            others, rest = right.copy(), sizes.copy()
            others[code] -= left_out < hits
            rest[code] -= 1
            values.append(float(balanced_accuracy(others, rest)))
        squared += (size - 1) / size * np.square(np.array(values) - np.mean(values)).sum()
    assert jackknife_recall(right, sizes) == pytest.approx(np.sqrt(squared))


def test_perfect_and_hopeless_have_no_width() -> None:
    sizes = np.array([10, 20])
    for right, value in ((sizes, 1.0), (np.zeros_like(sizes), 0.0)):
        interval = bootstrap_recall(right, sizes, 99, 0.95, np.random.default_rng(0))
        assert (interval.low, interval.high, jackknife_recall(right, sizes)) == (value, value, 0)


def test_the_interval_of_r_squared_covers_as_often_as_it_says() -> None:
    """Errors and deviations of objects drawn from a population whose ratio of sums is 0.4."""
    stream, covered = np.random.default_rng(2), 0
    for _ in range(300):
        values = stream.standard_normal(150)
        squares, baselines = (np.sqrt(0.6) * stream.standard_normal(150)) ** 2, values**2
        interval = bootstrap_explained(squares, baselines, 199, 0.9, stream)
        covered += interval.low <= 0.4 <= interval.high
    assert 0.84 < covered / 300 < 0.95


def test_draws_in_which_nothing_varies_explain_nothing() -> None:
    squares, baselines = np.zeros(10), np.zeros(10)
    squares[:2], baselines[:2] = 0.5, 1
    interval = bootstrap_explained(squares, baselines, 999, 0.999, np.random.default_rng(3))
    assert (interval.low, interval.high) == (0, 0.5)
    assert jackknife_explained(squares, baselines) == 0
