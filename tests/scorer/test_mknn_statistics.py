"""MKNN, its null and its interval against direct computation."""

from __future__ import annotations

import itertools
import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scorer.calibration import calibrate
from scorer.comparison import Neighbours
from scorer.intervals import bootstrap_interval, jackknife_error
from scorer.neighbourhoods.mknn import count_shared
from scorer.neighbours import nearest
from scorer.nulls import chance_of_mknn, count_relabelled, moments_of_null
from scorer.streams import open_stream
from shared.vectors import Vectors

seeds = st.integers(0, 2**32 - 1)


def _random_table(stream: np.random.Generator, n: int, k: int) -> npt.NDArray[np.int32]:
    """k distinct others for each of n objects, some more popular than others."""
    liking = stream.random((n, n)) + stream.exponential(0.3, size=n)
    np.fill_diagonal(liking, -np.inf)
    return np.argsort(-liking, axis=1)[:, :k].astype(np.int32)


def _named(table: npt.NDArray[np.int32]) -> Neighbours:
    return Neighbours(tuple(f"o{row}" for row in range(len(table))), table.copy())


@st.composite
def two_tables(draw: st.DrawFn) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    stream, n = np.random.default_rng(draw(seeds)), draw(st.integers(2, 30))
    k = draw(st.integers(1, n - 1))
    return _random_table(stream, n, k), _random_table(stream, n, k)


@given(two_tables())
@settings(max_examples=60, deadline=None)
def test_shared_neighbours_are_those_of_sets(tables: tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]) -> None:
    left, right = tables
    expected = [len(set(ours) & set(theirs)) for ours, theirs in zip(left.tolist(), right.tolist(), strict=True)]
    shared = count_shared(_named(left), _named(right))
    assert shared.tolist() == expected
    assert count_shared(_named(right), _named(left)).tolist() == expected
    assert count_shared(_named(left), _named(left[:, ::-1])).tolist() == [left.shape[1]] * len(left)


def test_duplicates_are_neighbours_of_one_another() -> None:
    """Ten copies of each of 20 vectors: with k = 9 every object's neighbours are its own copies, on both sides."""
    ids = tuple(f"g{row:03d}" for row in range(200))
    copies = [np.tile(np.random.default_rng(seed).standard_normal((20, 8)), (10, 1)) for seed in range(2)]
    left, right = (nearest(Vectors(ids, matrix.astype(np.float32)), 9) for matrix in copies)
    assert count_shared(left, right).tolist() == [9] * 200


def test_tables_of_other_objects_are_refused() -> None:
    table = np.array([[1], [2], [0]], dtype=np.int32)
    with pytest.raises(ValueError, match="same objects"):
        count_shared(_named(table), Neighbours(("o0", "o2", "o1"), table))
    with pytest.raises(ValueError, match="same k"):
        count_shared(_named(table), _named(np.array([[1, 2], [2, 0], [0, 1]], dtype=np.int32)))


@given(two_tables(), seeds)
@settings(max_examples=40, deadline=None)
def test_a_relabelling_is_that_of_the_graph(
    tables: tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]], seed: int
) -> None:
    left, right = tables
    permutations = [np.random.default_rng(seed + i).permutation(len(left)) for i in range(3)]
    expected = []
    for p in permutations:
        edges = {(i, j) for i, row in enumerate(right.tolist()) for j in row}
        expected.append(sum((p[i], p[j]) in edges for i, row in enumerate(left.tolist()) for j in row))
    assert count_relabelled(left, right, permutations).tolist() == expected


@pytest.mark.parametrize(("n", "k"), [(n, k) for n in range(2, 7) for k in range(1, n)])
def test_moments_are_those_of_all_relabellings(n: int, k: int) -> None:
    stream = np.random.default_rng([n, k])
    left, right = _random_table(stream, n, k), _random_table(stream, n, k)
    every = count_relabelled(left, right, (np.array(p) for p in itertools.permutations(range(n)))) / (n * k)
    assert len(every) == math.factorial(n)
    mean, std = moments_of_null(left, right)
    assert mean == pytest.approx(every.mean(), abs=1e-12)
    assert mean == pytest.approx(chance_of_mknn(n, k), abs=1e-12)
    assert std == pytest.approx(every.std(), abs=1e-7)  # the root of a variance that cancels to 1e-16 or so


