"""Canonical correlations of two embeddings, and their means: SVCCA and PWCCA. Imports numpy only.

SVCCA (Raghu, Gilmer, Yosinski & Sohl-Dickstein 2017, arXiv 1706.05806): the mean canonical correlation of the leading
principal components that hold 99 % of each side's variance. PWCCA (Morcos, Raghu & Bengio 2018, arXiv 1806.05759):
the mean weighted by how much of a side each canonical variate accounts for. Both are taken here of the same leading
components, for with d >= n - 1 any two embeddings have canonical correlations of 1 alone; and where the components
kept are not few against n, chance is high, which the null shows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from scorer.comparison import Comparison, Measured
from scorer.similarity.centring import Centred, Doubles, Floats, Rows
from scorer.similarity.judging import judge_by_deletion, vectors_of
from scorer.similarity.moments import Joint

VARIANCE = 0.99
_RANK = 1e-12


def canonical_correlations(left: Floats, right: Floats, variance: float = 1.0) -> Doubles:
    """Canonical correlations, `(c,)` in decreasing order, of the leading components that hold `variance` of each side.

    left, right: `(n, d_left)`, `(n, d_right)`, row i of both the same object. c is the smaller number of components.
    With variance 1, all that is not rounding is kept, and an invertible linear map of a side changes nothing.
    Raises DegenerateEmbedding when all vectors of a side are equal.
    """
    cca = Svcca(Joint(left, right), variance)
    correlations: Doubles = np.linalg.svd(cca.cross, compute_uv=False).clip(0, 1)
    return correlations


def svcca(left: Floats, right: Floats, variance: float = VARIANCE) -> float:
    """Mean canonical correlation, 0 to 1, of the leading components that hold `variance` of each side.

    Symmetric; unchanged when a side is rotated, shifted or scaled. As `canonical_correlations`.
    """
    return Svcca(Joint(left, right), variance).value()


def pwcca(left: Floats, right: Floats, variance: float = VARIANCE) -> float:
    """Projection-weighted mean of the canonical correlations, 0 to 1, of the same components as `svcca`.

    The weight of a variate is the sum over a side's columns of the size of their product with it. Weighted by the left
    side and by the right it is two numbers; this is their mean, so that it is symmetric. Unchanged when a side is
    shifted or scaled, but not when it is rotated: the weights know the columns.
    """
    return Pwcca(Joint(left, right), variance).value()


@dataclass(frozen=True, eq=False)
class Components:
    """The leading principal components of one side.

    axes: `(d, k)`, orthonormal columns. squares: `(k,)`, sums of squares along them. basis: as in `Centred`.
    """

    axes: Doubles
    squares: Doubles
    basis: Doubles | None = None

    @property
    def whitening(self) -> Doubles:
        """What takes centred vectors to orthonormal columns, `(d, k)`."""
        whitening: Doubles = self.axes / np.sqrt(self.squares)
        return whitening

    @cached_property
    def loadings(self) -> Doubles:
        """Products of the whitened components with each of the embedding's own columns, `(k, columns)`."""
        loadings: Doubles = np.sqrt(self.squares)[:, None] * self.axes.T
        return loadings if self.basis is None else loadings @ self.basis.T


def leading_components(side: Centred, moments: Doubles, variance: float = 1.0, most: int | None = None) -> Components:
    """The fewest components that hold this share of a side's variance, and no more than `most`.

    moments: `(d, d)`, of all the side's objects or of some. What is less than 1e-12 of the largest is rounding.
    """
    squares, axes = np.linalg.eigh(moments)
    squares, axes = squares[::-1], axes[:, ::-1]
    kept = int(np.count_nonzero(squares > _RANK * squares[0]))
    if variance < 1:
        held = np.cumsum(squares[:kept])
        kept = min(kept, int(np.searchsorted(held, variance * held[-1])) + 1)
    kept = kept if most is None else min(kept, most)
    return Components(axes[:, :kept], squares[:kept], side.basis)


class Svcca:
    """SVCCA of two embeddings: a `scorer.similarity.relabelling.Similarity`."""

    def __init__(self, joint: Joint, variance: float = VARIANCE) -> None:
        if not 0 < variance <= 1:
            raise ValueError(f"a share of the variance is above 0 and at most 1, not {variance}")
        self._joint, self._variance = joint, variance
        self.left = leading_components(joint.left, joint.moments.left, variance)
        self.right = leading_components(joint.right, joint.moments.right, variance)
        self._left, self._right = joint.left.times(self.left.whitening), joint.right.times(self.right.whitening)

    def __len__(self) -> int:
        return len(self._joint)

    @property
    def cross(self) -> Doubles:
        """Products of the whitened components, `(k_left, k_right)`: their singular values are the correlations."""
        return self._left.T @ self._right

    def value(self) -> float:
        """See `Similarity`."""
        return self._mean(self.left, self.right, self.cross)

    def relabelled(self, permutation: Rows) -> float:
        """See `Similarity`."""
        return self._mean(self.left, self.right, self._left.T @ self._right[permutation])

    def without(self, rows: Rows) -> float:
        """See `Similarity`. The components are found anew."""
        rest = self._joint.without(rows)
        left = leading_components(self._joint.left, rest.left, self._variance)
        right = leading_components(self._joint.right, rest.right, self._variance)
        return self._mean(left, right, left.whitening.T @ rest.cross @ right.whitening)

    def null_moments(self) -> None:
        """None: there is no closed form."""

    def details(self) -> Mapping[str, float]:
        """See `Similarity`."""
        return {
            "components_left": float(len(self.left.squares)),
            "components_right": float(len(self.right.squares)),
        }

    def _mean(self, left: Components, right: Components, cross: Doubles) -> float:
        return float(np.linalg.svd(cross, compute_uv=False).clip(0, 1).mean())


class Pwcca(Svcca):
    """PWCCA of two embeddings: a `scorer.similarity.relabelling.Similarity`."""

    def details(self) -> Mapping[str, float]:
        """See `Similarity`. weighted_by_left, weighted_by_right: the two numbers whose mean is the value."""
        by_left, by_right = self._weighted(self.left, self.right, self.cross)
        return {**super().details(), "weighted_by_left": by_left, "weighted_by_right": by_right}

    def _mean(self, left: Components, right: Components, cross: Doubles) -> float:
        by_left, by_right = self._weighted(left, right, cross)
        return (by_left + by_right) / 2

    def _weighted(self, left: Components, right: Components, cross: Doubles) -> tuple[float, float]:
        ours, correlations, theirs = np.linalg.svd(cross, full_matrices=False)
        correlations = correlations.clip(0, 1)
        # for each variate, the sum over a side's columns of the size of their product with it
        weights = (np.abs(ours.T @ left.loadings).sum(axis=1), np.abs(theirs @ right.loadings).sum(axis=1))
        by_left, by_right = (min(1.0, float(each @ correlations / each.sum())) for each in weights)
        return by_left, by_right


def measure_svcca(comparison: Comparison) -> Measured:
    """SVCCA of a pair, with what it is worth."""
    left, right = vectors_of(comparison)
    return judge_by_deletion(comparison, Svcca(Joint(left.matrix, right.matrix)), least=0)


def measure_pwcca(comparison: Comparison) -> Measured:
    """PWCCA of a pair, with what it is worth."""
    left, right = vectors_of(comparison)
    return judge_by_deletion(comparison, Pwcca(Joint(left.matrix, right.matrix)), least=0)
