"""Second moments of two embeddings of the same objects: all that the linear metrics look at. Imports numpy only.

With n objects and d dimensions they cost O(n d^2) time and O(d^2) memory; leaving a group of objects out is a
subtraction, and relabelling one side is one product.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from scorer.similarity.centring import (
    Centred,
    Doubles,
    Floats,
    Rows,
    centre,
    check_rest,
    cross_product,
    in_fewest_coordinates,
)


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """Sums over n objects with vectors x (left) and y (right).

    left_sum, right_sum: of x and y. left, right, cross: of the outer products x x', y y' and x y'.
    """

    n: int
    left_sum: Doubles
    right_sum: Doubles
    left: Doubles
    right: Doubles
    cross: Doubles

    def __sub__(self, other: Moments) -> Moments:
        """The moments of the objects that are not among the other's."""
        return Moments(
            self.n - other.n,
            self.left_sum - other.left_sum,
            self.right_sum - other.right_sum,
            self.left - other.left,
            self.right - other.right,
            self.cross - other.cross,
        )

    def about_means(self) -> Moments:
        """The same with each vector taken less the mean of its side, so that both sums are zero."""
        return Moments(
            self.n,
            np.zeros_like(self.left_sum),
            np.zeros_like(self.right_sum),
            self.left - np.outer(self.left_sum, self.left_sum) / self.n,
            self.right - np.outer(self.right_sum, self.right_sum) / self.n,
            self.cross - np.outer(self.left_sum, self.right_sum) / self.n,
        )


class Joint:
    """Two embeddings of the same n objects, each centred and in its fewest coordinates."""

    def __init__(self, left: Floats, right: Floats) -> None:
        """left, right: `(n, d_left)` and `(n, d_right)`; row i of both is the same object.

        Raises ValueError when they are not of the same n, and what `centre` raises.
        """
        check_same_objects(left, right)
        self.left = in_fewest_coordinates(centre(left, "left"))
        self.right = in_fewest_coordinates(centre(right, "right"))

    def __len__(self) -> int:
        return len(self.left)

    @cached_property
    def moments(self) -> Moments:
        """Of all objects."""
        return self._moments(None)

    def relabelled(self, permutation: Rows) -> Doubles:
        """The cross moments when object i of the left is given the vector of object permutation[i] of the right."""
        return cross_product(self.left, self.right, None, permutation)

    def without(self, rows: Rows) -> Moments:
        """Of all objects but these, about their own means. Raises DegenerateEmbedding when they are all equal."""
        rest = (self.moments - self._moments(rows)).about_means()
        check_rest("left", float(np.trace(self.moments.left)), float(np.trace(rest.left)))
        check_rest("right", float(np.trace(self.moments.right)), float(np.trace(rest.right)))
        return rest

    @cached_property
    def squared_norms(self) -> tuple[Doubles, Doubles]:
        """Of each object's vectors, `(n,)` for either side."""
        return self.left.squared_norms(), self.right.squared_norms()

    def squared_norms_without(self, rows: Rows) -> tuple[Doubles, Doubles]:
        """Of the vectors of all objects but these, about their own means."""
        left, right = self.squared_norms
        return _norms_of_rest(self.left, left, rows), _norms_of_rest(self.right, right, rows)

    def _moments(self, rows: Rows | None) -> Moments:
        left, right = self.left, self.right
        if rows is None:
            sums = np.zeros(left.dimension), np.zeros(right.dimension)
        else:
            sums = left.rows(rows).sum(axis=0), right.rows(rows).sum(axis=0)
        return Moments(
            len(left) if rows is None else len(rows),
            *sums,
            cross_product(left, left, rows, rows),
            cross_product(right, right, rows, rows),
            cross_product(left, right, rows, rows),
        )


def check_same_objects(left: Floats, right: Floats) -> None:
    """Raises ValueError unless both have one row for each of the same number of objects."""
    if left.ndim != 2 or right.ndim != 2 or len(left) != len(right):
        raise ValueError(f"embeddings of the same objects are (n, d) with one n, not {left.shape} and {right.shape}")


def _norms_of_rest(side: Centred, norms: Doubles, rows: Rows) -> Doubles:
    mean = -side.rows(rows).sum(axis=0) / (len(side) - len(rows))  # all together sum to zero
    about_mean: Doubles = norms - 2 * side.times(mean[:, None])[:, 0] + float(mean @ mean)
    return np.delete(about_mean, rows)
