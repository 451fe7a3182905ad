"""What metrics of whole embeddings promise: symmetry, invariance, range, identity, relabelling, leaving out."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scorer.similarity.cca import Pwcca, Svcca, canonical_correlations
from scorer.similarity.cka import Alignment, DebiasedAlignment, linear_kernels
from scorer.similarity.information import GaussianInformation
from scorer.similarity.kernels import KernelsByFeatures, KernelsByObjects
from scorer.similarity.ksg import KsgInformation
from scorer.similarity.moments import Joint
from scorer.similarity.predictivity import Predictivity
from scorer.similarity.procrustes import Procrustes
from scorer.similarity.rbf import rbf_alignment
from scorer.similarity.relabelling import Relabelled, Similarity, relabelling_of
from scorer.similarity.ridge import deal
from scorer.similarity.rsa import Rsa
from shared.errors import DegenerateEmbedding, NotFinite, TooFewObjects

Doubles = npt.NDArray[np.float64]
Maker = Callable[..., tuple[Doubles, Doubles]]
seeds = st.integers(0, 2**32 - 1)


def _predictivity(left: Doubles, right: Doubles) -> Predictivity:
    stream = np.random.default_rng(len(left))
    return Predictivity(Joint(left, right), deal(len(left), 4, stream), deal(len(left), 4, stream))


DELETING: dict[str, Callable[[Doubles, Doubles], Similarity]] = {
    "cka": lambda left, right: Alignment(linear_kernels(left, right)),
    "cka-debiased": lambda left, right: DebiasedAlignment(linear_kernels(left, right)),
    "svcca": lambda left, right: Svcca(Joint(left, right)),
    "pwcca": lambda left, right: Pwcca(Joint(left, right)),
    "procrustes": lambda left, right: Procrustes(Joint(left, right)),
    "rsa": Rsa,
    "mi-gaussian": lambda left, right: GaussianInformation(Joint(left, right)),
    "mi-ksg": lambda left, right: KsgInformation(Joint(left, right)),
}
METRICS: dict[str, Callable[[Doubles, Doubles], Relabelled]] = {
    **DELETING,
    "cka-rbf": rbf_alignment,
    "linear-predictivity": _predictivity,
}
BOUNDED = sorted(METRICS.keys() - {"mi-gaussian", "mi-ksg"})
SHAPES = [(40, 5, 7), (24, 30, 40), (30, 6, 50)]  # more objects than dimensions, fewer, and one of each


def _rotation(stream: np.random.Generator, d: int) -> Doubles:
    return np.linalg.qr(stream.standard_normal((d, d)))[0]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", METRICS)
def test_left_and_right_may_change_places(make_pair: Maker, name: str, shape: tuple[int, int, int]) -> None:
    left, right = make_pair(1, *shape)
    measure = METRICS[name]
    if name == "linear-predictivity":  # its folds are dealt to one direction after the other
        joint, stream = Joint(left, right), np.random.default_rng(0)
        ours, theirs = deal(len(left), 4, stream), deal(len(left), 4, stream)
        assert Predictivity(joint, ours, theirs).value() == pytest.approx(
            Predictivity(Joint(right, left), theirs, ours).value(), abs=1e-9
        )
    else:
        assert measure(left, right).value() == pytest.approx(measure(right, left).value(), abs=1e-9)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", METRICS)
@given(seed=seeds)
@settings(max_examples=4, deadline=None)
def test_rotating_scaling_and_shifting_change_nothing(
    make_pair: Maker, name: str, shape: tuple[int, int, int], seed: int
) -> None:
    stream = np.random.default_rng(seed)
    left, right = make_pair(seed, *shape)
    turned = right if name == "pwcca" else right @ _rotation(stream, shape[2])  # its weights know the columns
    moved = 0 if name == "rsa" else 5 * stream.standard_normal(shape[2])  # its cosines know the origin
    other = 2.5 * turned + moved
    assert METRICS[name](left, other).value() == pytest.approx(METRICS[name](left, right).value(), abs=1e-8)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", sorted(METRICS.keys() - {"linear-predictivity"}))
@given(seed=seeds)
@settings(max_examples=4, deadline=None)
def test_the_order_of_objects_does_not_matter(
    make_pair: Maker, name: str, shape: tuple[int, int, int], seed: int
) -> None:
    left, right = make_pair(seed, *shape)
    order = np.random.default_rng(seed).permutation(len(left))
    assert METRICS[name](left[order], right[order]).value() == pytest.approx(
        METRICS[name](left, right).value(), abs=1e-8
    )


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", BOUNDED)
@given(seed=seeds, signal=st.sampled_from([0.0, 0.3, 3.0]))
@settings(max_examples=5, deadline=None)
def test_no_value_is_above_one_and_few_may_be_below_zero(
    make_pair: Maker, name: str, shape: tuple[int, int, int], seed: int, signal: float
) -> None:
    value = METRICS[name](*make_pair(seed, *shape, signal=signal)).value()
    least = {"cka-debiased": -1, "rsa": -1, "linear-predictivity": -math.inf}.get(name, 0)
    assert least <= value <= 1


@pytest.mark.parametrize("shape", [(40, 6), (20, 30)])
@pytest.mark.parametrize("name", BOUNDED)
def test_an_embedding_is_like_itself(make_pair: Maker, name: str, shape: tuple[int, int]) -> None:
    left, _ = make_pair(2, *shape, 2)
    value = METRICS[name](left, left).value()
    if name != "linear-predictivity":
        assert value == pytest.approx(1, abs=1e-9)
    elif shape[0] > shape[1]:
        assert value == pytest.approx(1, abs=1e-6)
    else:  # directions that the training objects do not span are not predicted
        assert 0.3 < value < 0.999


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", METRICS)
def test_a_relabelling_is_that_of_the_rows(make_pair: Maker, name: str, shape: tuple[int, int, int]) -> None:
    left, right = make_pair(3, *shape)
    similarity, stream = METRICS[name](left, right), np.random.default_rng(4)
    assert similarity.relabelled(np.arange(len(left))) == pytest.approx(similarity.value(), abs=1e-10)
    for _ in range(3):
        p = stream.permutation(len(left))
        if name == "linear-predictivity":  # the folds of the right go with its objects
            folds = np.random.default_rng(len(left))
            ours, theirs = deal(len(left), 4, folds), deal(len(left), 4, folds)
            expected = Predictivity(Joint(left, right[p]), ours, theirs[p]).value()
        else:
            expected = METRICS[name](left, right[p]).value()
        assert similarity.relabelled(p) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", DELETING)
def test_leaving_objects_out_is_measuring_the_others(make_pair: Maker, name: str, shape: tuple[int, int, int]) -> None:
    left, right = make_pair(5, *shape)
    rows = np.array([0, 4, 9, 13])
    rest = DELETING[name](np.delete(left, rows, axis=0), np.delete(right, rows, axis=0))
    assert DELETING[name](left, right).without(rows) == pytest.approx(rest.value(), abs=1e-9)


def test_leaving_objects_out_of_gaussian_kernels_keeps_their_widths(make_pair: Maker) -> None:
    left, right = make_pair(6, 20, 4, 4)
    rows = np.array([1, 2, 19])
    similarity = rbf_alignment(left, right)
    kernels = []
    for side, width in zip((left, right), ("width_left", "width_right"), strict=True):
        kept = np.delete(side, rows, axis=0)
        squares = np.square(kept[:, None] - kept[None]).sum(axis=2)
        kernel = np.exp(-squares / (2 * similarity.details()[width] ** 2))
        centring = np.eye(17) - 1 / 17
        kernels.append(centring @ kernel @ centring)
    inner = [float((a * b).sum()) for a, b in itertools.product(kernels, kernels)]
    assert similarity.without(rows) == pytest.approx(inner[1] / math.sqrt(inner[0] * inner[3]), abs=1e-12)


@pytest.mark.parametrize("name", ["cka", "cka-debiased", "cka-rbf", "rsa"])
@pytest.mark.parametrize("n", [4, 5, 6])
def test_closed_moments_are_those_of_all_relabellings(make_pair: Maker, name: str, n: int) -> None:
    left, right = make_pair(7, n, 3, 9)
    left[0] *= 20  # one object far away: a diagonal that is not even
    similarity = METRICS[name](left, right)
    every = np.array([similarity.relabelled(np.array(p)) for p in itertools.permutations(range(n))])
    moments = similarity.null_moments()
    assert moments is not None
    assert moments == pytest.approx((every.mean(), every.std()), abs=1e-9)


@pytest.mark.parametrize("name", ["cka", "cka-debiased", "cka-rbf", "rsa"])
def test_closed_moments_agree_with_many_relabellings(make_pair: Maker, name: str) -> None:
    left, right = make_pair(8, 50, 6, 12)
    similarity, stream = METRICS[name](left, right), np.random.default_rng(9)
    null = np.array([similarity.relabelled(stream.permutation(50)) for _ in range(3000)])
    moments = similarity.null_moments()
    assert moments is not None
    assert null.mean() == pytest.approx(moments[0], abs=4 * moments[1] / math.sqrt(3000))
    assert null.std() == pytest.approx(moments[1], rel=0.12)


@pytest.mark.parametrize("name", METRICS)
def test_what_is_shared_stands_out_and_what_is_not_does_not(make_pair: Maker, name: str) -> None:
    stream = np.random.default_rng(10)
    permutations = [stream.permutation(60) for _ in range(99)]
    related = METRICS[name](*make_pair(11, 60, 8, 8))
    assert all(related.relabelled(p) < related.value() for p in permutations)
    reached = []
    for seed in range(12):
        unrelated = METRICS[name](*make_pair(100 + seed, 60, 8, 8, signal=0))
        reached.append(np.mean([unrelated.relabelled(p) >= unrelated.value() for p in permutations[:39]]))
    assert 0.2 < np.mean(reached) < 0.8


def test_p_values_of_predictivity_are_uniform_though_folds_are_dealt_by_side() -> None:
    stream, ranks = np.random.default_rng(12), []
    for _ in range(150):
        left, right = stream.standard_normal((20, 2)), stream.standard_normal((20, 2))
        similarity = _predictivity(left, right)
        null = [similarity.relabelled(stream.permutation(20)) for _ in range(19)]
        ranks.append((1 + sum(value >= similarity.value() for value in null)) / 20)
    for level in (0.1, 0.3, 0.6):
        assert np.mean(np.array(ranks) <= level) == pytest.approx(level, abs=3 * math.sqrt(level * (1 - level) / 150))


@pytest.mark.parametrize("name", METRICS)
def test_constant_columns_say_nothing(make_pair: Maker, name: str) -> None:
    left, right = make_pair(13, 30, 5, 5)
    size = 0.0 if name == "rsa" else 1e6  # a constant column turns every vector the same way, which cosines notice
    padded = np.hstack([right[:, :2], np.full((30, 2), size), right[:, 2:]])
    assert METRICS[name](left, padded).value() == pytest.approx(METRICS[name](left, right).value(), abs=1e-9)


@pytest.mark.parametrize("shape", [(20, 4), (12, 40)])
@pytest.mark.parametrize("name", METRICS)
def test_equal_vectors_are_refused(make_pair: Maker, name: str, shape: tuple[int, int]) -> None:
    n, d = shape
    left, _ = make_pair(14, n, d, 2)
    same = np.tile(np.random.default_rng(15).standard_normal(d), (n, 1))
    with pytest.raises(DegenerateEmbedding, match="right"):
        METRICS[name](left, same)
    with pytest.raises(DegenerateEmbedding, match="left"):
        METRICS[name](same, left)


@pytest.mark.parametrize("name", sorted(DELETING.keys() - {"rsa"}))
@pytest.mark.parametrize("d", [4, 40])
def test_a_side_that_differs_only_where_it_is_left_out_is_refused(make_pair: Maker, name: str, d: int) -> None:
    left, right = make_pair(16, 20, d, d)
    right[2:] = right[2]
    with pytest.raises(DegenerateEmbedding, match="right"):
        DELETING[name](left, right).without(np.array([0, 1]))


def test_debiased_cka_refuses_a_side_with_a_single_odd_vector(make_pair: Maker) -> None:
    left, right = make_pair(17, 20, 4, 4)
    right[1:] = right[1]
    with pytest.raises(DegenerateEmbedding, match="but one"):
        DELETING["cka-debiased"](left, right)


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_numbers_that_are_none_are_refused(make_pair: Maker, name: str, value: float) -> None:
    left, right = make_pair(18, 20, 4, 4)
    right[3, 1] = value
    with pytest.raises(NotFinite, match="right"):
        METRICS[name](left, right)


@pytest.mark.parametrize("name", METRICS)
def test_embeddings_of_other_objects_are_refused(make_pair: Maker, name: str) -> None:
    left, right = make_pair(19, 20, 4, 4)
    with pytest.raises(ValueError, match="same objects"):
        METRICS[name](left, right[:-1])


@pytest.mark.parametrize(
    ("name", "n"), [("cka", 1), ("cka-debiased", 3), ("rsa", 2), ("mi-ksg", 3), ("linear-predictivity", 7)]
)
def test_too_few_objects_are_refused(make_pair: Maker, name: str, n: int) -> None:
    with pytest.raises(TooFewObjects):
        METRICS[name](*make_pair(20, n, 4, 4))


def test_linear_kernels_are_the_same_by_features_and_by_objects(make_pair: Maker) -> None:
    left, right = make_pair(21, 30, 6, 9)
    centred = [side - side.mean(axis=0) for side in (left, right)]
    by_features = KernelsByFeatures(Joint(left, right))
    by_objects = KernelsByObjects(*(side @ side.T for side in centred))
    assert isinstance(linear_kernels(left, right), KernelsByFeatures)
    assert isinstance(linear_kernels(left[:9], right[:9]), KernelsByObjects)
    p, rows = np.random.default_rng(22).permutation(30), np.array([3, 8, 21])
    for one, other in (
        (by_features.products(), by_objects.products()),
        (by_features.without(rows), by_objects.without(rows)),
    ):
        assert (one.left, one.right, one.cross) == pytest.approx((other.left, other.right, other.cross), rel=1e-11)
        assert one.left_diagonal == pytest.approx(other.left_diagonal, rel=1e-11)
        assert one.right_diagonal == pytest.approx(other.right_diagonal, rel=1e-11)
    assert by_features.cross_relabelled(p) == pytest.approx(by_objects.cross_relabelled(p), rel=1e-11)


@given(seed=seeds)
@settings(max_examples=20, deadline=None)
def test_canonical_correlations_know_no_coordinates(make_pair: Maker, seed: int) -> None:
    left, right = make_pair(seed, 40, 5, 7)
    stream = np.random.default_rng(seed)
    mapped = right @ (_rotation(stream, 7) * stream.uniform(0.01, 10, 7) @ _rotation(stream, 7))
    assert canonical_correlations(left, mapped) == pytest.approx(canonical_correlations(left, right), abs=1e-8)


@given(seed=seeds, n=st.integers(2, 40))
@settings(max_examples=30, deadline=None)
def test_a_sample_is_relabelled_within_itself(seed: int, n: int) -> None:
    stream = np.random.default_rng(seed)
    rows, p = np.sort(stream.choice(n, size=max(1, n // 2), replace=False)), stream.permutation(n)
    brought = relabelling_of(rows, p)
    assert sorted(brought.tolist()) == list(range(len(rows)))
    images = p[rows]
    assert np.array_equal(images.argsort(), brought.argsort())
