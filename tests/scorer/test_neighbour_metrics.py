"""Neighbour metrics against plain sets and whole matrices, their laws, their exact chance, and what they are worth."""

from __future__ import annotations

import itertools
import math
import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from scorer.comparison import Comparison, Measured, Neighbours
from scorer.metrics import METRICS
from scorer.neighbourhoods.cknna import centred_similarities, measure_cknna
from scorer.neighbourhoods.cycle_knn import cycle_knn
from scorer.neighbourhoods.jaccard import chance_of_jaccard, jaccard
from scorer.neighbourhoods.mknn import count_shared
from scorer.neighbourhoods.rank_biased_overlap import chance_of_rank_biased_overlap, rank_biased_overlap
from scorer.neighbours import nearest
from scorer.records import result_of
from shared.contracts import Scoring
from shared.errors import DegenerateEmbedding, TooFewObjects, ZeroVector
from shared.vectors import Vectors

Matrix = npt.NDArray[np.floating]
Table = npt.NDArray[np.integer]
SCORING = Scoring(permutations=99, resamples=99)
NAMES = ("mknn", "jaccard", "rank-biased-overlap", "cycle-knn", "cknna")
MEANS = tuple(name for name in NAMES if name != "cknna")
seeds = st.integers(0, 2**32 - 1)
every_metric = pytest.mark.parametrize("name", NAMES)


@dataclass(frozen=True)
class Given:
    """A side whose vectors are at hand."""

    given: Vectors

    def vectors(self) -> Vectors:
        return self.given

    def neighbours(self, k: int) -> Neighbours:
        return nearest(self.given, k)


def _compare(left: Matrix, right: Matrix, k: int, ids: Sequence[str] | None = None) -> Comparison:
    ids = tuple(ids or (f"o{row:04d}" for row in range(len(left))))
    sides = [Given(Vectors(ids, matrix.astype(np.float32))) for matrix in (left, right)]
    return Comparison(ids, sides[0], sides[1], SCORING, "ab" * 16, k)


def _measure(name: str, left: Matrix, right: Matrix, k: int) -> Measured:
    return METRICS[name].measure(_compare(left, right, k))


def _two_views(seed: int, n: int = 40, d: int = 6, noise: float = 0.7) -> tuple[Matrix, Matrix]:
    """One latent world of n objects, seen twice."""
    stream = np.random.default_rng(seed)
    latent = stream.standard_normal((n, d))
    left, right = (latent + noise * stream.standard_normal((n, d)) for _ in range(2))
    return left.astype(np.float32), right.astype(np.float32)


# Plain implementations: sets, and whole matrices in float64.


def _search(matrix: Matrix, k: int) -> Table:
    unit = matrix.astype(np.float64) / np.linalg.norm(matrix.astype(np.float64), axis=1, keepdims=True)
    similarity = unit @ unit.T
    np.fill_diagonal(similarity, -np.inf)
    return np.argsort(-similarity.round(12), axis=1, kind="stable")[:, :k]


def _plain_mknn(left: Matrix, right: Matrix, k: int) -> list[float]:
    return [len(set(a) & set(b)) / k for a, b in _rows(left, right, k)]


def _plain_jaccard(left: Matrix, right: Matrix, k: int) -> list[float]:
    return [len(set(a) & set(b)) / len(set(a) | set(b)) for a, b in _rows(left, right, k)]


def _plain_rbo(left: Matrix, right: Matrix, k: int, p: float = 0.9) -> list[float]:
    values = []
    for a, b in _rows(left, right, k):
        agreement = [len(set(a[:d]) & set(b[:d])) / d for d in range(1, k + 1)]
        values.append((1 - p) * sum(p**d * each for d, each in enumerate(agreement)) + p**k * agreement[-1])
    return values


def _plain_cycle(left: Matrix, right: Matrix, k: int) -> list[float]:
    tables = _search(left, k).tolist(), _search(right, k).tolist()
    ways = [
        [any(i in second[j] for j in first[i]) for i in range(len(left))] for first, second in (tables, tables[::-1])
    ]
    return [(there + back) / 2 for there, back in zip(*ways, strict=True)]


def _plain_cknna(left: Matrix, right: Matrix, k: int) -> float:
    """Masks and kernels n x n, each kernel less the mean of its row."""
    masks, kernels = [], []
    for matrix in (left, right):
        unit = matrix.astype(np.float64) / np.linalg.norm(matrix.astype(np.float64), axis=1, keepdims=True)
        kernel = unit @ unit.T
        kernels.append(kernel - kernel.mean(axis=1, keepdims=True))
        masks.append(np.zeros(kernel.shape, dtype=bool))
        masks[-1][np.arange(len(matrix))[:, None], _search(matrix, k)] = True

    def align(a: int, b: int) -> float:
        return float((kernels[a] * kernels[b])[masks[a] & masks[b]].sum())

    return align(0, 1) / math.sqrt(align(0, 0) * align(1, 1))


