"""The closed-form mean and variance of MKNN against 10,000 relabellings: over k, sizes and hubs.

The relabellings are counted in dense adjacency matrices, not by the code under test. Tolerances are four standard
errors of what 10,000 draws can tell; that of the variance is taken from the draws' own fourth moment, since counts on
graphs with hubs are far from normal, and a chi-squared range would be too narrow for them. Seeds are fixed.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from scorer.neighbours import nearest
from scorer.nulls import chance_of_mknn, moments_of_null
from shared.vectors import Vectors

Table = npt.NDArray[np.int32]
DRAWS = 10_000


def _random(stream: np.random.Generator, n: int, k: int) -> Table:
    liking = stream.random((n, n))
    np.fill_diagonal(liking, -1)
    return np.argsort(-liking, axis=1)[:, :k].astype(np.int32)


def _clustered(stream: np.random.Generator, n: int, k: int) -> Table:
    """Neighbours of vectors in five clusters of unequal size: many edges have their reverse."""
    centres = 4 * stream.standard_normal((5, 8))
    members = stream.choice(5, size=n, p=[0.5, 0.2, 0.1, 0.1, 0.1])
    matrix = centres[members] + stream.standard_normal((n, 8))
    return nearest(Vectors(tuple(f"o{row}" for row in range(n)), matrix.astype(np.float32)), k).table


def _wide(stream: np.random.Generator, n: int, k: int) -> Table:
    """Neighbours in 300 dimensions off the origin: hubs, as high dimensions have them."""
    matrix = stream.standard_normal((n, 300)) * np.exp(0.5 * stream.standard_normal((n, 1))) + 0.3
    return nearest(Vectors(tuple(f"o{row}" for row in range(n)), matrix.astype(np.float32)), k).table


def _star(stream: np.random.Generator, n: int, k: int) -> Table:
    """Everybody's neighbours are the same k objects; they themselves have one more."""
    hubs = stream.permutation(n)[: k + 1].astype(np.int32)
    rows = [[hub for hub in hubs if hub != row][:k] for row in range(n)]
    return np.array(rows, dtype=np.int32)


def _ring(stream: np.random.Generator, n: int, k: int) -> Table:
    """The k that come next in a circle: every object is as popular as any, and no edge has its reverse while 2k < n."""
    order = stream.permutation(n)
    table = np.empty((n, k), dtype=np.int32)
    table[order] = order[(np.arange(n)[:, None] + 1 + np.arange(k)) % n]
    return table


def _counts(stream: np.random.Generator, left: Table, right: Table) -> npt.NDArray[np.int64]:
    """Shared edges under so many relabellings, by looking up each edge of the left in a matrix of the right."""
    n, k = left.shape
    adjacent = np.zeros((n, n), dtype=bool)
    adjacent[np.arange(n)[:, None], right] = True
    counts = []
    for _ in range(10):
        p = stream.permuted(np.tile(np.arange(n), (DRAWS // 10, 1)), axis=1)
        counts.append(adjacent[np.repeat(p, k, axis=1), p[:, left.reshape(-1)]].sum(axis=1))
    return np.concatenate(counts)


GRAPHS: dict[str, Callable[[np.random.Generator, int, int], Table]] = {
    "random": _random, "clustered": _clustered, "wide": _wide, "star": _star, "ring": _ring,
}  # fmt: skip


@pytest.mark.parametrize(("left", "right"), [
    ("random", "random"), ("clustered", "clustered"), ("wide", "wide"), ("star", "star"), ("ring", "ring"),
    ("star", "random"), ("wide", "clustered"), ("ring", "star"),
])  # fmt: skip
@pytest.mark.parametrize(("n", "k"), [(20, 1), (30, 10), (60, 5), (150, 3)])
def test_they_are_those_of_ten_thousand_relabellings(left: str, right: str, n: int, k: int) -> None:
    stream = np.random.default_rng([n, k, *map(ord, left + right)])
    ours, theirs = GRAPHS[left](stream, n, k), GRAPHS[right](stream, n, k)
    null = _counts(stream, ours, theirs) / (n * k)
    mean, std = moments_of_null(ours, theirs)
    assert mean == pytest.approx(chance_of_mknn(n, k), rel=1e-12)
    if std < 1e-9:
        assert null == pytest.approx(np.full(DRAWS, mean), abs=1e-12)
        return
    assert abs(null.mean() - mean) < 4 * std / math.sqrt(DRAWS)
    squares = np.square(null - mean)
    assert abs(squares.mean() - std**2) < 4 * squares.std() / math.sqrt(DRAWS)


def test_hubs_widen_the_null() -> None:
    """Two stars agree by chance, now and then, on nearly everything: the same mean, many times the spread."""
    stream = np.random.default_rng(1)
    (even, narrow), (hubs, wide) = (
        moments_of_null(make(stream, 100, 5), make(stream, 100, 5)) for make in (_ring, _star)
    )
    assert even == pytest.approx(hubs)
    assert wide > 5 * narrow


def test_where_all_are_neighbours_there_is_nothing_to_vary() -> None:
    stream = np.random.default_rng(2)
    assert moments_of_null(_random(stream, 9, 8), _random(stream, 9, 8)) == (1, 0)
