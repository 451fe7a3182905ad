"""Metrics of whole embeddings against other people's code, or against their definitions written out another way."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from scipy import linalg, spatial, stats
from scipy.special import digamma
from sklearn.covariance import LedoitWolf
from sklearn.cross_decomposition import CCA
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score

from scorer.similarity import centring, rbf
from scorer.similarity.cca import canonical_correlations, pwcca, svcca
from scorer.similarity.cka import debiased_cka, linear_cka
from scorer.similarity.information import gaussian_information
from scorer.similarity.ksg import Marginal, ksg_contributions, ksg_information
from scorer.similarity.moments import Joint
from scorer.similarity.predictivity import Predictivity, linear_predictivity
from scorer.similarity.procrustes import procrustes_similarity
from scorer.similarity.rbf import rbf_alignment, rbf_cka
from scorer.similarity.ridge import LADDER, deal
from scorer.similarity.rsa import rsa

Doubles = npt.NDArray[np.float64]
Maker = Callable[..., tuple[Doubles, Doubles]]
SHAPES = [(40, 5, 7), (24, 30, 40), (30, 6, 50)]


def _centred(matrix: Doubles) -> Doubles:
    return matrix - matrix.mean(axis=0)


def _hsic(left: Doubles, right: Doubles) -> float:
    """As Gretton et al. 2005 write it: with the centring matrix H, tr(K H L H)."""
    centring_matrix = np.eye(len(left)) - 1 / len(left)
    return float(np.trace(left @ centring_matrix @ right @ centring_matrix))


@pytest.mark.parametrize("shape", SHAPES)
def test_linear_cka_is_that_of_kernels(make_pair: Maker, shape: tuple[int, int, int]) -> None:
    left, right = make_pair(1, *shape)
    kernels = left @ left.T, right @ right.T
    expected = _hsic(*kernels) / math.sqrt(_hsic(kernels[0], kernels[0]) * _hsic(kernels[1], kernels[1]))
    assert linear_cka(left, right) == pytest.approx(expected, abs=1e-12)


def _unbiased_hsic(left: Doubles, right: Doubles) -> float:
    """The U-statistic of Song et al. 2012, theorem 2, over all ordered quadruples of objects."""
    terms = [
        left[i, j] * (right[i, j] + right[q, r] - 2 * right[i, q])
        for i, j, q, r in itertools.permutations(range(len(left)), 4)
    ]
    return float(np.mean(terms))


@pytest.mark.parametrize("shape", [(7, 3, 2), (7, 9, 12)])
def test_debiased_cka_is_that_of_quadruples(make_pair: Maker, shape: tuple[int, int, int]) -> None:
    left, right = make_pair(2, *shape)
    kernels = left @ left.T, right @ right.T
    scale = math.sqrt(_unbiased_hsic(kernels[0], kernels[0]) * _unbiased_hsic(kernels[1], kernels[1]))
    assert debiased_cka(left, right) == pytest.approx(_unbiased_hsic(*kernels) / scale, abs=1e-10)


def test_bias_is_what_debiasing_takes_away() -> None:
    """Unrelated noise in many dimensions: CKA is high by itself, the debiased one about zero."""
    stream = np.random.default_rng(3)
    left, right = stream.standard_normal((50, 400)), stream.standard_normal((50, 400))
    assert linear_cka(left, right) > 0.8
    assert abs(debiased_cka(left, right)) < 4 * math.sqrt(2 / (50 * 47))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("tile", [7, 2048])
def test_rbf_cka_is_that_of_kernels(
    make_pair: Maker, monkeypatch: pytest.MonkeyPatch, shape: tuple[int, int, int], tile: int
) -> None:
    monkeypatch.setattr(rbf, "_TILE", tile)
    left, right = make_pair(4, *shape)
    kernels = []
    for side in (left, right):
        distances = spatial.distance.pdist(side)
        width = 0.8 * np.median(distances)
        kernels.append(np.exp(-0.5 * spatial.distance.squareform(distances / width) ** 2))
    expected = _hsic(*kernels) / math.sqrt(_hsic(kernels[0], kernels[0]) * _hsic(kernels[1], kernels[1]))
    assert rbf_cka(left, right) == pytest.approx(expected, abs=1e-11)
    assert rbf_alignment(left, right).value() == pytest.approx(expected, abs=1e-11)


def test_the_median_of_many_distances_is_that_of_evenly_spaced_objects(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rbf, "_MOST_FOR_MEDIAN", 50)
    left = np.random.default_rng(5).standard_normal((99, 3))
    width = rbf_alignment(left, left).details()["width_left"]
    assert width == pytest.approx(0.8 * np.median(spatial.distance.pdist(left[::2])), rel=1e-9)


def _leading(matrix: Doubles, variance: float = 0.99) -> Doubles:
    """Scores of the fewest principal components with this share of the variance, by a singular value decomposition."""
    u, s, _ = np.linalg.svd(_centred(matrix), full_matrices=False)
    share = np.cumsum(s**2) / np.sum(s**2)
    kept = int(np.argmax(share >= variance)) + 1
    scores: Doubles = u[:, :kept] * s[:kept]
    return scores


@pytest.mark.parametrize("shape", SHAPES)
def test_svcca_is_the_mean_cosine_of_principal_angles(make_pair: Maker, shape: tuple[int, int, int]) -> None:
    left, right = make_pair(6, *shape)
    angles = linalg.subspace_angles(_leading(left), _leading(right))
    assert svcca(left, right) == pytest.approx(np.cos(angles).mean(), abs=1e-9)


def test_canonical_correlations_are_those_of_sklearn(make_pair: Maker) -> None:
    left, right = make_pair(7, 60, 4, 5, signal=0.5)
    scores = CCA(n_components=3, max_iter=5000, tol=1e-12).fit(left, right).transform(left, right)
    expected = [np.corrcoef(scores[0][:, i], scores[1][:, i])[0, 1] for i in range(3)]
    assert canonical_correlations(left, right)[:3] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("shape", [(40, 5, 7), (60, 70, 6)])
def test_pwcca_weighs_variates_by_the_columns_they_account_for(make_pair: Maker, shape: tuple[int, int, int]) -> None:
    left, right = make_pair(8, *shape)
    answers = []
    for ours, theirs in ((left, right), (right, left)):
        own, other = linalg.orth(_leading(ours)), linalg.orth(_leading(theirs))
        directions, correlations, _ = np.linalg.svd(own.T @ other, full_matrices=False)
        variates = own @ directions
        weights = [sum(abs(h @ column) for column in _centred(ours).T) for h in variates.T]
        answers.append(np.average(correlations, weights=weights))
    assert pwcca(left, right) == pytest.approx(np.mean(answers), abs=1e-9)


@pytest.mark.parametrize("shape", SHAPES)
def test_procrustes_is_that_of_scipy(make_pair: Maker, shape: tuple[int, int, int]) -> None:
    left, right = (_centred(side) for side in make_pair(9, *shape))
    width = max(shape[1:])
    padded = [np.pad(side / np.linalg.norm(side), ((0, 0), (0, width - side.shape[1]))) for side in (left, right)]
    rotation, scale = linalg.orthogonal_procrustes(*padded)
    value = procrustes_similarity(left, right)
    assert value == pytest.approx(scale, abs=1e-11)
    assert value == pytest.approx(1 - np.linalg.norm(padded[0] @ rotation - padded[1]) ** 2 / 2, abs=1e-11)
    assert value == pytest.approx(math.sqrt(1 - spatial.procrustes(*padded)[2]), abs=1e-9)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("copies", [0, 6])
def test_rsa_is_spearman_of_cosine_distances(make_pair: Maker, shape: tuple[int, int, int], copies: int) -> None:
    left, right = make_pair(10, *shape)
    left[:copies], right[3 : 3 + copies] = left[0], right[3]  # equal vectors: dissimilarities that tie
    expected = stats.spearmanr(*(spatial.distance.pdist(side, "cosine").round(12) for side in (left, right))).statistic
    assert rsa(left, right) == pytest.approx(expected, abs=1e-12)


def _predict(known: tuple[Doubles, Doubles], unknown: Doubles) -> Doubles:
    """Ridge predictions, the strength chosen by generalised cross-validation with hat matrices written out."""
    predictors, targets = known
    centred = _centred(predictors)
    best, chosen = math.inf, 0.0
    for share in LADDER:
        strength = share * np.square(centred).sum()
        hat = centred @ np.linalg.pinv(centred.T @ centred + strength * np.eye(centred.shape[1])) @ centred.T + 1 / len(
            centred
        )
        misfit = np.square(targets - hat @ targets).sum() / (len(hat) - np.trace(hat)) ** 2
        if misfit < best:
            best, chosen = misfit, strength
    predicted: Doubles = Ridge(alpha=chosen, solver="svd").fit(predictors, targets).predict(unknown)
    return predicted


@pytest.mark.parametrize("shape", [(40, 5, 7), (30, 6, 50), (24, 30, 40)])
@pytest.mark.parametrize("signal", [0.0, 0.7, 5.0])
def test_predictivity_is_that_of_ridge_regressions_one_by_one(
    make_pair: Maker, shape: tuple[int, int, int], signal: float
) -> None:
    left, right = make_pair(11, *shape, signal=signal)
    stream = np.random.default_rng(12)
    folds = deal(shape[0], 5, stream), deal(shape[0], 5, stream)
    similarity = Predictivity(Joint(left, right), *folds)
    for (ours, theirs), fold_of, residuals in zip(
        ((left, right), (right, left)), folds, (similarity.forth, similarity.back), strict=True
    ):
        errors, totals = np.zeros(shape[0]), np.zeros(shape[0])
        for fold in range(5):
            tested = fold_of == fold
            predicted = _predict((ours[~tested], theirs[~tested]), ours[tested])
            errors[tested] = np.square(theirs[tested] - predicted).sum(axis=1)
            totals[tested] = np.square(theirs[tested] - theirs[~tested].mean(axis=0)).sum(axis=1)
        assert residuals.errors == pytest.approx(errors, rel=1e-6)
        assert residuals.totals == pytest.approx(totals, rel=1e-9)
        assert residuals.explained == pytest.approx(1 - errors.sum() / totals.sum(), abs=1e-8)
    assert similarity.value() == pytest.approx((similarity.forth.explained + similarity.back.explained) / 2)
    assert linear_predictivity(left, right, np.random.default_rng(12)) == similarity.value()


def test_predictivity_of_a_noisy_map_is_the_share_that_is_not_noise() -> None:
    """y = M x + noise of a known size; and the variance-weighted R^2 of sklearn, were the whole sample unseen."""
    stream = np.random.default_rng(13)
    left = stream.standard_normal((2000, 5))
    signal = left @ stream.standard_normal((5, 30))
    right = signal + stream.standard_normal((2000, 30)) * math.sqrt(signal.var())
    folds = deal(2000, 5, stream), deal(2000, 5, stream)
    explained = Predictivity(Joint(left, right), *folds).forth.explained
    assert explained == pytest.approx(r2_score(right, signal, multioutput="variance_weighted"), abs=0.01)
    assert explained == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize("shape", SHAPES)
def test_gaussian_information_is_that_of_sklearns_shrunk_covariance(
    make_pair: Maker, shape: tuple[int, int, int]
) -> None:
    left, right = (_centred(side) for side in make_pair(14, *shape))
    both = np.hstack([side / side.std() for side in (left, right)])
    shrunk = LedoitWolf().fit(both).covariance_
    split = shape[1]
    blocks = (shrunk[:split, :split], shrunk[split:, split:], shrunk)
    ours, theirs, joint = (np.linalg.slogdet(block)[1] for block in blocks)
    assert gaussian_information(left, right) == pytest.approx((ours + theirs - joint) / 2, abs=1e-9)


def _correlated(n: int, correlation: float, seed: int, d: int = 1) -> tuple[Doubles, Doubles]:
    """d pairs of Gaussian variables of this correlation: -d/2 log(1 - r^2) nats."""
    stream = np.random.default_rng(seed)
    left, other = stream.standard_normal((n, d)), stream.standard_normal((n, d))
    return left, correlation * left + math.sqrt(1 - correlation**2) * other


@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.9])
def test_information_of_gaussians_is_known(correlation: float) -> None:
    left, right = _correlated(30_000, correlation, 15, d=3)
    expected = -1.5 * math.log(1 - correlation**2)
    assert gaussian_information(left, right) == pytest.approx(expected, abs=0.03)
    one_left, one_right = _correlated(3000, correlation, 16)
    assert ksg_information(one_left, one_right) == pytest.approx(expected / 3, abs=0.06)


def test_ksg_sees_what_no_correlation_shows() -> None:
    """On a noisy circle the canonical correlation is zero, and the information is not."""
    stream = np.random.default_rng(17)
    angle = stream.uniform(0, 2 * np.pi, 1500)
    circle = np.stack([np.cos(angle), np.sin(angle)], axis=1) + 0.05 * stream.standard_normal((1500, 2))
    assert gaussian_information(circle[:, :1], circle[:, 1:]) < 0.01
    assert ksg_information(circle[:, :1], circle[:, 1:]) > 1


def _ksg_by_loops(left: Doubles, right: Doubles, k: int) -> Doubles:
    n, parts = len(left), []
    for i in range(n):
        others = [j for j in range(n) if j != i]
        ours = [float(np.abs(left[i] - left[j]).max()) for j in others]
        theirs = [float(np.abs(right[i] - right[j]).max()) for j in others]
        radius = sorted(max(a, b) for a, b in zip(ours, theirs, strict=True))[k - 1]
        near = [sum(distance < radius for distance in side) for side in (ours, theirs)]
        parts.append(digamma(k) + digamma(n) - digamma(near[0] + 1) - digamma(near[1] + 1))
    return np.array(parts)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("listed", [1, 8, 60])
@pytest.mark.parametrize("k", [1, 3])
def test_ksg_counts_are_those_of_loops(ties: bool, listed: int, k: int) -> None:
    stream = np.random.default_rng(18)
    left, right = stream.standard_normal((50, 2)), stream.standard_normal((50, 3))
    if ties:  # a coarse grid, where many objects are equally far, and some are at one place
        left, right = left.round(0), right.round(0)
    p = stream.permutation(50)
    ours, theirs = Marginal(left, listed), Marginal(right, listed)
    assert ksg_contributions(ours, theirs, k) == pytest.approx(_ksg_by_loops(left, right, k), abs=1e-12)
    relabelled = ksg_contributions(ours, theirs, k, p)
    assert relabelled == pytest.approx(_ksg_by_loops(left, right[p], k), abs=1e-12)


@pytest.mark.parametrize("shape", [(60, 5, 7), (40, 50, 6)])
def test_blocks_and_float32_change_no_value(
    make_pair: Maker, monkeypatch: pytest.MonkeyPatch, shape: tuple[int, int, int]
) -> None:
    """A large embedding stays in float32, and is centred a block at a time."""
    left, right = (side.astype(np.float32) + np.float32(100) for side in make_pair(19, *shape))
    functions: list[Callable[[Doubles, Doubles], float]] = [
        linear_cka, debiased_cka, rbf_cka, svcca, pwcca, procrustes_similarity, gaussian_information,
        lambda ours, theirs: linear_predictivity(ours, theirs, np.random.default_rng(20)),
    ]  # fmt: skip
    whole = [function(left, right) for function in functions]
    monkeypatch.setattr(centring, "_KEPT_NUMBERS", 0)
    monkeypatch.setattr(centring, "_BLOCK_NUMBERS", 64)
    assert [function(left, right) for function in functions] == pytest.approx(whole, abs=1e-10)