def _rows(left: Matrix, right: Matrix, k: int) -> list[tuple[list[int], list[int]]]:
    return list(zip(_search(left, k).tolist(), _search(right, k).tolist(), strict=True))


PLAIN: dict[str, Callable[[Matrix, Matrix, int], list[float]]] = {
    "mknn": _plain_mknn,
    "jaccard": _plain_jaccard,
    "rank-biased-overlap": _plain_rbo,
    "cycle-knn": _plain_cycle,
    "cknna": lambda left, right, k: [_plain_cknna(left, right, k)],
}


@every_metric
@given(seed=seeds, n=st.integers(3, 40), d=st.integers(2, 8), data=st.data())
@settings(max_examples=12, deadline=None)
def test_it_is_that_of_a_plain_implementation(name: str, seed: int, n: int, d: int, data: st.DataObject) -> None:
    k = data.draw(st.integers(1, n - 1))
    left, right = _two_views(seed, n, d)
    measured, plain = _measure(name, left, right, k), PLAIN[name](left, right, k)
    assert measured.value == pytest.approx(np.mean(plain), abs=1e-9)
    if name in MEANS:
        assert measured.per_object == pytest.approx(np.array(plain), abs=1e-12)
    else:
        assert measured.per_object is None


@every_metric
def test_its_null_is_that_of_relabelled_vectors(name: str) -> None:
    """To give object i of the left the place of p[i] on the right is to compare it with the vector of p[i]."""
    left, right = _two_views(1, 30)
    comparison = _compare(left, right, 4)
    measured = METRICS[name].measure(comparison)
    null = np.array([np.mean(PLAIN[name](left, right[p], 4)) for p in comparison.permutations()])
    assert measured.null == pytest.approx(null, abs=1e-9)
    reached = np.count_nonzero(null >= measured.value - 1e-9)
    assert measured.p_value == (1 + reached) / 100
    assert measured.p_value == (1 + np.count_nonzero(measured.null >= measured.value)) / 100
    assert measured.threshold == pytest.approx(np.sort([*null, measured.value])[94], abs=1e-9)
    if name != "mknn":
        assert measured.null_std == pytest.approx(null.std(ddof=1), abs=1e-9)


@every_metric
@pytest.mark.parametrize("k", [1, 2, 4])
def test_chance_is_the_mean_of_all_relabellings(name: str, k: int) -> None:
    left, right = _two_views(2, 5, 3)
    every = [np.mean(PLAIN[name](left, right[list(p)], k)) for p in itertools.permutations(range(5))]
    measured = _measure(name, left, right, k)
    assert measured.chance == measured.null_mean == pytest.approx(np.mean(every), abs=1e-12)


@pytest.mark.parametrize(("n", "k"), [(2, 1), (10, 9), (11, 3), (200, 10), (1000, 600), (100_000, 1000)])
def test_chance_of_jaccard_is_the_hypergeometric_sum(n: int, k: int) -> None:
    drawn = range(max(0, 2 * k - n + 1), k + 1)
    ways = [math.comb(k, m) * math.comb(n - 1 - k, k - m) for m in (drawn if n < 5000 else range(60))]
    expected = sum(m / (2 * k - m) * (way / math.comb(n - 1, k)) for m, way in zip(drawn, ways, strict=False))
    assert chance_of_jaccard(n, k) == pytest.approx(expected, rel=1e-9)


def test_chance_of_rank_biased_overlap_is_one_where_all_are_neighbours_in_one_order() -> None:
    assert chance_of_rank_biased_overlap(2, 1) == 1
    assert chance_of_rank_biased_overlap(100, 10) == pytest.approx((1 - 0.9**10) / 0.1 / 99)


@every_metric
@given(seed=seeds, k=st.integers(1, 12))
@settings(max_examples=6, deadline=None)
def test_order_of_objects_and_of_sides_changes_nothing(name: str, seed: int, k: int) -> None:
    left, right = _two_views(seed)
    measured = _measure(name, left, right, k)
    order = np.random.default_rng(seed).permutation(len(left))
    shuffled, turned = _measure(name, left[order], right[order], k), _measure(name, right, left, k)
    for other in (shuffled, turned):
        assert other.value == pytest.approx(measured.value, abs=1e-12)
        assert other.chance == pytest.approx(measured.chance, abs=1e-12)
    if name in MEANS:
        np.testing.assert_allclose(shuffled.per_object, measured.per_object[order], atol=1e-12)
        np.testing.assert_allclose(turned.per_object, measured.per_object, atol=1e-12)


