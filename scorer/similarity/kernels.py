"""Inner products of the centred kernels of two embeddings, in whichever space is smaller. Imports numpy only.

For a linear kernel K = X X' with n objects and d dimensions, sums over all pairs of objects are sums over pairs of
dimensions: <K, L> = ||X'Y||^2. So nothing of size n x n is needed where n > d, and nothing of size d x d where not.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

from scorer.similarity.centring import Doubles, Rows, check_rest
from scorer.similarity.moments import Joint, Moments
from scorer.similarity.relabelling import product_relabelled


@dataclass(frozen=True, slots=True, eq=False)
class Products:
    """Of two centred kernels K (left) and L (right) of n objects: <K, K>, <L, L>, <K, L>, and both diagonals `(n,)`."""

    left: float
    right: float
    cross: float
    left_diagonal: Doubles
    right_diagonal: Doubles


class Kernels(Protocol):
    """Two centred kernels of the same n objects."""

    def products(self) -> Products:
        """Of all objects."""
        ...

    def cross_relabelled(self, permutation: Rows) -> float:
        """<K, L> when object i of the left is object permutation[i] of the right."""
        ...

    def without(self, rows: Rows) -> Products:
        """Of all objects but these, centred anew. Raises DegenerateEmbedding when all of those are equal."""
        ...


class KernelsByFeatures:
    """Linear kernels, through their second moments: O(n d^2) time, O(d^2) memory beyond the embeddings."""

    def __init__(self, joint: Joint) -> None:
        self._joint = joint

    def products(self) -> Products:
        """See `Kernels`."""
        return _products(self._joint.moments, self._joint.squared_norms)

    def cross_relabelled(self, permutation: Rows) -> float:
        """See `Kernels`."""
        return _square(self._joint.relabelled(permutation))

    def without(self, rows: Rows) -> Products:
        """See `Kernels`."""
        return _products(self._joint.without(rows), self._joint.squared_norms_without(rows))


class KernelsByObjects:
    """Kernels of any kind as `(n, n)` matrices, whose rows sum to zero: O(n^2) time and memory."""

    def __init__(self, left: Doubles, right: Doubles) -> None:
        self._left, self._right = left, right

    def products(self) -> Products:
        """See `Kernels`."""
        return self._products

    @cached_property
    def _products(self) -> Products:
        left, right = self._left, self._right
        inner = (_square(left), _square(right), float(np.vdot(left, right)))
        return Products(*inner, left.diagonal(), right.diagonal())

    def cross_relabelled(self, permutation: Rows) -> float:
        """See `Kernels`."""
        return product_relabelled(self._left, self._right, permutation)

    def without(self, rows: Rows) -> Products:
        """See `Kernels`. Only the rows left out are read: as a whole row sums to zero, they tell the others' sums."""
        n, sides = len(self._left) - len(rows), (self._left, self._right)
        gone = [side[rows] for side in sides]
        inside = [side[:, rows] for side in gone]
        sums = [-np.delete(side.sum(axis=0), rows) for side in gone]
        totals = [float(side.sum()) for side in sums]

        def product(before: float, a: int, b: int) -> float:
            kept = before - 2 * float(np.vdot(gone[a], gone[b])) + float(np.vdot(inside[a], inside[b]))
            return kept - 2 / n * float(sums[a] @ sums[b]) + totals[a] * totals[b] / n**2

        def diagonal(a: int) -> Doubles:
            return np.delete(sides[a].diagonal(), rows) - 2 / n * sums[a] + totals[a] / n**2

        whole, diagonals = self._products, (diagonal(0), diagonal(1))
        check_rest("left", float(whole.left_diagonal.sum()), float(diagonals[0].sum()))
        check_rest("right", float(whole.right_diagonal.sum()), float(diagonals[1].sum()))
        inner = product(whole.left, 0, 0), product(whole.right, 1, 1), product(whole.cross, 0, 1)
        return Products(*inner, *diagonals)


def centre_kernel(kernel: Doubles) -> Doubles:
    """A symmetric kernel `(n, n)` less its row and column means, plus its grand mean; in place, and returned."""
    means = kernel.mean(axis=0)
    kernel -= means
    kernel -= (means - means.mean())[:, None]
    return kernel


def _products(moments: Moments, diagonals: tuple[Doubles, Doubles]) -> Products:
    inner = (_square(moments.left), _square(moments.right), _square(moments.cross))
    return Products(*inner, *diagonals)


def _square(matrix: Doubles) -> float:
    return float(np.vdot(matrix, matrix))
