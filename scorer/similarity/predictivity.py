"""Linear predictivity: how much of one embedding a linear map from the other accounts for, on objects it has not seen.

Imports numpy only. Cross-validated ridge regression both ways, as Yamins et al. 2014 and Schrimpf et al. 2018 score
models by what they predict. R^2 = 1 - sum of squared errors / sum of squares about the training objects' mean, over
all objects and target dimensions: the mean of the dimensions' R^2, weighted by variance. Unrelated embeddings have an
R^2 of about zero, seldom above.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping

import numpy as np

from scorer.comparison import Comparison, Measured
from scorer.intervals import percentile_interval
from scorer.pairing import id_set_digest
from scorer.similarity.centring import Doubles, Floats, Rows, cross_product
from scorer.similarity.judging import Spread, judge, vectors_of
from scorer.similarity.moments import Joint
from scorer.similarity.ridge import Folds, PredictorByFeatures, Residuals, Target, deal, predictor
from scorer.streams import open_stream
from shared.outcomes import Interval

FOLDS = 5


def linear_predictivity(left: Floats, right: Floats, stream: np.random.Generator, folds: int = FOLDS) -> float:
    """Mean of the two cross-validated R^2, left to right and right to left: at most 1, about 0 at chance.

    left, right: `(n, d_left)`, `(n, d_right)`, row i of both the same object. stream: deals the objects into folds, for
    either direction anew. Symmetric but for that; unchanged when a side is rotated, shifted or scaled. An embedding
    predicts itself with R^2 of almost 1 where n is well above d, and with less where new objects bring new directions.
    Raises DegenerateEmbedding when all vectors of a side are equal, TooFewObjects for n < 2 folds.
    """
    joint = Joint(left, right)
    return Predictivity(joint, deal(len(joint), folds, stream), deal(len(joint), folds, stream)).value()


class Predictivity:
    """Linear predictivity of two embeddings both ways: a `scorer.similarity.relabelling.Relabelled`.

    The folds of a direction are tied to the objects of the predicting side, and dealt for either direction on its own;
    so any relabelling of one side against the other is as likely as the pairing observed, folds and all, and what
    is made of the predictors alone is made once. forth, back: what is left unexplained of the right, and of the left.
    """

    def __init__(self, joint: Joint, left_folds: Folds, right_folds: Folds) -> None:
        self._joint, self._folds = joint, (left_folds, right_folds)
        self._forth, self._back = predictor(joint.left, left_folds), predictor(joint.right, right_folds)
        same = np.arange(len(joint))
        (right, left), crosses = self._targets(same), self._crosses(same)
        self.forth: Residuals = self._forth.residuals(right, crosses[0])
        self.back: Residuals = self._back.residuals(left, crosses[1])

    def __len__(self) -> int:
        return len(self._joint)

    def value(self) -> float:
        """See `Relabelled`."""
        return (self.forth.explained + self.back.explained) / 2

    def relabelled(self, permutation: Rows) -> float:
        """See `Relabelled`. Maps are fitted, and strengths chosen, anew."""
        (right, left), crosses = self._targets(permutation), self._crosses(permutation)
        return (self._forth.explained(right, crosses[0]) + self._back.explained(left, crosses[1])) / 2

    def null_moments(self) -> None:
        """None: there is no closed form."""

    def details(self) -> Mapping[str, float]:
        """See `Relabelled`. The two numbers whose mean is the value, and the folds."""
        return {
            "left_to_right": self.forth.explained,
            "right_to_left": self.back.explained,
            "folds": float(self._folds[0].max() + 1),
        }

    def _targets(self, permutation: Rows) -> tuple[Target, Target]:
        """The right, as the left is to predict it, and the left, as the right is."""
        joint, (left, right) = self._joint, self._joint.squared_norms
        return Target(joint.right, right, permutation), Target(joint.left, left, np.argsort(permutation))

    def _crosses(self, permutation: Rows) -> tuple[list[Doubles], list[Doubles]]:
        """For either direction, the sums of outer products over each fold: each object is multiplied once for both."""
        if not any(isinstance(each, PredictorByFeatures) for each in (self._forth, self._back)):
            return [], []
        joint, forth, back = self._joint, self._folds[0], self._folds[1][permutation]
        by_left, by_right = (
            [np.zeros((joint.left.dimension, joint.right.dimension)) for _ in range(int(folds.max()) + 1)]
            for folds in (forth, back)
        )
        for a, b in itertools.product(range(len(by_left)), range(len(by_right))):
            rows = np.flatnonzero((forth == a) & (back == b))
            product = cross_product(joint.left, joint.right, rows, permutation[rows])
            by_left[a] += product
            by_right[b] += product
        return by_left, [each.T for each in by_right]


def measure_linear_predictivity(comparison: Comparison) -> Measured:
    """Linear predictivity of a pair, with what it is worth. The folds are the same for every pair of these objects.

    per_object: how much of its squared distance from the mean is explained, over the mean of those distances; both
    directions' mean. interval, standard_error: bootstrap and jackknife over objects of what is left unexplained. They
    take the fitted maps as given: how another sample would have changed the maps is not in them.
    """
    left, right = vectors_of(comparison)
    joint = Joint(left.matrix, right.matrix)
    stream = open_stream("folds", comparison.scoring.seed, id_set_digest(comparison.object_ids))
    ours, theirs = deal(len(joint), FOLDS, stream), deal(len(joint), FOLDS, stream)
    similarity = Predictivity(joint, ours, theirs)
    sides = similarity.forth, similarity.back
    confidence, resamples = comparison.scoring.confidence, comparison.scoring.resamples
    spread = Spread(residual_error(sides), residual_interval(sides, resamples, confidence, comparison.resampling()))
    per_object = sum((side.totals - side.errors) / side.totals.mean() for side in sides) / 2
    return judge(comparison, similarity, spread, per_object=per_object)


def residual_error(sides: tuple[Residuals, ...]) -> float:
    """Jackknife standard error of the mean of the sides' R^2, each object left out of the sums in turn."""
    n = len(sides[0].errors)
    left_out = np.zeros(n)
    for side in sides:
        left_out += 1 - (side.errors.sum() - side.errors) / (side.totals.sum() - side.totals)
    left_out /= len(sides)
    return math.sqrt((n - 1) / n * float(np.square(left_out - left_out.mean()).sum()))


def residual_interval(
    sides: tuple[Residuals, ...], resamples: int, confidence: float, stream: np.random.Generator
) -> Interval:
    """Percentile interval of the mean of the sides' R^2, objects drawn with replacement (Efron 1979)."""
    n = len(sides[0].errors)

    def draw() -> float:
        rows = stream.integers(n, size=n)
        return sum(1 - float(side.errors[rows].sum() / side.totals[rows].sum()) for side in sides) / len(sides)

    values = np.fromiter((draw() for _ in range(resamples)), dtype=np.float64)
    return percentile_interval(values, confidence)
