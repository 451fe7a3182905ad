"""Mutual information of two embeddings' leading components from nearest neighbours, in nats. Imports numpy and scipy.

Estimator 1 of Kraskov, Stogbauer & Grassberger 2004 (Phys. Rev. E 69, 066138): psi(k) + psi(n) less the mean of
psi(a_i + 1) + psi(b_i + 1), where a_i and b_i count the objects that are nearer to object i, on either side alone, than
its k-th neighbour is in both together. It needs no shape of distribution, but few dimensions: the three leading
principal components of each side are taken, each scaled to unit variance. scipy is imported where it is used.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from scorer.comparison import Comparison, Measured
from scorer.similarity.cca import leading_components
from scorer.similarity.centring import Doubles, Floats, Rows
from scorer.similarity.judging import judge_by_deletion, sample_of, vectors_of
from scorer.similarity.moments import Joint, Moments, check_same_objects
from shared.errors import TooFewObjects

if TYPE_CHECKING:
    from scipy.spatial import cKDTree

COMPONENTS = 3
NEIGHBOURS = 3
_LISTED = 512  # distances kept for each object, in order: most counts are read off them

Counts = npt.NDArray[np.int64]


def ksg_information(left: Floats, right: Floats, neighbours: int = NEIGHBOURS) -> float:
    """KSG mutual information of two variables `(n, d_left)` and `(n, d_right)` as they are: nats, about 0 at least.

    Row i of both is the same object. Maximum norm, exact counts of what is strictly nearer; so no order of objects
    matters, nor do ties. Raises TooFewObjects unless 0 < neighbours < n.
    """
    check_same_objects(left, right)
    return float(ksg_contributions(Marginal(left), Marginal(right), neighbours).mean())


class Marginal:
    """One variable `(n, d)` of two, ready to count what is near each object. Raises TooFewObjects for n < 2."""

    def __init__(self, points: Floats, listed: int = 1) -> None:
        """listed: nearest distances to keep of each object, for whoever counts more than once."""
        from scipy.spatial import cKDTree

        self.points = points.astype(np.float64)
        n = len(points)
        if n < 2:
            raise TooFewObjects(f"the neighbours of {n} objects", "at least 2 objects", "take more objects")
        self._tree: cKDTree = cKDTree(self.points)
        self._near = _distances(self._tree, self.points, list(range(1, min(n, listed) + 1)))

    def count_nearer(self, radii: Doubles) -> Counts:
        """How many others are strictly nearer to each object than its radius, `(n,)`."""
        counts = np.count_nonzero(self._near < radii[:, None], axis=1)
        beyond = np.flatnonzero(counts == self._near.shape[1])
        counts[beyond] = self._tree.query_ball_point(
            self.points[beyond], np.nextafter(radii[beyond], 0), p=np.inf, return_length=True
        )
        others: Counts = np.maximum(counts - 1, 0)  # itself is counted too, but where the radius is zero
        return others


def ksg_contributions(left: Marginal, right: Marginal, neighbours: int, permutation: Rows | None = None) -> Doubles:
    """Each object's part `(n,)` of the estimate, which is their mean.

    permutation: as for any relabelling. Raises TooFewObjects unless 0 < neighbours < n.
    """
    from scipy.spatial import cKDTree
    from scipy.special import digamma

    n = len(left.points)
    if not 0 < neighbours < n:
        raise TooFewObjects(f"{neighbours} neighbours of {n} objects", f"0 < neighbours < {n}", "take more objects")
    moved = right.points if permutation is None else right.points[permutation]
    both = np.hstack([left.points, moved])
    # the object itself, or another at its place, comes first, at distance zero
    radii = _distances(cKDTree(both), both, [neighbours + 1])[:, 0]
    theirs = np.empty(n)
    theirs[np.arange(n) if permutation is None else permutation] = radii
    ours, others = left.count_nearer(radii), right.count_nearer(theirs)
    if permutation is not None:
        others = others[permutation]
    parts: Doubles = digamma(neighbours) + digamma(n) - digamma(ours + 1) - digamma(others + 1)
    return parts


class KsgInformation:
    """KSG information of both sides' leading components: a `scorer.similarity.relabelling.Similarity`."""

    def __init__(self, joint: Joint, components: int = COMPONENTS, neighbours: int = NEIGHBOURS) -> None:
        self._joint, self._components, self._neighbours = joint, components, neighbours
        left, right = self._leading(joint.moments, np.arange(len(joint)))
        self._left, self._right = Marginal(left, _LISTED), Marginal(right, _LISTED)
        self.per_object = ksg_contributions(self._left, self._right, neighbours)

    def __len__(self) -> int:
        return len(self._joint)

    def value(self) -> float:
        """See `Similarity`."""
        return float(self.per_object.mean())

    def relabelled(self, permutation: Rows) -> float:
        """See `Similarity`. Only neighbours in both sides together are searched for."""
        return float(ksg_contributions(self._left, self._right, self._neighbours, permutation).mean())

    def without(self, rows: Rows) -> float:
        """See `Similarity`. The components are found anew."""
        left, right = self._leading(self._joint.without(rows), np.delete(np.arange(len(self)), rows))
        return float(ksg_contributions(Marginal(left), Marginal(right), self._neighbours).mean())

    def null_moments(self) -> None:
        """None: there is no closed form."""

    def details(self) -> Mapping[str, float]:
        """See `Similarity`."""
        left, right = self._left.points.shape[1], self._right.points.shape[1]
        return {"components_left": left, "components_right": right, "neighbours": self._neighbours}

    def _leading(self, moments: Moments, rows: Rows) -> list[Doubles]:
        """Scores of these objects along the leading components of both sides, of unit variance over them."""
        scores = []
        for side, second in ((self._joint.left, moments.left), (self._joint.right, moments.right)):
            whitening = leading_components(side, second, most=self._components).whitening
            scores.append(side.times(whitening)[rows] * math.sqrt(len(rows)))
        return scores


def measure_ksg_information(comparison: Comparison) -> Measured:
    """KSG information of a pair, or of 3,000 of its objects, with what it is worth.

    It has no greatest value: it is not calibrated. per_object: each object's part, where all objects are looked at.
    """
    sample = sample_of(comparison)
    left, right = vectors_of(comparison, sample)
    information = KsgInformation(Joint(left.matrix, right.matrix))
    measured = judge_by_deletion(comparison, information, least=-math.inf, most=math.inf, sample=sample)
    return measured if sample is not None else replace(measured, per_object=information.per_object)


def _distances(tree: cKDTree, points: Doubles, ranks: list[int]) -> Doubles:
    """Distance of each point to the nearest of these ranks, `(n, len(ranks))`; a point of the tree is its own first."""
    distances: Doubles = np.asarray(tree.query(points, k=ranks, p=np.inf)[0])
    return distances
