"""The linear probe: what a ridge regression on an embedding tells of a label of objects it was not fitted to.

Imports numpy only. Alain & Bengio 2016 (arXiv 1610.01644) for the idea of a linear probe, Stone 1974 for
cross-validation, Ojala & Garriga 2010 for the permutation test.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from scorer.comparison import Measured
from scorer.probes.explained import Predictions, measure_explained, r_squared
from scorer.probes.folds import Folds, deal_folds, keep_folds
from scorer.probes.outliers import count_outliers, find_bounds
from scorer.probes.probing import FOLDS, Probing
from scorer.probes.recall import balanced_accuracy, measure_recall
from scorer.probes.ridge import Ridge

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Label = TypeVar("Label", np.float64, np.int64)

_BATCH_NUMBERS = 1 << 22  # 32 MiB of float64


def measure_ridge(probing: Probing) -> Measured:
    """What ridge regression, fitted to four folds of the objects, predicts of the label in the fifth, five times over.

    Folds are dealt by label. Features are standardised by the four folds alone, and the strength of the penalty is
    chosen within them. Of numbers, outliers clipped: R^2 over all objects. Of classes: balanced accuracy of the ridge
    discriminant (`tell_classes`). p_value: by relabelling within folds, each fitted anew, its strength too. details:
    folds, folds_std (of the value, from fold to fold), each fold's value, strength (geometric mean over folds).
    """
    folds = deal_folds(probing.values, FOLDS, probing.folding())
    return _measure_classes(probing, folds) if probing.classes else _measure_numbers(probing, folds)


def _measure_numbers(probing: Probing, folds: Folds) -> Measured:
    bounds = find_bounds(probing.values)
    values, clipped = np.clip(probing.values, *bounds), count_outliers(probing.values, bounds)
    predicted, means = np.empty_like(values), np.empty_like(values)
    misses, strengths = np.zeros((FOLDS, _relabellings(probing))), []
    for fold, ridge, train, test in _ridges(probing, folds):
        means[test] = values[train].mean()
        for done, labels in _relabelled(probing, values, folds):
            fitted = ridge.fit(labels[train])
            told = np.clip(ridge.predict(fitted, test), *bounds)
            misses[fold, done] = ((labels[test] - told) ** 2).sum(axis=0)
            if done.start == 0:
                predicted[test] = told[:, 0]
                strengths.append(fitted.strengths[0])
    predictions = Predictions(values, predicted, means)
    baselines = np.bincount(folds, weights=predictions.baselines)
    # a relabelling within folds leaves each fold's mean and baseline what they are
    null = 1 - misses[:, 1:].sum(axis=0) / baselines.sum()
    each = np.array([r_squared(misses[fold, 0], baselines[fold]) for fold in range(FOLDS)])
    return measure_explained(probing, predictions, null, _spread(each, strengths) | {"clipped": float(clipped)})


def _measure_classes(probing: Probing, folds: Folds) -> Measured:
    codes = probing.codes
    sizes, predicted = np.bincount(codes), np.empty_like(codes)
    right = np.zeros((FOLDS, _relabellings(probing), len(sizes)), dtype=np.int64)
    strengths = []
    for fold, ridge, train, test in _ridges(probing, folds):
        for done, labels in _relabelled(probing, codes, folds, width=len(sizes)):
            told, strength = tell_classes(ridge, labels[train], test)
            for code in range(len(sizes)):
                right[fold, done, code] = ((labels[test] == code) & (told == code)).sum(axis=0)
            if done.start == 0:
                predicted[test] = told[:, 0]
                strengths.append(strength[0])
    in_folds = np.stack([np.bincount(codes[folds == fold]) for fold in range(FOLDS)])
    null = balanced_accuracy(right[:, 1:].sum(axis=0), sizes)
    each = balanced_accuracy(right[:, 0], in_folds)
    return measure_recall(probing, codes, predicted, null, _spread(each, strengths))


def tell_classes(ridge: Ridge, labels: Ints, rows: Ints) -> tuple[Ints, Floats]:
    """Classes told for these rows, `(len(rows), m)`, and the strengths chosen, `(m,)`. labels: `(t, m)` codes, all of
    whose columns hold the same number of each class.

    Ridge regression on a class's indicator over the class's share p_c gives the linear discriminant of that class
    (Fisher 1936; Friedman 1989 for the penalty): told is the class of the largest discriminant less half its mean among
    the class's own objects, which gives all classes the same weight, whatever their sizes. That mean is taken as if
    each object were left out, with the leverage all objects have on average, for a rare class would else look easier
    to tell than it is.
    """
    sizes = np.bincount(labels[:, 0])
    shares, count = sizes / len(labels), len(sizes)
    indicators = (labels[:, :, None] == np.arange(count)) / np.sqrt(shares)
    fitted = ridge.fit(indicators.reshape(len(labels), -1), together=count)
    shape = (-1, count)
    # a class's mean fit, less the overall mean; then with what its own objects add to it themselves taken off
    own = fitted.explained.reshape(shape) * np.sqrt(shares) / sizes
    freedom = fitted.freedom.reshape(shape)
    left_out = (own - freedom * (1 - shares) / np.sqrt(shares)) / (1 - freedom)
    above = (ridge.predict(fitted, rows) - fitted.means).reshape(len(rows), *own.shape)
    return ((above - left_out / 2) / np.sqrt(shares)).argmax(axis=2), fitted.strengths


def _relabellings(probing: Probing) -> int:
    return 1 + probing.scoring.slow_permutations


def _ridges(probing: Probing, folds: Folds) -> Iterator[tuple[int, Ridge, Ints, Ints]]:
    """For each fold: its number, the ridge of the other folds, the rows of those, and its own."""
    matrix = probing.side.vectors().matrix
    for fold in range(FOLDS):
        train, test = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        yield fold, Ridge(matrix, train), train, test


def _relabelled(
    probing: Probing, labels: npt.NDArray[Label], folds: Folds, width: int = 1
) -> Iterator[tuple[slice, npt.NDArray[Label]]]:
    """The label as it is and under each relabelling, in batches `(n, m)` with their places in that order.

    width: numbers that each entry will be spread over.
    """
    size = max(1, _BATCH_NUMBERS // (len(labels) * width))
    batch, start = [labels], 0
    for permutation in probing.permutations(slow=True):
        if len(batch) == size:
            yield slice(start, start + len(batch)), np.stack(batch, axis=1)
            batch, start = [], start + len(batch)
        batch.append(labels[keep_folds(permutation, folds)])
    yield slice(start, start + len(batch)), np.stack(batch, axis=1)


def _spread(values: Floats, strengths: list[float]) -> dict[str, float]:
    each = {f"fold_{fold}": float(value) for fold, value in enumerate(values)}
    return {
        "folds": float(FOLDS),
        "folds_std": float(values.std(ddof=1)),
        "strength": float(np.exp(np.log(strengths).mean())),
        **each,
    }
