"""The linear probe against scikit-learn, against direct refitting, and on data whose answer is known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kstest
from sklearn.linear_model import Ridge as SklearnRidge
from sklearn.linear_model import RidgeClassifier
from sklearn.metrics import balanced_accuracy_score
from sklearn.preprocessing import StandardScaler

from scorer.probes import ridge
from scorer.probes.folds import deal_folds, keep_folds
from scorer.probes.linear import measure_ridge, tell_classes
from scorer.probes.outliers import count_outliers, find_bounds
from scorer.probes.probing import FOLDS, Probing
from shared.errors import DegenerateEmbedding

Maker = Callable[..., Probing]
Floats = npt.NDArray[np.float64]
FR = ("FR I", "FR II")


def _embedding(seed: int, n: int, d: int, *, noise: float = 1.0) -> tuple[Floats, Floats]:
    """Vectors of three hidden properties, and the first of these."""
    stream = np.random.default_rng(seed)
    hidden = stream.standard_normal((n, 3))
    return hidden @ stream.standard_normal((3, d)) + noise * stream.standard_normal((n, d)), hidden[:, 0]


def _choose_strength(features: Floats, label: Floats) -> float:
    """Generalised cross-validation, written out with hat matrices. features: standardised."""
    t, d = features.shape
    centred = label - label.mean()
    scores = []
    for strength in ridge.LADDER:
        hat = features @ np.linalg.solve(features.T @ features + strength * t * d * np.eye(d), features.T)
        freedom = 1 + np.trace(hat)
        score = ((centred - hat @ centred) ** 2).mean() / (1 - freedom / t) ** 2
        scores.append(score if freedom <= 0.9 * t else np.inf)
    return float(ridge.LADDER[int(np.argmin(scores))])


def _predict_by_sklearn(matrix: Floats, values: Floats, folds: npt.NDArray[np.int8]) -> tuple[Floats, Floats]:
    predicted, means = np.empty_like(values), np.empty_like(values)
    for fold in range(FOLDS):
        train, test = folds != fold, folds == fold
        scaler = StandardScaler().fit(matrix[train])
        features = scaler.transform(matrix[train])
        alpha = _choose_strength(features, values[train]) * features.size
        fitted = SklearnRidge(alpha=alpha, solver="svd").fit(features, values[train])
        predicted[test] = fitted.predict(scaler.transform(matrix[test]))
        means[test] = values[train].mean()
    return predicted, means


@pytest.mark.parametrize(("n", "d"), [(90, 8), (60, 55), (40, 70)])
def test_it_is_ridge_regression_in_the_same_folds(make_probing: Maker, n: int, d: int) -> None:
    matrix, values = _embedding(n, n, d)
    matrix = matrix.astype(np.float32).astype(np.float64)
    probing = make_probing(matrix, values)
    folds = deal_folds(values, FOLDS, probing.folding())
    predicted, means = _predict_by_sklearn(matrix, values, folds)
    squares, baselines = (values - predicted) ** 2, (values - means) ** 2
    measured = measure_ridge(probing)
    assert measured.value == pytest.approx(1 - squares.sum() / baselines.sum(), abs=1e-6)
    np.testing.assert_allclose(measured.per_object, 1 - squares / baselines.mean(), atol=1e-5)
    each = [1 - squares[folds == fold].sum() / baselines[folds == fold].sum() for fold in range(FOLDS)]
    assert [measured.details[f"fold_{fold}"] for fold in range(FOLDS)] == pytest.approx(each, abs=1e-5)
    assert measured.details["folds_std"] == pytest.approx(np.std(each, ddof=1), abs=1e-5)
    assert measured.details["rmse"] == pytest.approx(np.sqrt(squares.mean()), abs=1e-5)


def test_what_nearly_interpolates_is_not_chosen_for_saying_nothing_of_what_it_predicts() -> None:
    """Twins of one label leave the residual one direction with nothing in it, and what fits noise to the last digit
    looks best. Seen on real galaxies, whose redshifts were then told with an R^2 of -2.6."""
    stream = np.random.default_rng(9)
    matrix, labels = stream.standard_normal((60, 200)).astype(np.float32), stream.standard_normal((60, 1))
    matrix[1], labels[1] = matrix[0], labels[0]
    fitted = ridge.Ridge(matrix, np.arange(60)).fit(labels)
    assert fitted.freedom[0] <= 0.9
    assert fitted.strengths[0] > ridge.LADDER[0]


def test_of_two_equal_classes_it_is_the_ridge_classifier() -> None:
    stream = np.random.default_rng(3)
    codes = np.repeat([0, 1], 40)
    matrix = (stream.standard_normal((80, 12)) + 0.4 * codes[:, None]).astype(np.float32)
    train, test = np.r_[0:32, 40:72], np.r_[32:40, 72:80]
    told, strengths = tell_classes(ridge.Ridge(matrix, train), codes[train][:, None], test)
    scaler = StandardScaler().fit(matrix[train].astype(np.float64))
    features = scaler.transform(matrix[train].astype(np.float64))
    assert strengths == _choose_strength(features, codes[train].astype(np.float64))
    theirs = RidgeClassifier(alpha=strengths[0] * features.size).fit(features, codes[train])
    expected = theirs.predict(scaler.transform(matrix[test].astype(np.float64)))
    assert told[:, 0].tolist() == expected.tolist()
    assert 0 < expected.sum() < len(expected)


@pytest.mark.parametrize("d", [8, 60, 130])
def test_of_more_classes_it_is_the_discriminant_written_out(d: int) -> None:
    """By scikit-learn's ridge regression on each class's indicator, hat matrices, and objects truly left out."""
    stream = np.random.default_rng(d)
    codes = np.repeat([0, 1, 2], [90, 40, 20])
    matrix = (stream.standard_normal((150, d)) + 0.4 * stream.standard_normal((3, d))[codes]).astype(np.float32)
    train, test = np.flatnonzero(np.arange(150) % 3), np.flatnonzero(np.arange(150) % 3 == 0)
    told, strengths = tell_classes(ridge.Ridge(matrix, train), codes[train][:, None], test)
    scaler = StandardScaler().fit(matrix[train].astype(np.float64))
    features, others = scaler.transform(matrix[train].astype(np.float64)), scaler.transform(matrix[test])
    t, alpha = len(train), strengths[0] * features.size
    hat = 1 / t + features @ np.linalg.solve(features.T @ features + alpha * np.eye(d), features.T)
    leverage = np.trace(hat) / t
    discriminants = np.empty((len(test), 3))
    for code in range(3):
        share = (codes[train] == code).mean()
        indicator = (codes[train] == code) / share
        fitted = SklearnRidge(alpha=alpha, solver="svd").fit(features, indicator)
        left_out = (fitted.predict(features) - leverage * indicator) / (1 - leverage)
        discriminants[:, code] = fitted.predict(others) - left_out[codes[train] == code].mean() / 2
    assert told[:, 0].tolist() == discriminants.argmax(axis=1).tolist()
    assert len(set(told[:, 0])) == 3


def test_classes_are_told_as_if_all_were_equally_common(make_probing: Maker) -> None:
    """One object in ten is of the rare class; an ordinary ridge classifier all but never tells it."""
    stream = np.random.default_rng(4)
    codes = np.repeat([0, 1], [360, 40])
    matrix = (
        stream.standard_normal((400, 60)) + 1.6 / np.sqrt(60) * np.sign(stream.standard_normal(60)) * codes[:, None]
    )
    probing = make_probing(matrix, codes, FR)
    measured, folds = measure_ridge(probing), deal_folds(probing.values, FOLDS, probing.folding())
    plain = np.empty_like(codes)
    for fold in range(FOLDS):
        train, test = folds != fold, folds == fold
        plain[test] = RidgeClassifier(alpha=100).fit(matrix[train], codes[train]).predict(matrix[test])
    assert balanced_accuracy_score(codes, plain) < 0.56
    assert 0.65 < measured.value < 0.9  # the best there is: 0.79
    assert measured.chance == 0.5
    assert measured.null_mean == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("classes", [(), FR])
def test_the_null_is_that_of_fitting_each_relabelling_anew(make_probing: Maker, classes: tuple[str, ...]) -> None:
    matrix, values = _embedding(5, 40, 6, noise=6)
    labels = (values > 0.3).astype(np.float64) if classes else values
    probing = make_probing(matrix, labels, classes)
    folds = deal_folds(labels, FOLDS, probing.folding())
    null = np.array(
        [
            _fit_in_folds(matrix, labels[keep_folds(permutation, folds)], folds, bool(classes))
            for permutation in probing.permutations(slow=True)
        ]
    )
    measured = measure_ridge(probing)
    assert measured.value == pytest.approx(_fit_in_folds(matrix, labels, folds, bool(classes)), abs=1e-9)
    assert measured.null_mean == pytest.approx(null.mean(), abs=1e-9)
    assert measured.null_std == pytest.approx(null.std(ddof=1), abs=1e-9)
    assert measured.p_value == (1 + np.count_nonzero(null >= measured.value - 1e-12)) / 100
    np.testing.assert_allclose(measured.null, null, atol=1e-9)
    assert 0.01 < measured.p_value < 1


def _fit_in_folds(matrix: Floats, labels: Floats, folds: npt.NDArray[np.int8], classes: bool) -> float:
    told, means = np.empty_like(labels), np.empty_like(labels)
    for fold in range(FOLDS):
        train, test = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        fitted = ridge.Ridge(matrix.astype(np.float32), train)
        means[test] = labels[train].mean()
        if classes:
            told[test] = tell_classes(fitted, labels[train].astype(np.int64)[:, None], test)[0][:, 0]
        else:
            told[test] = fitted.predict(fitted.fit(labels[train][:, None]), test)[:, 0]
    if classes:
        return float(balanced_accuracy_score(labels, told))
    return 1 - float(((labels - told) ** 2).sum() / ((labels - means) ** 2).sum())


@pytest.mark.parametrize("share", [0.0, 0.3, 0.8])
def test_the_variance_that_is_there_is_found(make_probing: Maker, share: float) -> None:
    """A label of which this share of the variance is a linear function of the vectors."""
    stream = np.random.default_rng(6)
    matrix = stream.standard_normal((1500, 10)).astype(np.float32)
    linear = matrix @ stream.standard_normal(10)
    values = np.sqrt(share) * linear / linear.std() + np.sqrt(1 - share) * stream.standard_normal(1500)
    measured = measure_ridge(make_probing(matrix, values, resamples=399))
    assert measured.value == pytest.approx(share, abs=0.04)
    assert measured.interval is not None
    assert measured.interval.low < share < measured.interval.high or share == 0
    assert (measured.p_value == 0.01) == (share > 0)
    assert measured.standard_error == pytest.approx((measured.interval.high - measured.interval.low) / 3.92, rel=0.2)


def test_a_label_that_is_one_of_the_numbers_is_told_perfectly(make_probing: Maker) -> None:
    matrix = np.random.default_rng(7).standard_normal((200, 4))
    measured = measure_ridge(make_probing(matrix, matrix[:, 2]))
    assert measured.value > 1 - 1e-5
    assert measured.calibrated == pytest.approx(1, abs=1e-5)
    assert measured.details["rank_correlation"] == pytest.approx(1, abs=1e-4)


def test_what_is_unrelated_explains_nothing(make_probing: Maker) -> None:
    values = [
        measure_ridge(make_probing(matrix, np.random.default_rng(seed).standard_normal(60))).value
        for seed in range(20)
        for matrix in (_embedding(100 + seed, 60, 80)[0],)
    ]
    assert np.mean(values) < 0.02
    assert np.median(values) > -0.1


def test_units_and_zero_points_do_not_matter(make_probing: Maker) -> None:
    matrix, values = _embedding(8, 80, 12)
    stream = np.random.default_rng(8)
    expected = measure_ridge(make_probing(matrix, values))
    scaled = matrix * stream.uniform(0.5, 40, 12) + stream.standard_normal(12)
    for probing in (
        make_probing(scaled, values),
        make_probing(matrix[:, ::-1], values),
        make_probing(matrix, 3 + 250 * values),
    ):
        found = measure_ridge(probing)
        assert found.value == pytest.approx(expected.value, abs=1e-5)
        assert found.p_value == expected.p_value


def test_a_label_turned_upside_down_is_as_easy_to_tell(make_probing: Maker) -> None:
    """The folds are dealt from the other end, so that the number differs as one deal from another."""
    matrix, values = _embedding(9, 300, 12)
    upright, turned = (measure_ridge(make_probing(matrix, sign * values)) for sign in (1, -1))
    assert turned.value == pytest.approx(upright.value, abs=0.02)


def test_the_order_of_objects_does_not_matter(make_probing: Maker) -> None:
    matrix, values = _embedding(10, 70, 9)
    order = np.random.default_rng(0).permutation(70)
    found, expected = (
        measure_ridge(make_probing(matrix[order], values[order])),
        measure_ridge(make_probing(matrix, values)),
    )
    assert found.value == pytest.approx(expected.value, abs=1e-9)


def test_embeddings_of_one_label_are_probed_in_the_same_folds(make_probing: Maker) -> None:
    matrix, values = _embedding(11, 50, 5)
    ours = make_probing(matrix, values)
    other = replace(ours, pair_digest="0f" * 16)
    assert deal_folds(values, FOLDS, ours.folding()).tolist() == deal_folds(values, FOLDS, other.folding()).tolist()
    assert measure_ridge(other).value == measure_ridge(ours).value
    assert measure_ridge(replace(ours, label_digest="0f" * 16)).details == measure_ridge(ours).details  # no ties


def test_features_that_do_not_vary_are_left_out(make_probing: Maker) -> None:
    """A constant, and one that wavers by the last bit of a float32."""
    matrix, values = _embedding(12, 60, 6)
    wavering = np.where(np.random.default_rng(12).random(60) < 0.5, np.float32(1000), np.nextafter(np.float32(1000), 0))
    wider = np.column_stack([matrix, np.full(60, 0.1), wavering])
    found, expected = measure_ridge(make_probing(wider, values)), measure_ridge(make_probing(matrix, values))
    assert found.value == pytest.approx(expected.value, abs=1e-9)
    assert found.details["strength"] == expected.details["strength"]


def test_one_enormous_vector_does_not_decide(make_probing: Maker) -> None:
    matrix, values = _embedding(12, 60, 6)
    matrix[17] *= 1e6
    found = measure_ridge(make_probing(matrix, values))
    low, high = find_bounds(values)
    assert found.value > 1 - 60 * (high - low) ** 2 / values.var()  # as far as it can miss, and no farther
    assert found.p_value is not None


def test_vectors_that_are_all_equal_are_refused(make_probing: Maker) -> None:
    with pytest.raises(DegenerateEmbedding, match="all vectors of the embedding are equal"):
        measure_ridge(make_probing(np.full((30, 3), 0.1), np.arange(30)))


def test_p_values_of_unrelated_labels_are_uniform(make_probing: Maker) -> None:
    """Of heavy-tailed numbers. p less a draw within its step is uniform, exactly."""
    stream, found = np.random.default_rng(13), []
    for _ in range(200):
        measured = measure_ridge(make_probing(stream.standard_normal((25, 4)), stream.standard_t(2, 25)))
        assert measured.p_value is not None
        found.append(measured.p_value - stream.random() / 100)
    assert kstest(found, "uniform").pvalue > 0.01


def test_p_values_of_unrelated_classes_are_no_smaller_than_they_should_be(make_probing: Maker) -> None:
    """Of a rare class. Balanced accuracies tie, and ties count against the label."""
    stream, found = np.random.default_rng(14), []
    codes = np.repeat([0.0, 1.0], [30, 10])
    for _ in range(150):
        measured = measure_ridge(make_probing(stream.standard_normal((40, 4)), stream.permutation(codes), FR))
        assert measured.p_value is not None
        found.append(measured.p_value)
    assert kstest(found, "uniform", alternative="greater").pvalue > 0.01
    assert np.mean(np.array(found) <= 0.2) > 0.08


def test_few_outliers_do_not_decide(make_probing: Maker) -> None:
    """A failed fit, -99 where all others are about 0, is counted and clipped."""
    matrix, values = _embedding(14, 200, 6)
    spoilt = values.copy()
    spoilt[[5, 50]] = (-9999, 9999)
    found, expected = measure_ridge(make_probing(matrix, spoilt)), measure_ridge(make_probing(matrix, values))
    assert (found.details["clipped"], expected.details["clipped"]) == (2, 0)
    assert found.value > 0.4 * expected.value


@given(values=st.lists(st.floats(-1e6, 1e6), min_size=3, max_size=60))
def test_bounds_are_ten_robust_deviations_or_none(values: list[float]) -> None:
    labels = np.array(values)
    low, high = find_bounds(labels)
    deviation = 1.4826022185056 * np.median(np.abs(labels - np.median(labels)))
    if np.isfinite(low):
        assert (low + high) / 2 == pytest.approx(np.median(labels), abs=1e-9 * (high - low))
        assert high - low == pytest.approx(20 * deviation, rel=1e-9)
    else:
        far = np.abs(labels - np.median(labels)) > 10 * deviation * (1 - 1e-9)
        assert deviation == 0 or far.mean() > 0.05
    assert count_outliers(labels, (low, high)) == ((labels < low) | (labels > high)).sum() <= 0.05 * len(values)


def test_bounds_move_with_units_and_zero_points() -> None:
    labels = np.random.default_rng(16).standard_t(2, 500)
    low, high = find_bounds(labels)
    assert 0 < count_outliers(labels, (low, high)) < 25
    assert find_bounds(7 - 3 * labels) == pytest.approx((7 - 3 * high, 7 - 3 * low))


def test_a_second_population_is_not_clipped_away() -> None:
    stream = np.random.default_rng(17)
    labels = np.concatenate([stream.normal(0, 0.01, 60), stream.normal(1, 0.01, 40)])
    assert find_bounds(labels) == (-np.inf, np.inf)


@given(labels=st.lists(st.integers(0, 3), min_size=5, max_size=80), seed=st.integers(0, 2**32 - 1))
@settings(max_examples=60)
def test_folds_are_even_and_relabellings_keep_them(labels: list[int], seed: int) -> None:
    stream, values = np.random.default_rng(seed), np.array(labels, dtype=np.float64)
    folds = deal_folds(values, FOLDS, stream)
    for some in (np.ones(len(values), dtype=bool), *(values == label for label in range(4))):
        counts = np.bincount(folds[some], minlength=FOLDS)
        assert counts.max() - counts.min() <= 1
    kept = keep_folds(stream.permutation(len(values)), folds)
    assert sorted(kept.tolist()) == list(range(len(values)))
    assert folds[kept].tolist() == folds.tolist()


def test_every_relabelling_within_folds_is_as_likely() -> None:
    folds = np.array([0, 1, 0, 1, 0], dtype=np.int8)
    stream, counts = np.random.default_rng(15), {}
    for _ in range(6000):
        kept = tuple(keep_folds(stream.permutation(5), folds).tolist())
        counts[kept] = counts.get(kept, 0) + 1
    assert len(counts) == 12
    assert all(abs(count - 500) < 5 * np.sqrt(500) for count in counts.values())
