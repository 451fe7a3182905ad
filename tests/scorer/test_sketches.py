"""Sketches bound every cosine from above, and a search in them finds what a search in full finds."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scorer import sketches
from scorer.neighbours import nearest_among
from scorer.sketches import Plan, leading_subspace, make_plan

seeds = st.integers(0, 2**32 - 1)
Floats = npt.NDArray[np.float32]


def _low_rank(seed: int, n: int, d: int, noise: float) -> Floats:
    stream = np.random.default_rng(seed)
    matrix = stream.standard_normal((n, 6)) @ stream.standard_normal((6, d)) + noise * stream.standard_normal((n, d))
    return matrix.astype(np.float32)


def _norms(matrix: Floats) -> npt.NDArray[np.float64]:
    norms: npt.NDArray[np.float64] = np.linalg.norm(matrix.astype(np.float64), axis=1)
    return norms


def _unit(matrix: Floats) -> Floats:
    return (matrix / _norms(matrix)[:, None]).astype(np.float32)


@given(seed=seeds, n=st.integers(2, 60), d=st.integers(4, 80), noise=st.sampled_from([0.0, 1e-6, 0.3, 100.0]))
@settings(max_examples=80, deadline=None)
def test_products_of_sketches_are_no_less_than_cosines(seed: int, n: int, d: int, noise: float) -> None:
    """Whatever the subspace: that of the data, in which little is left out, or one that has nothing to do with it."""
    stream = np.random.default_rng(seed + 1)
    matrix, size = _low_rank(seed, n, d, noise), int(stream.integers(1, d))
    unit = matrix.astype(np.float64) / _norms(matrix)[:, None]
    cosines = unit @ unit.T
    for basis in (leading_subspace(_unit(matrix), size), np.linalg.qr(stream.standard_normal((d, size)))[0]):
        np.testing.assert_allclose(basis.T @ basis, np.eye(size), atol=1e-12)
        sketch = Plan(basis, 1).sketch(matrix, _norms(matrix))
        assert (sketch @ sketch.T + (size + 5) * 2.0**-24 >= cosines).all()
        np.testing.assert_allclose(np.square(sketch, dtype=np.float64).sum(axis=1), 1, atol=1e-6)


def test_what_lies_within_the_subspace_is_told_exactly() -> None:
    matrix = _low_rank(1, 50, 40, noise=0.0)
    sketch = Plan(leading_subspace(_unit(matrix), 6), 1).sketch(matrix, _norms(matrix))
    unit = matrix.astype(np.float64) / _norms(matrix)[:, None]
    np.testing.assert_allclose(sketch @ sketch.T, unit @ unit.T, atol=1e-5)


def _ties(seed: int, n: int, d: int) -> Floats:
    """Few directions, each many times, scaled by powers of two: ties wherever one looks."""
    stream = np.random.default_rng(seed)
    few = _low_rank(seed, n // 8, d, noise=0.1)
    scales = 2.0 ** stream.integers(-3, 4, size=(n, 1))
    return (few[stream.integers(0, len(few), size=n)] * scales).astype(np.float32)


@pytest.mark.parametrize("k", [1, 10, 60])
@pytest.mark.parametrize("kind", ["low rank", "ties", "collapsed"])
def test_a_search_in_sketches_finds_what_float64_finds(kind: str, k: int, monkeypatch: pytest.MonkeyPatch) -> None:
    n, d = 600, 60
    matrix = _ties(2, n, d) if kind == "ties" else _low_rank(2, n, d, noise=0.2)
    if kind == "collapsed":
        matrix[:, 0] += 3000
    monkeypatch.setattr(sketches, "_FEWEST", 1)
    monkeypatch.setattr(sketches, "_SAMPLE", 300)
    monkeypatch.setattr(sketches, "_SIZES", (8, 16))
    monkeypatch.setattr(sketches, "_WORTHWHILE", 1e9)
    plan = make_plan(_unit(matrix), k)
    if kind != "ties":
        assert plan is not None
    lot = np.random.default_rng(3).permutation(n)
    found = nearest_among(matrix, matrix, k, lot=lot, own=np.arange(n))
    unit = matrix.astype(np.float64) / _norms(matrix)[:, None]
    cosines = (unit @ unit.T).round(12)
    np.fill_diagonal(cosines, -np.inf)
    expected = np.lexsort((np.broadcast_to(lot, cosines.shape), -cosines), axis=-1)[:, :k]
    np.testing.assert_array_equal(found.rows, expected)
    np.testing.assert_allclose(found.similarities, np.take_along_axis(cosines, expected, axis=1), atol=2e-12)


def test_isotropic_vectors_and_few_are_not_sketched() -> None:
    stream = np.random.default_rng(4)
    assert make_plan(_unit(stream.standard_normal((4096, 96)).astype(np.float32)), 10) is None
    assert make_plan(_unit(_low_rank(5, 500, 96, noise=0.1)), 10) is None
    assert make_plan(_unit(_low_rank(5, 4096, 400, noise=0.1)), 10) is not None


@given(seed=seeds, n=st.integers(1, 40), m=st.integers(1, 20), k=st.integers(1, 50))
@settings(max_examples=40, deadline=None)
def test_queries_beside_the_database_find_its_nearest_and_no_more_than_it_has(
    seed: int, n: int, m: int, k: int
) -> None:
    database, queries = _low_rank(seed, n, 5, 1.0), _low_rank(seed + 1, m, 5, 1.0)
    found = nearest_among(queries, database, k, lot=np.arange(n), own=np.full(m, -1))
    cosines = (queries.astype(np.float64) @ database.T.astype(np.float64)) / np.outer(_norms(queries), _norms(database))
    expected = np.argsort(-cosines.round(12), axis=1, kind="stable")[:, :k]
    np.testing.assert_array_equal(found.rows[:, :n], expected)
    assert (found.rows[:, n:] == -1).all()
    assert np.isneginf(found.similarities[:, n:]).all()
