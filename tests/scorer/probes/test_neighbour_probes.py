"""Probes by neighbours against scikit-learn, against definitions written out, and over all relabellings."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kstest, rankdata
from sklearn.metrics import balanced_accuracy_score
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor

from scorer.probes.agreement import Labelled, measure_agreement, moments_of_agreement
from scorer.probes.neighbourly import average, chance_of_average, measure_knn, vote
from scorer.probes.probing import Probing
from shared.errors import TooFewObjects, ZeroVector

Maker = Callable[..., Probing]
Floats = npt.NDArray[np.float64]
FR = ("FR I", "FR II")


def _embedding(seed: int, n: int, d: int = 6) -> tuple[Floats, Floats]:
    stream = np.random.default_rng(seed)
    hidden = stream.standard_normal((n, 3))
    return hidden @ stream.standard_normal((3, d)) + 0.3 * stream.standard_normal((n, d)), hidden[:, 0]


def _random_table(stream: np.random.Generator, n: int, k: int) -> npt.NDArray[np.int32]:
    """k distinct others for each of n objects, some more popular than others."""
    liking = stream.random((n, n)) + stream.exponential(0.3, size=n)
    np.fill_diagonal(liking, -np.inf)
    return np.argsort(-liking, axis=1)[:, :k].astype(np.int32)


def test_it_is_the_neighbour_regression_of_all_but_one(make_probing: Maker) -> None:
    matrix, values = _embedding(1, 60)
    predicted, means = np.empty_like(values), np.empty_like(values)
    for left_out in range(60):
        others = np.delete(np.arange(60), left_out)
        fitted = KNeighborsRegressor(n_neighbors=7, metric="cosine").fit(matrix[others], values[others])
        predicted[left_out] = fitted.predict(matrix[[left_out]])[0]
        means[left_out] = values[others].mean()
    squares, baselines = (values - predicted) ** 2, (values - means) ** 2
    measured = measure_knn(make_probing(matrix, values, k=7))
    assert measured.value == pytest.approx(1 - squares.sum() / baselines.sum(), abs=1e-12)
    np.testing.assert_allclose(measured.per_object, 1 - squares / baselines.mean(), atol=1e-10)
    assert measured.per_object.mean() == pytest.approx(measured.value)
    left_out_each = [1 - np.delete(squares, i).sum() / np.delete(baselines, i).sum() for i in range(60)]
    assert measured.standard_error == pytest.approx(np.sqrt(59) * np.std(left_out_each), rel=1e-9)
    rows = make_probing(matrix, values).resampling().integers(60, size=(99, 60))
    ratios = 1 - squares[rows].sum(axis=1) / baselines[rows].sum(axis=1)
    assert measured.interval is not None
    assert (measured.interval.low, measured.interval.high) == pytest.approx(tuple(np.quantile(ratios, [0.025, 0.975])))


def test_of_two_equal_classes_and_odd_k_it_is_the_majority_of_neighbours(make_probing: Maker) -> None:
    matrix, values = _embedding(2, 60)
    codes = (values > np.median(values)).astype(np.int64)
    told = np.empty_like(codes)
    for left_out in range(60):
        others = np.delete(np.arange(60), left_out)
        fitted = KNeighborsClassifier(n_neighbors=5, metric="cosine").fit(matrix[others], codes[others])
        told[left_out] = fitted.predict(matrix[[left_out]])[0]
    measured = measure_knn(make_probing(matrix, codes, FR))
    assert measured.value == pytest.approx(balanced_accuracy_score(codes, told), abs=1e-12)
    np.testing.assert_allclose(measured.per_object, (told == codes).astype(float))
    assert measured.details == {"accuracy": pytest.approx((told == codes).mean()), "classes": 2}


def test_votes_are_weighed_by_class_and_ties_go_to_the_nearer() -> None:
    """Objects 0 to 3 are of class 0, 4 and 5 of class 1."""
    codes = np.array([0, 0, 0, 0, 1, 1])
    assert vote(np.array([[1, 0, 0, 0, 0, 0], [2, 2, 1, 1, 1, 1]], dtype=np.int32), codes).tolist() == [0] * 6
    mixed = np.array([[1] * 6, [4, 4, 4, 4, 5, 4]], dtype=np.int32)
    mixed[0, 1] = 0
    assert vote(mixed, codes).tolist() == [1] * 6  # one vote of two voters against one of four
    even = np.array([0, 0, 1, 1])
    assert vote(np.array([[1, 2, 3, 0], [2, 0, 0, 2]], dtype=np.int32), even).tolist() == [0, 1, 1, 0]


@pytest.mark.parametrize(("n", "k"), [(5, 1), (5, 3), (6, 2), (6, 5)])
def test_chance_of_the_neighbours_mean_is_that_of_all_relabellings(n: int, k: int) -> None:
    stream = np.random.default_rng([n, k])
    columns, values = np.ascontiguousarray(_random_table(stream, n, k).T), stream.standard_normal(n)
    baseline = ((values - (values.sum() - values) / (n - 1)) ** 2).sum()
    every = [
        1 - ((label - average(columns, label)) ** 2).sum() / baseline for label in itertools.permutations(values)
        for label in (np.array(label),)
    ]  # fmt: skip
    assert np.mean(every) == pytest.approx(chance_of_average(n, k), abs=1e-12)


def test_what_is_unrelated_is_told_by_chance(make_probing: Maker) -> None:
    matrix, _ = _embedding(3, 400)
    stream = np.random.default_rng(3)
    numbers = measure_knn(make_probing(matrix, stream.standard_normal(400)))
    assert numbers.chance == pytest.approx(-0.2, abs=0.005)
    assert numbers.null_mean == pytest.approx(numbers.chance, abs=4 * numbers.null_std / np.sqrt(99))
    classes = measure_knn(
        make_probing(matrix, np.repeat([0, 1, 2], [300, 60, 40])[stream.permutation(400)], tuple("abc"))
    )
    assert classes.chance == 1 / 3
    assert classes.null_mean == pytest.approx(1 / 3, abs=0.02)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), classes=st.booleans(), n=st.integers(4, 25), data=st.data())
def test_agreement_is_its_definition(seed: int, classes: bool, n: int, data: st.DataObject) -> None:
    stream, k = np.random.default_rng(seed), data.draw(st.integers(1, n - 1))
    table = _random_table(stream, n, k)
    values = stream.integers(0, 3, n).astype(np.float64) if classes else stream.integers(0, n, n) / 2
    values[:2] = (0, 1)  # not all equal
    labelled = Labelled.of(values, ordered=not classes)
    value = 1 - labelled.apart(np.ascontiguousarray(table.T), labelled.marks).sum() / (n * k)
    if classes:
        expected = np.mean([values[i] == values[j] for i in range(n) for j in table[i]])
    else:
        ranks = rankdata(values)
        squares = sum((ranks[i] - ranks[j]) ** 2 for i in range(n) for j in table[i])
        geary = (n - 1) * squares / (2 * n * k * ((ranks - ranks.mean()) ** 2).sum())
        expected = 1 - geary
    assert value == pytest.approx(expected, abs=1e-12)
    assert value <= 1 + 1e-12


@pytest.mark.parametrize(("n", "k"), [(4, 1), (4, 3), (5, 2), (6, 2), (6, 5), (7, 3)])
@pytest.mark.parametrize("values", [(0, 1, 2, 3, 4, 5, 6), (0, 0, 1, 1, 2, 2, 9), (5, 5, 5, 1, 5, 5, 5)])
@pytest.mark.parametrize("ordered", [True, False])
def test_moments_of_agreement_are_those_of_all_relabellings(
    n: int, k: int, values: tuple[float, ...], ordered: bool
) -> None:
    table = _random_table(np.random.default_rng([n, k]), n, k)
    labelled = Labelled.of(np.array(values[:n], dtype=np.float64), ordered=ordered)
    columns = np.ascontiguousarray(table.T)
    every = [
        1 - labelled.apart(columns, labelled.marks[list(order)]).mean() / k
        for order in itertools.permutations(range(n))
    ]
    mean, std = moments_of_agreement(table, labelled)
    assert mean == pytest.approx(np.mean(every), abs=1e-12)
    assert std == pytest.approx(np.std(every), abs=1e-7)


@pytest.mark.parametrize("classes", [(), FR])
def test_agreement_of_what_belongs_together(make_probing: Maker, classes: tuple[str, ...]) -> None:
    matrix, values = _embedding(4, 150)
    label = (values > 0.5).astype(float) if classes else values
    measured = measure_agreement(make_probing(matrix, label, classes))
    unrelated = measure_agreement(make_probing(matrix, label[np.random.default_rng(0).permutation(150)], classes))
    share = label.mean() if classes else 0
    assert measured.chance == measured.null_mean
    assert measured.chance == pytest.approx(share**2 + (1 - share) ** 2 if classes else 0, abs=0.01)
    assert measured.p_value == 0.01
    assert measured.value > measured.threshold > measured.null_mean
    assert measured.per_object.mean() == pytest.approx(measured.value)
    assert measured.interval.low < measured.value < measured.interval.high
    assert abs(unrelated.value - unrelated.null_mean) < 4 * unrelated.null_std
    assert unrelated.p_value > 0.01


def test_neighbours_with_one_label_agree_perfectly(make_probing: Maker) -> None:
    """Ten copies of each of eight vectors, and the label of each is the vector's number."""
    copies = np.repeat(np.random.default_rng(5).standard_normal((8, 4)), 10, axis=0)
    numbers = np.repeat(np.arange(8), 10)
    for classes in ((), tuple("abcdefgh")):
        assert measure_agreement(make_probing(copies, numbers, classes, k=9)).value == 1
        assert measure_knn(make_probing(copies, numbers, classes, k=9)).value == 1


