"""Mutual information of two embeddings as if they were Gaussian, in nats. Imports numpy only.

-1/2 sum log(1 - rho^2) over the canonical correlations (Gel'fand & Yaglom 1957). Of n objects in d dimensions the
sample's correlations are too high, and 1 where d >= n, so the joint covariance is shrunk as Ledoit & Wolf 2004
(J. Multivariate Anal. 88) do: (1 - w) S + w I, each side first scaled to a mean variance of 1, with the weight w of
least expected error by their estimate. What is left at finite n is much of it bias: the null shows how much.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from scorer.comparison import Comparison, Measured
from scorer.similarity.cca import Components, leading_components
from scorer.similarity.centring import Doubles, Floats, Rows
from scorer.similarity.judging import judge_by_deletion, vectors_of
from scorer.similarity.moments import Joint, Moments

# Shrinkage below this would let a correlation of 1 be an infinite information.
LEAST_SHRINKAGE = 1e-6


def gaussian_information(left: Floats, right: Floats) -> float:
    """Gaussian mutual information of two embeddings, `(n, d_left)` and `(n, d_right)`: nats, 0 or more.

    Row i of both is the same object. Symmetric; unchanged when a side is rotated, shifted or scaled, or given constant
    columns. O(n d^2) where n > d. Raises DegenerateEmbedding when all vectors of a side are equal.
    """
    return GaussianInformation(Joint(left, right)).value()


@dataclass(frozen=True, slots=True, eq=False)
class _Shrinking:
    """Moments in the principal axes of both sides, each scaled to a mean variance of 1.

    left, right: variances along them; cross: covariances. fourth: sum over objects of |z|^4 for the joint vector z.
    dimension: columns of both sides that are not constant.
    """

    n: int
    dimension: int
    left: Doubles
    right: Doubles
    cross: Doubles
    fourth: float

    @property
    def weight(self) -> float:
        """The Ledoit-Wolf weight of the identity, 1e-6 to 1."""
        squares = float(self.left @ self.left + self.right @ self.right) + 2 * float(np.vdot(self.cross, self.cross))
        distance = squares - self.dimension  # to the identity, the trace being the dimension
        error = (self.fourth / self.n - squares) / self.n
        weight = error / distance if error < distance else 1.0
        return max(LEAST_SHRINKAGE, weight)

    def information(self) -> float:
        """-1/2 log det(1 - R R') for the matrix R of correlations of the shrunk covariance."""
        weight = self.weight
        left, right = ((1 - weight) * side + weight for side in (self.left, self.right))
        correlations = (1 - weight) * self.cross / np.sqrt(np.outer(left, right))
        if len(left) > len(right):
            correlations = correlations.T
        unexplained = np.eye(len(correlations)) - correlations @ correlations.T
        return max(0.0, -float(np.log(np.linalg.cholesky(unexplained).diagonal()).sum()))


class GaussianInformation:
    """Gaussian mutual information of two embeddings: a `scorer.similarity.relabelling.Similarity`."""

    def __init__(self, joint: Joint) -> None:
        self._joint = joint
        self._components = self._of(joint.moments)
        self._whole = self._shrinking(joint.squared_norms, self._components, joint.moments.cross)

    def __len__(self) -> int:
        return len(self._joint)

    def value(self) -> float:
        """See `Similarity`."""
        return self._whole.information()

    def relabelled(self, permutation: Rows) -> float:
        """See `Similarity`. The shrinkage is found anew."""
        left, right = self._joint.squared_norms
        cross = self._joint.relabelled(permutation)
        return self._shrinking((left, right[permutation]), self._components, cross).information()

    def without(self, rows: Rows) -> float:
        """See `Similarity`. Axes and shrinkage are found anew."""
        rest, norms = self._joint.without(rows), self._joint.squared_norms_without(rows)
        return self._shrinking(norms, self._of(rest), rest.cross).information()

    def null_moments(self) -> None:
        """None: there is no closed form."""

    def details(self) -> Mapping[str, float]:
        """See `Similarity`. shrinkage: the weight of the identity."""
        return {"shrinkage": self._whole.weight}

    def _of(self, moments: Moments) -> tuple[Components, Components]:
        joint = self._joint
        return leading_components(joint.left, moments.left), leading_components(joint.right, moments.right)

    def _shrinking(
        self, norms: tuple[Doubles, Doubles], components: tuple[Components, Components], cross: Doubles
    ) -> _Shrinking:
        (ours, theirs), (left, right) = norms, components
        varied = self._joint.left.varied, self._joint.right.varied
        n = len(ours)
        # the sum of squares that a column of mean variance has
        share_left, share_right = float(ours.sum()) / varied[0], float(theirs.sum()) / varied[1]
        joint_norms = n * (ours / share_left + theirs / share_right)
        return _Shrinking(
            n=n,
            dimension=sum(varied),
            left=left.squares / share_left,
            right=right.squares / share_right,
            cross=left.axes.T @ cross @ right.axes / math.sqrt(share_left * share_right),
            fourth=float(joint_norms @ joint_norms),
        )


def measure_gaussian_information(comparison: Comparison) -> Measured:
    """Gaussian mutual information of a pair, with what it is worth. It has no greatest value: it is not calibrated."""
    left, right = vectors_of(comparison)
    return judge_by_deletion(comparison, GaussianInformation(Joint(left.matrix, right.matrix)), least=0, most=math.inf)
