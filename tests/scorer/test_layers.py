"""The best of many layer pairs: one pair is as ever, and among unrelated models one in twenty is called a find."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pytest

from scorer.calibration import calibrate
from scorer.comparison import Neighbours
from scorer.layers import calibrate_best, calibrate_maximum
from scorer.neighbourhoods.mknn import count_shared
from scorer.neighbours import nearest
from scorer.nulls import count_relabelled
from shared.vectors import Vectors

N, K = 60, 6


def _layers(stream: np.random.Generator, count: int, base: npt.NDArray[np.float64] | None = None) -> list[Neighbours]:
    """Layers of one model: each is mostly what the others are."""
    ids = tuple(f"o{row:02d}" for row in range(N))
    base = stream.standard_normal((N, 8)) if base is None else base
    noise = (stream.standard_normal((N, 8)) for _ in range(count))
    return [nearest(Vectors(ids, (base + each).astype(np.float32)), K) for each in noise]


def _permutations(seed: int, count: int = 99) -> Iterator[npt.NDArray[np.int64]]:
    stream = np.random.default_rng(seed)
    return (stream.permutation(N) for _ in range(count))


def test_with_one_pair_of_layers_it_is_the_plain_calibration() -> None:
    stream = np.random.default_rng(1)
    latent = stream.standard_normal((N, 8))
    (left,), (right,) = _layers(stream, 1, latent), _layers(stream, 1, latent)
    found = calibrate_maximum([left], [right], _permutations(2), 0.9)
    value = int(count_shared(left, right).sum()) / (N * K)
    plain = calibrate(value, count_relabelled(left.table, right.table, _permutations(2)) / (N * K), 0.9)
    assert found.values.tolist() == [[value]]
    assert (found.threshold, found.calibrated, found.p_value) == (plain.threshold, plain.calibrated, plain.p_value)
    assert found.p_values.tolist() == [[plain.p_value]]
    assert found.best == (0, 0)


def test_it_is_the_maximum_and_its_null_is_that_of_the_maxima() -> None:
    stream = np.random.default_rng(3)
    latent = stream.standard_normal((N, 8))
    left, right = _layers(stream, 3), [*_layers(stream, 1), *_layers(stream, 1, latent)]
    left[1] = _layers(stream, 1, latent)[0]
    found = calibrate_maximum(left, right, _permutations(4), 0.95)
    assert found.values == pytest.approx(np.array([[count_shared(a, b).mean() / K for b in right] for a in left]))
    assert found.best == (1, 1)
    nulls = [[count_relabelled(a.table, b.table, _permutations(4)) for b in right] for a in left]
    maxima = np.array(nulls).max(axis=(0, 1)) / (N * K)
    plain = calibrate(float(found.values.max()), maxima, 0.95)
    assert (found.threshold, found.calibrated, found.p_value) == (plain.threshold, plain.calibrated, plain.p_value)
    for value, p_value in zip(found.values.flat, found.p_values.flat, strict=True):
        assert p_value == calibrate(float(value), maxima, 0.95).p_value
    assert found.p_values[found.best] == found.p_value == 0.01
    again = calibrate_best(found.values, np.array(nulls) / (N * K), 0.95)
    assert (again.threshold, again.calibrated, again.best) == (found.threshold, found.calibrated, found.best)
    np.testing.assert_array_equal(again.p_values, found.p_values)


def test_one_in_twenty_unrelated_models_is_called_a_find_and_naively_one_in_four() -> None:
    """120 pairs of models with six pairs of layers each; the naive way reports the best pair's own calibrated score."""
    stream = np.random.default_rng(5)
    aware = naive = 0
    for trial in range(120):
        left, right = _layers(stream, 2), _layers(stream, 3)
        found = calibrate_maximum(left, right, _permutations(trial), 0.95)
        best = left[found.best[0]].table, right[found.best[1]].table
        own = count_relabelled(*best, _permutations(trial)) / (N * K)
        aware += found.calibrated > 0
        naive += calibrate(float(found.values.max()), own, 0.95).calibrated > 0
    assert aware <= 13  # 6 expected; 3 standard deviations are 7
    assert naive > 20


def test_other_tables_and_none_are_refused() -> None:
    layers = _layers(np.random.default_rng(6), 2)
    with pytest.raises(ValueError, match="at least one layer"):
        calibrate_maximum(layers, [], _permutations(0), 0.95)
    with pytest.raises(ValueError, match="same k"):
        calibrate_maximum(layers, [layers[0].nearest(3)], _permutations(0), 0.95)
    with pytest.raises(ValueError, match=r"nulls are \(2, 3\) by K, not \(3, 2, 99\)"):
        calibrate_best(np.ones((2, 3)), np.ones((3, 2, 99)), 0.95)
    with pytest.raises(ValueError, match="at least one"):
        calibrate_best(np.ones((0, 3)), np.ones((0, 3, 99)), 0.95)
