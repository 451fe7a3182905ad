"""The difference of two scores on the same objects: joined on id, as sure as its pairing makes it, and rightly so."""

from __future__ import annotations

import itertools
import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scorer.differences import Difference, paired_difference
from scorer.intervals import bootstrap_interval
from scorer.streams import open_stream
from shared.errors import DuplicateObjectIds, TooFewObjects

Floats = npt.NDArray[np.float64]


def _compare(left: Floats, right: Floats, seed: int = 0, resamples: int = 199) -> Difference:
    ids = [f"g{row:03d}" for row in range(len(left))]
    stream = np.random.default_rng(seed)
    return paired_difference(ids, left, ids, right, resamples=resamples, confidence=0.95, stream=stream)


@given(st.integers(0, 2**32 - 1), st.integers(2, 60))
@settings(max_examples=30, deadline=None)
def test_objects_are_joined_on_their_ids(seed: int, n: int) -> None:
    stream = np.random.default_rng(seed)
    left, right = stream.integers(0, 11, size=(2, n + 2)) / 10
    plain = _compare(left[:n], right[:n])
    ids = [f"g{row:03d}" for row in range(n + 2)]
    mine, theirs = stream.permutation(n + 1), np.append(stream.permutation(n), n + 1)
    joined = paired_difference(
        [ids[row] for row in mine], left[mine], [ids[row] for row in theirs], right[theirs],
        resamples=199, confidence=0.95, stream=np.random.default_rng(0),
    )  # fmt: skip
    assert joined == plain
    assert joined.objects == n
    assert joined.difference == pytest.approx(left[:n].mean() - right[:n].mean(), abs=1e-12)


def test_turned_round_it_is_the_same_with_the_other_sign() -> None:
    left, right = np.random.default_rng(1).random((2, 50))
    one, other = _compare(left, right), _compare(right, left)
    assert (one.difference, one.standard_error, one.p_value) == (-other.difference, other.standard_error, other.p_value)
    assert (one.interval.low, one.interval.high) == pytest.approx((-other.interval.high, -other.interval.low))


def test_interval_and_error_are_those_of_the_differences() -> None:
    left, right = np.random.default_rng(2).random((2, 80))
    found = _compare(left, right, seed=3)
    assert found.interval == bootstrap_interval(left - right, 199, 0.95, np.random.default_rng(3))
    assert found.standard_error == pytest.approx((left - right).std(ddof=1) / math.sqrt(80))


def test_the_p_value_is_that_of_all_flips() -> None:
    """Nine objects have 512 ways to turn their differences round; 9,999 draws come near the share that reach as far."""
    values = np.array([3, 1, 4, -1, 5, 2, -2, 6, 1]) / 10
    sums = [abs(sum(sign * value for sign, value in zip(signs, values, strict=True)))
            for signs in itertools.product((-1, 1), repeat=9)]  # fmt: skip
    exact = np.mean(np.array(sums) >= values.sum() - 1e-9)
    found = _compare(values, np.zeros(9), resamples=9_999)
    assert found.p_value == pytest.approx(exact, abs=4 * math.sqrt(exact / 9_999))


def test_a_small_difference_is_sure_where_objects_vary_alike() -> None:
    """Each score varies by 0.3 from object to object, and one is 0.02 higher: its interval overlaps the other's."""
    stream = np.random.default_rng(4)
    hard = 0.3 * stream.standard_normal(400)
    larger, base = hard + 0.02 + 0.05 * stream.standard_normal(400), hard + 0.05 * stream.standard_normal(400)
    found = _compare(larger, base)
    assert found.interval.low > 0
    assert found.p_value == 1 / 200
    alone = [bootstrap_interval(values, 199, 0.95, np.random.default_rng(5)) for values in (larger, base)]
    assert alone[0].low < alone[1].high


def test_no_difference_is_found_as_often_as_is_said() -> None:
    stream = np.random.default_rng(6)
    found = sum(_compare(*stream.random((2, 60)), seed=trial, resamples=99).p_value <= 0.05 for trial in range(600))
    assert abs(found / 600 - 0.05) < 4 * math.sqrt(0.05 * 0.95 / 600)


def test_equal_scores_differ_by_nothing() -> None:
    values = np.random.default_rng(7).integers(0, 11, size=30) / 10
    found = _compare(values, values)
    assert (found.difference, found.standard_error, found.p_value) == (0, 0, 1)
    assert (found.interval.low, found.interval.high) == (0, 0)


def test_what_cannot_be_paired_is_refused() -> None:
    one, stream = np.array([0.5]), np.random.default_rng(0)
    with pytest.raises(TooFewObjects, match="share 0"):
        paired_difference(["a"], one, ["b"], one, resamples=99, confidence=0.95, stream=stream)
    with pytest.raises(TooFewObjects, match="at least 2 shared objects"):
        paired_difference(["a"], one, ["a"], one, resamples=99, confidence=0.95, stream=stream)
    with pytest.raises(DuplicateObjectIds):
        paired_difference(["a", "a"], np.ones(2), ["a"], one, resamples=99, confidence=0.95, stream=stream)
    with pytest.raises(ValueError, match="as many object ids as values"):
        paired_difference(["a", "b"], one, ["a"], one, resamples=99, confidence=0.95, stream=stream)


def test_a_stream_of_two_pairs_is_neither_ones() -> None:
    one, other = "0a" * 16, "0b" * 16
    first = open_stream("differences", 0, one, other).integers(2**62)
    assert first == open_stream("differences", 0, one, other).integers(2**62)
    apart = [
        open_stream("differences", 0, other, one),
        open_stream("differences", 0, one),
        open_stream("bootstrap", 0, one, other),
        open_stream("differences", 1, one, other),
    ]
    assert all(stream.integers(2**62) != first for stream in apart)