def test_only_directions_and_the_order_of_labels_count(make_probing: Maker) -> None:
    matrix, values = _embedding(6, 80)
    stream = np.random.default_rng(6)
    rotation = np.linalg.qr(stream.standard_normal((6, 6)))[0]
    turned = stream.uniform(0.5, 3, (80, 1)) * (matrix @ rotation)
    for measure in (measure_knn, measure_agreement):
        ours, theirs = measure(make_probing(matrix, values)), measure(make_probing(turned, values))
        assert theirs.value == pytest.approx(ours.value, abs=1e-12)
    agreement = measure_agreement(make_probing(matrix, values))
    grown = measure_agreement(make_probing(matrix, np.exp(values)))
    assert (grown.value, grown.p_value, grown.interval) == (agreement.value, agreement.p_value, agreement.interval)
    scaled = measure_knn(make_probing(matrix, 5 - 40 * values))
    assert scaled.value == pytest.approx(measure_knn(make_probing(matrix, values)).value, abs=1e-9)
    order = stream.permutation(80)
    for measure in (measure_knn, measure_agreement):
        shuffled = measure(make_probing(matrix[order], values[order]))
        assert shuffled.value == pytest.approx(measure(make_probing(matrix, values)).value, abs=1e-12)


@pytest.mark.parametrize("measure", [measure_knn, measure_agreement])
def test_p_values_of_unrelated_labels_are_uniform(make_probing: Maker, measure: Callable[..., object]) -> None:
    stream, found = np.random.default_rng(7), []
    for _ in range(200):
        p_value = measure(make_probing(stream.standard_normal((30, 4)), stream.standard_t(2, 30))).p_value  # type: ignore[attr-defined]
        found.append(p_value - stream.random() / 100)
    assert kstest(found, "uniform").pvalue > 0.01


@pytest.mark.parametrize("measure", [measure_knn, measure_agreement])
def test_what_has_no_neighbours_is_refused(make_probing: Maker, measure: Callable[..., object]) -> None:
    matrix, values = _embedding(8, 20)
    with pytest.raises(TooFewObjects, match="k = 20"):
        measure(make_probing(matrix, values, k=20))
    matrix[3] = 0
    with pytest.raises(ZeroVector, match="o00003"):
        measure(make_probing(matrix, values))
