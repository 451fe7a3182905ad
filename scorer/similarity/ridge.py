"""Cross-validated ridge regression of one embedding on another, made ready for many targets. Imports numpy only.

All that follows from the predictors and the folds is computed once, so that for another target, or the same one
relabelled, only products remain. A map is fitted to each fold's training objects, its strength chosen among them by
generalised cross-validation (Golub, Heath & Wahba 1979) from a fixed ladder.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from scorer.similarity.centring import Centred, Doubles, Rows, blocks, cross_product
from shared.errors import TooFewObjects

# Ridge strengths, as shares of the predictors' sum of squares over the training objects.
LADDER = tuple(10.0**power for power in range(-8, 3))
_RANK = 1e-12

Folds = npt.NDArray[np.int64]


def deal(n: int, folds: int, stream: np.random.Generator) -> Folds:
    """The fold of each of n objects, `(n,)`, 0 to folds - 1, as equal in size as can be. Raises TooFewObjects."""
    if folds < 2 or n < 2 * folds:
        raise TooFewObjects(
            f"{n} objects in {folds} folds", "2 folds or more, of 2 objects or more", "take more objects"
        )
    return stream.permutation(np.arange(n) % folds)


@dataclass(frozen=True, slots=True, eq=False)
class Target:
    """What is to be predicted: of predicting object i, the vector of object `partner[i]` of this side.

    norms: `(n,)`, squared lengths of the side's centred vectors.
    """

    side: Centred
    norms: Doubles
    partner: Rows

    def squares_about(self, mean: Doubles, objects: Rows) -> float:
        """The sum of squares of these predicting objects' targets about their own mean."""
        return float(self.norms[self.partner[objects]].sum()) - len(objects) * float(mean @ mean)


@dataclass(frozen=True, slots=True, eq=False)
class Residuals:
    """What is left unexplained, for each predicting object `(n,)`.

    errors: squared length of the target less its prediction. totals: of the target less the training objects' mean.
    """

    errors: Doubles
    totals: Doubles

    @property
    def explained(self) -> float:
        """R^2: that of the target's dimensions, averaged with their variances as weights."""
        return 1 - float(self.errors.sum()) / float(self.totals.sum())


class Predictor(Protocol):
    """One embedding and its folds, ready to predict.

    crosses: for each fold the sum over its objects of the outer product of predictor and target, `(d, d_target)`.
    """

    def residuals(self, target: Target, crosses: list[Doubles]) -> Residuals:
        """Object by object."""
        ...

    def explained(self, target: Target, crosses: list[Doubles]) -> float:
        """R^2 alone."""
        ...


def predictor(side: Centred, folds: Folds) -> Predictor:
    """By features where there are more objects than coordinates, else by objects, which needs no `crosses`."""
    return PredictorByFeatures(side, folds) if len(side) > side.dimension else PredictorByObjects(side, folds)


@dataclass(frozen=True, slots=True, eq=False)
class _Spectrum:
    """The training predictors of a fold: sums of squares along their principal axes, `(k,)`, and how many they are."""

    squares: Doubles
    objects: int

    def choose(self, along: Doubles, total: float) -> Doubles:
        """What is kept of the least-squares fit along each axis, `(k,)`, at the strength that GCV likes best.

        along: sums of squares of the targets along the axes, `(k,)`; total: of the targets about their mean.
        """
        strengths = np.array(LADDER) * float(self.squares.sum())
        kept = self.squares / (self.squares + strengths[:, None])
        beyond = total - float(along.sum())  # what no strength explains; nothing, but for rounding, of as many axes
        unexplained = (1 - kept) ** 2 @ along + (beyond if beyond > _RANK * total else 0.0)
        freedom = 1 + kept.sum(axis=1)
        chosen: Doubles = kept[int(np.argmin(unexplained / (self.objects - freedom) ** 2))]
        return chosen


@dataclass(frozen=True, slots=True, eq=False)
class _FoldByObjects:
    """axes: `(trained, k)`, orthonormal columns. reach: tested predictors along them, each axis over its length."""

    tested: Rows
    trained: Rows
    axes: Doubles
    reach: Doubles
    spectrum: _Spectrum


class PredictorByObjects:
    """A `Predictor` with as many coordinates as objects: O(n^2 d_target) time for a target, O(n^2) memory."""

    def __init__(self, side: Centred, folds: Folds) -> None:
        self._n, self._whole = len(side), float(side.squared_norms().sum())
        self._parts = [self._prepare(side, folds == fold) for fold in range(int(folds.max()) + 1)]

    def residuals(self, target: Target, crosses: list[Doubles]) -> Residuals:
        """See `Predictor`."""
        errors, totals = np.empty(self._n), np.empty(self._n)
        for part in self._parts:
            known = target.side.rows(target.partner[part.trained])
            mean = known.mean(axis=0)
            along = part.axes.T @ known  # every axis sums to zero: the mean need not be taken away
            kept = part.spectrum.choose(_squares(along), target.squares_about(mean, part.trained))
            unknown = target.side.rows(target.partner[part.tested]) - mean
            errors[part.tested] = _squares(unknown - part.reach @ (kept[:, None] * along))
            totals[part.tested] = _squares(unknown)
        return Residuals(errors, totals)

    def explained(self, target: Target, crosses: list[Doubles]) -> float:
        """See `Predictor`."""
        return self.residuals(target, crosses).explained

    def _prepare(self, side: Centred, in_fold: npt.NDArray[np.bool_]) -> _FoldByObjects:
        tested, trained = np.flatnonzero(in_fold), np.flatnonzero(~in_fold)
        known = side.rows(trained)
        mean = known.mean(axis=0)
        known = known - mean
        squares, axes = np.linalg.eigh(known @ known.T)
        real = squares > _RANK * self._whole
        squares, axes = squares[real], axes[:, real]
        reach = (side.rows(tested) - mean) @ (known.T @ axes) / squares
        return _FoldByObjects(tested, trained, axes, reach, _Spectrum(squares, len(trained)))