@every_metric
@given(seed=seeds, k=st.integers(1, 12))
@settings(max_examples=6, deadline=None)
def test_turning_and_stretching_a_side_changes_nothing(name: str, seed: int, k: int) -> None:
    """Axes exchanged and mirrored, and every vector scaled by a power of two of its own, are exact in float32."""
    left, right = _two_views(seed)
    stream = np.random.default_rng(seed)
    moved = left[:, stream.permutation(6)] * stream.choice([-1, 1], 6) * 2.0 ** stream.integers(-9, 9, size=(40, 1))
    assert _measure(name, moved, right, k).value == pytest.approx(_measure(name, left, right, k).value, abs=1e-12)


@every_metric
def test_a_general_rotation_changes_nothing_but_rounding(name: str) -> None:
    left, right = _two_views(3)
    rotation = 3.7 * np.linalg.qr(np.random.default_rng(3).standard_normal((6, 6)))[0]
    assert _measure(name, left @ rotation, right, 5).value == pytest.approx(
        _measure(name, left, right, 5).value, abs=1e-6
    )


@every_metric
@given(seed=seeds, n=st.integers(3, 40), d=st.integers(1, 8), data=st.data())
@settings(max_examples=12, deadline=None)
def test_it_stays_in_its_range(name: str, seed: int, n: int, d: int, data: st.DataObject) -> None:
    """Also where most vectors have duplicates, or are equally near."""
    k = data.draw(st.integers(1, n - 1))
    stream = np.random.default_rng(seed)
    left, right = (stream.integers(-1, 2, size=(n, d)) for _ in range(2))
    for matrix in (left, right):
        matrix[~matrix.any(axis=1), 0] = 1
    try:
        measured = _measure(name, left, right, k)
    except DegenerateEmbedding:
        reject()  # as of an object on each half-axis: its neighbours are as far as the average
    assert -1 - 1e-12 <= measured.value <= 1 + 1e-12
    assert 0 <= measured.calibrated <= 1
    assert 0.01 <= measured.p_value <= 1
    assert measured.interval.low <= measured.interval.high
    if name in MEANS:
        assert measured.value >= 0


@every_metric
@given(seed=seeds, k=st.integers(1, 39))
@settings(max_examples=6, deadline=None)
def test_of_an_embedding_with_itself_it_is_one(name: str, seed: int, k: int) -> None:
    left, _ = _two_views(seed)
    measured = _measure(name, left, left, k)
    if name == "cycle-knn":
        table = [set(row) for row in _search(left, k).tolist()]
        returned = np.mean([any(i in table[j] for j in row) for i, row in enumerate(table)])
        assert measured.value == measured.details["there"] == measured.details["back"] == returned
    else:
        assert measured.value == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("name", MEANS)
@given(seed=seeds)
@settings(max_examples=6, deadline=None)
def test_far_objects_leave_the_values_of_the_others(name: str, seed: int) -> None:
    """Whoever is added behind everybody's back is nobody's neighbour: each object that was there keeps its value.

    CKNNA has no such law: its similarities are held against those of the average object.
    """
    left, right = (side + 6 for side in _two_views(seed))
    far = -np.abs(np.random.default_rng(seed).standard_normal((7, 6)))
    before = _measure(name, left, right, 5)
    after = _measure(name, np.vstack([left, far]), np.vstack([right, far]), 5)
    np.testing.assert_array_equal(after.per_object[:40], before.per_object)


@every_metric
def test_copies_are_neighbours_of_one_another(name: str) -> None:
    """Six copies of each of nine vectors, and k = 5: every object's neighbours are its copies, on both sides."""
    left, right = (np.tile(side, (6, 1)) for side in _two_views(4, 9))
    measured = _measure(name, left, right, 5)
    assert measured.value == pytest.approx(1 if name in MEANS else PLAIN[name](left, right, 5)[0], abs=1e-12)
    assert measured.p_value == 0.01


@every_metric
def test_alike_is_told_from_unrelated(name: str) -> None:
    left, right = _two_views(5, 120)
    alike, unrelated = _measure(name, left, right, 8), _measure(name, left, _two_views(6, 120)[0], 8)
    assert alike.p_value == 0.01
    assert alike.calibrated > 0.05
    assert alike.interval.low < alike.value < alike.interval.high
    assert alike.interval.low > alike.threshold
    assert unrelated.value == pytest.approx(unrelated.chance, abs=4 * unrelated.null_std)


