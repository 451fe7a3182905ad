"""Neighbours are those of exact cosine similarity, whatever the order, the blocks or the threads."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neighbors import NearestNeighbors
from threadpoolctl import threadpool_limits

from scorer import neighbours as search
from scorer.comparison import Neighbours
from scorer.neighbours import nearest
from shared.errors import NotFinite, TooFewObjects, ZeroVector
from shared.vectors import Vectors

seeds = st.integers(0, 2**32 - 1)


def _vectors(matrix: npt.NDArray[np.generic]) -> Vectors:
    return Vectors(tuple(f"o{row:04d}" for row in range(len(matrix))), matrix.astype(np.float32))


def _by_brute_force(vectors: Vectors, k: int) -> npt.NDArray[np.intp]:
    matrix = vectors.matrix.astype(np.float64)
    unit = matrix / np.linalg.norm(matrix, axis=1, keepdims=True)
    similarity = (unit @ unit.T).round(12)
    np.fill_diagonal(similarity, -np.inf)
    return np.argsort(-similarity, axis=1, kind="stable")[:, :k]


@given(seed=seeds, n=st.integers(3, 70), d=st.integers(2, 40), data=st.data())
@settings(max_examples=60, deadline=None)
def test_agrees_with_float64_brute_force(seed: int, n: int, d: int, data: st.DataObject) -> None:
    k = data.draw(st.integers(1, n - 1))
    vectors = _vectors(np.random.default_rng(seed).standard_normal((n, d)))
    found = nearest(vectors, k)
    assert found.object_ids == vectors.object_ids
    assert found.table.dtype == np.int32
    np.testing.assert_array_equal(found.table, _by_brute_force(vectors, k))


def test_agrees_with_scikit_learn() -> None:
    vectors = _vectors(np.random.default_rng(1).standard_normal((400, 24)))
    reference = NearestNeighbors(n_neighbors=11, metric="cosine", algorithm="brute").fit(
        vectors.matrix.astype(np.float64)
    )
    np.testing.assert_array_equal(nearest(vectors, 11).table, reference.kneighbors(return_distance=False))


@given(seed=seeds, n=st.integers(4, 60), d=st.integers(1, 5), data=st.data())
@settings(max_examples=60, deadline=None)
def test_ties_go_to_the_lower_row(seed: int, n: int, d: int, data: st.DataObject) -> None:
    """Small whole numbers: most vectors have duplicates or equally similar neighbours, many across the k-th place."""
    k = data.draw(st.integers(1, n - 1))
    matrix = np.random.default_rng(seed).integers(-1, 2, size=(n, d))
    matrix[~matrix.any(axis=1), 0] = 1
    vectors = _vectors(matrix)
    np.testing.assert_array_equal(nearest(vectors, k).table, _by_brute_force(vectors, k))


@given(seed=seeds, n=st.integers(4, 60), d=st.integers(1, 5), data=st.data())
@settings(max_examples=60, deadline=None)
def test_ties_go_to_the_lower_lot(seed: int, n: int, d: int, data: st.DataObject) -> None:
    """As if the rows had been shuffled by lot, and ties gone to the lower row."""
    k = data.draw(st.integers(1, n - 1))
    matrix = np.random.default_rng(seed).integers(-1, 2, size=(n, d))
    matrix[~matrix.any(axis=1), 0] = 1
    lot = np.random.default_rng(seed + 1).permutation(n)
    by_lot = np.argsort(lot)
    expected = by_lot[_by_brute_force(_vectors(matrix[by_lot]), k)[lot]]
    found = nearest(_vectors(matrix), k, np.random.default_rng(seed + 1))
    np.testing.assert_array_equal(found.table, expected)


def test_near_ties_beyond_float32_are_settled_in_float64() -> None:
    """All vectors within 0.1 degrees of one another: float32 products cannot tell most neighbours apart."""
    noise = np.random.default_rng(2).standard_normal((500, 32))
    noise[:, 0] += 4000
    vectors = _vectors(noise)
    expected = _by_brute_force(vectors, 10)
    single = vectors.matrix / np.linalg.norm(vectors.matrix, axis=1, keepdims=True)
    products = single @ single.T
    np.fill_diagonal(products, -np.inf)
    naive = np.argsort(-products, axis=1, kind="stable")[:, :10]
    assert (np.sort(naive) != np.sort(expected)).any(axis=1).mean() > 0.5, "float32 alone should fail here"
    np.testing.assert_array_equal(nearest(vectors, 10).table, expected)


def test_an_object_is_left_out_by_row_not_by_similarity() -> None:
    vectors = _vectors(np.ones((300, 7)))
    found = nearest(vectors, 10).table
    rows = np.arange(11)
    for row in (0, 5, 10, 299):
        np.testing.assert_array_equal(found[row], rows[rows != row][:10])


@given(seed=seeds, n=st.integers(12, 60))
@settings(max_examples=25, deadline=None)
def test_signed_axes_and_scales_change_nothing(seed: int, n: int) -> None:
    """Exchanging and mirroring axes, and scaling each vector by a power of two, are exact in float32."""
    stream = np.random.default_rng(seed)
    matrix = stream.standard_normal((n, 16)).astype(np.float32)
    turned = matrix[:, stream.permutation(16)] * stream.choice([-1, 1], 16)
    scaled = turned * 2.0 ** stream.integers(-30, 30, size=(n, 1))
    np.testing.assert_array_equal(nearest(_vectors(matrix), 5).table, nearest(_vectors(scaled), 5).table)


def test_a_rotation_changes_almost_nothing() -> None:
    """A general rotation rounds in float32, and may exchange a pair of near-ties."""
    stream = np.random.default_rng(3)
    matrix = stream.standard_normal((500, 32))
    rotation = np.linalg.qr(stream.standard_normal((32, 32)))[0]
    before, after = nearest(_vectors(matrix), 10).table, nearest(_vectors(matrix @ rotation), 10).table
    assert (np.sort(before) != np.sort(after)).any(axis=1).sum() <= 2


@pytest.mark.parametrize("kind", ["generic", "duplicates"])
def test_blocks_and_threads_change_nothing(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = np.random.default_rng(4)
    matrix = stream.standard_normal((700, 48))
    if kind == "duplicates":
        matrix = matrix[stream.integers(0, 40, size=700)]
    vectors = _vectors(matrix)
    with threadpool_limits(limits=2):
        expected = nearest(vectors, 10).table
    np.testing.assert_array_equal(expected, _by_brute_force(vectors, 10))
    monkeypatch.setattr(search, "_QUERIES", 17)
    monkeypatch.setattr(search, "_BLOCK_BYTES", 48 * 8 * 5)
    monkeypatch.setattr(search, "_LARGE_BLOCK_BYTES", 700 * 8 * 3)
    with threadpool_limits(limits=1):
        np.testing.assert_array_equal(nearest(vectors, 10).table, expected)


def test_extreme_lengths_do_no_harm() -> None:
    matrix = np.random.default_rng(5).standard_normal((50, 8)).astype(np.float32)
    lengths = np.float32(2) ** np.linspace(-100, 100, 50).round()[:, None]
    np.testing.assert_array_equal(nearest(_vectors(matrix * lengths), 5).table, nearest(_vectors(matrix), 5).table)


@pytest.mark.parametrize("k", [-1, 0, 20, 21])
def test_k_must_be_less_than_n(k: int) -> None:
    with pytest.raises(TooFewObjects, match=f"k = {k} neighbours of 20 objects; expected 0 < k < 20"):
        nearest(_vectors(np.eye(20)), k)


def test_a_zero_vector_is_named() -> None:
    matrix = np.ones((20, 3))
    matrix[[7, 9]] = 0
    with pytest.raises(ZeroVector, match=r"'o0007' is zero \(2 such objects\)"):
        nearest(_vectors(matrix), 3)


def test_nan_never_reaches_the_search() -> None:
    matrix = np.ones((20, 3))
    matrix[4, 1] = np.nan
    with pytest.raises(NotFinite, match="o0004"):
        nearest(_vectors(matrix), 3)


@pytest.mark.parametrize(
    ("table", "complaint"),
    [
        ([[1, 2], [0, 2], [0, 1]], "int32"),
        ([[1, 2], [0, 3], [0, 1]], "outside"),
        ([[1, -1], [0, 2], [0, 1]], "outside"),
        ([[1, 2], [0, 1], [0, 1]], "its own neighbour"),
        ([[1, 1], [0, 2], [0, 1]], "named twice"),
        ([[1, 2], [0, 2]], "int32"),
    ],
)
def test_a_table_that_cannot_be_is_refused(table: list[list[int]], complaint: str) -> None:
    dtype = np.int64 if complaint == "int32" else np.int32
    with pytest.raises(ValueError, match=complaint):
        Neighbours(("a", "b", "c"), np.array(table, dtype=dtype))