@dataclass(frozen=True, slots=True, eq=False)
class _FoldByFeatures:
    """axes: `(d, k)`, orthonormal columns. mean: of the training predictors. tested_sum: of the tested predictors.

    tested_squares: second moments of the tested predictors about that mean, along the axes, `(k, k)`.
    """

    tested: Rows
    trained: Rows
    mean: Doubles
    tested_sum: Doubles
    axes: Doubles
    tested_squares: Doubles
    spectrum: _Spectrum

    def fit(self, target: Target, whole: Doubles, cross: Doubles) -> tuple[Doubles, Doubles]:
        """The map in terms of the axes, `(k, d_target)`, and the training targets' mean."""
        count = len(self.trained)
        mean = -target.side.rows(target.partner[self.tested]).sum(axis=0) / count  # all together sum to zero
        trained = self.axes.T @ (whole - cross - count * np.outer(self.mean, mean))
        along = _squares(trained) / self.spectrum.squares
        kept = self.spectrum.choose(along, target.squares_about(mean, self.trained))
        return (kept / self.spectrum.squares)[:, None] * trained, mean


class PredictorByFeatures:
    """A `Predictor` with fewer coordinates than objects: O(d^2 d_target) time for a target with its `crosses`."""

    def __init__(self, side: Centred, folds: Folds) -> None:
        self._side, count = side, int(folds.max()) + 1
        rows = [np.flatnonzero(folds == fold) for fold in range(count)]
        moments = [cross_product(side, side, tested, tested) for tested in rows]
        whole = np.sum(moments, axis=0)
        self._parts = [
            self._prepare(tested, np.flatnonzero(folds != fold), whole, moments[fold])
            for fold, tested in enumerate(rows)
        ]

    def residuals(self, target: Target, crosses: list[Doubles]) -> Residuals:
        """See `Predictor`."""
        n, whole = len(self._side), np.sum(crosses, axis=0)
        errors, totals = np.empty(n), np.empty(n)
        for part, cross in zip(self._parts, crosses, strict=True):
            coefficients, mean = part.fit(target, whole, cross)
            coefficients = part.axes @ coefficients
            for block in blocks(len(part.tested), max(coefficients.shape)):
                tested = part.tested[block]
                unknown = target.side.rows(target.partner[tested]) - mean
                errors[tested] = _squares(unknown - (self._side.rows(tested) - part.mean) @ coefficients)
                totals[tested] = _squares(unknown)
        return Residuals(errors, totals)

    def explained(self, target: Target, crosses: list[Doubles]) -> float:
        """See `Predictor`. From second moments, without a prediction being made."""
        errors = totals = 0.0
        whole = np.sum(crosses, axis=0)
        for part, cross in zip(self._parts, crosses, strict=True):
            coefficients, mean = part.fit(target, whole, cross)
            count, tested_sum = len(part.tested), -mean * len(part.trained)
            norms = float(target.norms[target.partner[part.tested]].sum())
            total = norms - 2 * float(tested_sum @ mean) + count * float(mean @ mean)
            about_means = cross - np.outer(part.tested_sum, mean) - np.outer(part.mean, tested_sum)
            about_means += count * np.outer(part.mean, mean)
            hit = np.vdot(coefficients, part.axes.T @ about_means)
            spent = np.vdot(coefficients, part.tested_squares @ coefficients)
            errors += total - 2 * float(hit) + float(spent)
            totals += total
        return 1 - errors / totals

    def _prepare(self, tested: Rows, trained: Rows, whole: Doubles, moments: Doubles) -> _FoldByFeatures:
        tested_sum = self._side.rows(tested).sum(axis=0)
        mean = -tested_sum / len(trained)
        squares, axes = np.linalg.eigh(whole - moments - len(trained) * np.outer(mean, mean))
        real = squares > _RANK * float(np.trace(whole))
        squares, axes = squares[real], axes[:, real]
        between = np.outer(tested_sum, mean)
        about_mean = moments - between - between.T + len(tested) * np.outer(mean, mean)
        return _FoldByFeatures(
            tested=tested,
            trained=trained,
            mean=mean,
            tested_sum=tested_sum,
            axes=axes,
            tested_squares=axes.T @ about_mean @ axes,
            spectrum=_Spectrum(squares, len(trained)),
        )


def _squares(rows: Doubles) -> Doubles:
    squares: Doubles = np.einsum("ij,ij->i", rows, rows)
    return squares