@every_metric
def test_the_same_pair_gives_the_same_answer(name: str) -> None:
    left, right = _two_views(7)
    comparison = _compare(left, right, 5)
    one, other = (result_of(METRICS[name], 5, METRICS[name].measure(comparison)) for _ in range(2))
    assert one == other


def test_of_several_k_each_is_as_if_alone() -> None:
    """The first columns of a table for the largest k are the table for a smaller one."""
    left, right = _two_views(8)
    ids = tuple(f"o{row:04d}" for row in range(40))
    tables = [nearest(Vectors(ids, side), 12) for side in (left, right)]
    for k in (1, 5, 12):
        mine = [table.nearest(k) for table in tables]
        assert rank_biased_overlap(*mine) == pytest.approx(np.array(_plain_rbo(left, right, k)), abs=1e-12)
        assert jaccard(*mine) == pytest.approx(np.array(_plain_jaccard(left, right, k)), abs=1e-12)


def test_cknna_is_sure_of_itself_as_resampling_its_three_sums_says() -> None:
    left, right = _two_views(9)
    comparison = _compare(left, right, 5)
    sums = np.zeros((40, 3))
    kernels = []
    for matrix in (left, right):
        unit = matrix.astype(np.float64) / np.linalg.norm(matrix.astype(np.float64), axis=1, keepdims=True)
        kernels.append(unit @ unit.T - (unit @ unit.T).mean(axis=1, keepdims=True))
    for i, (a, b) in enumerate(_rows(left, right, 5)):
        sums[i] = [
            sum(kernels[0][i, j] * kernels[1][i, j] for j in set(a) & set(b)),
            sum(kernels[0][i, j] ** 2 for j in a),
            sum(kernels[1][i, j] ** 2 for j in b),
        ]

    def ratio(rows: npt.NDArray[np.integer]) -> float:
        shared, own, other = sums[rows].sum(axis=0)
        return float(shared / math.sqrt(own * other))

    stream = comparison.resampling()
    resampled = [ratio(stream.integers(40, size=40)) for _ in range(99)]
    left_out = np.array([ratio(np.delete(np.arange(40), i)) for i in range(40)])
    measured = measure_cknna(comparison)
    assert (measured.interval.low, measured.interval.high) == pytest.approx(
        tuple(np.percentile(resampled, [2.5, 97.5])), abs=1e-12
    )
    error = math.sqrt(39 / 40 * np.square(left_out - left_out.mean()).sum())
    assert measured.standard_error == pytest.approx(error, abs=1e-12)


def test_cknna_never_holds_all_pairs() -> None:
    n, k = 20_000, 5
    stream = np.random.default_rng(10)
    table = (np.arange(n)[:, None] + 1 + np.arange(k)) % n
    vectors = Vectors(tuple(f"o{row}" for row in range(n)), stream.standard_normal((n, 16)).astype(np.float32))
    neighbours = Neighbours(vectors.object_ids, table.astype(np.int32))
    tracemalloc.start()
    centred_similarities(vectors, neighbours)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 64 * 2**20  # all pairs in float64 are 3 GiB


@every_metric
def test_k_must_be_less_than_n(name: str) -> None:
    left, right = _two_views(11, 8)
    with pytest.raises(TooFewObjects, match="k = 8 neighbours of 8 objects"):
        _measure(name, left, right, 8)


@every_metric
def test_a_vector_without_direction_is_named(name: str) -> None:
    left, right = _two_views(12, 8)
    right[3] = 0
    with pytest.raises(ZeroVector, match="'o0003' is zero"):
        _measure(name, left, right, 2)


def test_an_embedding_of_one_direction_has_no_cknna() -> None:
    left, right = _two_views(13, 8)
    with pytest.raises(DegenerateEmbedding, match="of these 8 objects are no more alike than"):
        _measure("cknna", left, np.outer(np.arange(1, 9), right[0]), 2)
    with pytest.raises(DegenerateEmbedding, match="of these 4 objects"):
        _measure("cknna", np.array([[1, 0], [0, 1], [-1, 0], [0, -1]]), right[:4], 1)


def test_tables_of_other_objects_are_refused() -> None:
    ring = np.array([[1], [2], [0]], dtype=np.int32)
    one, other = Neighbours(("a", "b", "c"), ring.copy()), Neighbours(("a", "c", "b"), ring.copy())
    for metric in (count_shared, jaccard, rank_biased_overlap, cycle_knn):
        with pytest.raises(ValueError, match="same objects"):
            metric(one, other)
    with pytest.raises(ValueError, match="vectors of the same objects"):
        centred_similarities(Vectors(("a", "c", "b"), np.ones((3, 2), dtype=np.float32)), one)