def test_moments_agree_with_many_permutations() -> None:
    stream = np.random.default_rng(6)
    left, right = _random_table(stream, 400, 10), _random_table(stream, 400, 10)
    null = count_relabelled(left, right, (stream.permutation(400) for _ in range(3000))) / 4000
    mean, std = moments_of_null(left, right)
    assert null.mean() == pytest.approx(mean, abs=4 * std / math.sqrt(3000))
    assert null.std() == pytest.approx(std, rel=0.06)


def test_p_values_of_unrelated_tables_are_uniform() -> None:
    stream = np.random.default_rng(7)
    values = []
    for _ in range(300):
        left, right = _random_table(stream, 60, 6), _random_table(stream, 60, 6)
        observed = int(count_shared(_named(left), _named(right)).sum())
        values.append(
            calibrate(
                observed, count_relabelled(left, right, (stream.permutation(60) for _ in range(99))), 0.95
            ).p_value
        )
    # the null is discrete, so p is a little larger than uniform, never smaller
    for level in (0.05, 0.2, 0.5, 0.8):
        at_most = np.mean(np.array(values) <= level)
        assert level - 0.12 < at_most < level + 3 * math.sqrt(level * (1 - level) / 300)


def test_p_value_counts_ties_and_is_never_zero() -> None:
    null = np.array([1, 2, 3, 4])
    assert calibrate(3, null, 0.95).p_value == 3 / 5
    assert calibrate(5, null, 0.95).p_value == 1 / 5
    assert calibrate(0, null, 0.95).p_value == 1


@given(st.lists(st.integers(0, 10), min_size=2, max_size=40), seeds)
@settings(max_examples=30, deadline=None)
def test_jackknife_is_leave_one_out(counts: list[int], seed: int) -> None:
    values = np.array(counts) / 10
    n = len(values)
    left_out = np.array([np.delete(values, i).mean() for i in range(n)])
    expected = math.sqrt((n - 1) / n * np.square(left_out - left_out.mean()).sum())
    assert jackknife_error(values) == pytest.approx(expected, abs=1e-12)


def test_bootstrap_is_that_of_direct_resampling() -> None:
    values = np.random.default_rng(8).integers(0, 11, size=150) / 10
    means = values[np.random.default_rng(9).integers(150, size=(800, 150))].mean(axis=1)
    interval = bootstrap_interval(values, 800, 0.9, np.random.default_rng(9))
    assert (interval.low, interval.high) == pytest.approx(tuple(np.percentile(means, [5, 95])), abs=1e-12)
    assert interval.confidence == 0.9


def test_bootstrap_covers_the_mean_as_often_as_it_says() -> None:
    stream = np.random.default_rng(10)
    covered = 0
    for _ in range(300):
        interval = bootstrap_interval(stream.binomial(10, 0.3, size=80) / 10, 200, 0.9, stream)
        covered += interval.low <= 0.3 <= interval.high
    assert 0.84 < covered / 300 < 0.95


def test_streams_follow_from_seed_pair_and_purpose_alone() -> None:
    def draw(purpose: str, seed: int, digest: str) -> list[int]:
        return open_stream(purpose, seed, digest).integers(0, 2**62, size=4).tolist()  # type: ignore[arg-type]

    first = draw("permutations", 0, "0a" * 16)
    assert first == draw("permutations", 0, "0a" * 16)
    others = [
        draw("bootstrap", 0, "0a" * 16),
        draw("permutations", 1, "0a" * 16),
        draw("permutations", 0, "0b" * 16),
    ]
    assert all(other != first for other in others)
