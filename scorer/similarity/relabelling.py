"""What a similarity would be if one side's objects were relabelled at random: drawn, and in closed form.

Imports numpy only. A permutation p gives object i of the left the place of object p[i] on the right, as for
neighbour tables. What does not depend on p is computed once, so a relabelling costs one product at most.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from scorer.similarity.centring import Doubles, Rows


class Relabelled(Protocol):
    """A similarity of two embeddings of the same n objects, made ready to be asked for under any relabelling."""

    def __len__(self) -> int:
        """The number n of objects it is computed on."""
        ...

    def value(self) -> float:
        """The similarity."""
        ...

    def relabelled(self, permutation: Rows) -> float:
        """What it would be if object i of the left were object permutation[i] of the right; permutation `(n,)`."""
        ...

    def null_moments(self) -> tuple[float, float] | None:
        """Mean and standard deviation over all n! relabellings, exactly; None where there is no closed form."""
        ...

    def details(self) -> Mapping[str, float]:
        """Further numbers, by name."""
        ...


class Similarity(Relabelled, Protocol):
    """One that can also leave a group of objects out."""

    def without(self, rows: Rows) -> float:
        """What it would be without these objects. Raises DegenerateEmbedding when no others differ."""
        ...


def relabelled_values(similarity: Relabelled, permutations: Iterable[Rows]) -> Doubles:
    """The similarity under each relabelling: `(K,)`."""
    return np.fromiter((similarity.relabelled(p) for p in permutations), dtype=np.float64)


def relabelling_of(rows: Rows, permutation: Rows) -> Rows:
    """The relabelling `(m,)` of a sample of m objects that one of all `(n,)` brings with it: the order of its images.

    Of a random permutation it is a random permutation. rows: `(m,)`, the sample.
    """
    return np.argsort(np.argsort(permutation[rows], kind="stable"), kind="stable")


def product_relabelled(left: Doubles, right: Doubles, permutation: Rows) -> float:
    """The sum over all (i, j) of left[i, j] right[p[i], p[j]], for symmetric `(n, n)` matrices.

    One row at a time, and only from the diagonal on: nothing of size n x n is copied.
    """
    diagonal = float(left.diagonal() @ right.diagonal()[permutation])
    above = sum(
        float(left[i, i + 1 :] @ right[place].take(permutation[i + 1 :]))
        for i, place in enumerate(permutation.tolist())
    )
    return diagonal + 2 * above


@dataclass(frozen=True, slots=True)
class Traces:
    """What the relabelling moments of a double-centred symmetric matrix K `(n, n)` depend on.

    trace: of K. squares: the sum of all squared entries. diagonal_squares: the sum of those on the diagonal.
    """

    trace: float
    squares: float
    diagonal_squares: float


def moments_of_product(n: int, left: Traces, right: Traces) -> tuple[float, float]:
    """Mean and standard deviation of `product_relabelled` over all n! relabellings, exactly; n > 3.

    For matrices whose rows sum to zero, such as centred kernels (Kazi-Aoual, Hitier, Sabatier & Lebreton 1995).
    """
    mean = left.trace * right.trace / (n - 1)
    spread = [(n - 1) * side.squares - side.trace**2 for side in (left, right)]
    skew = [
        n * (n + 1) * side.diagonal_squares - (n - 1) * (side.trace**2 + 2 * side.squares) for side in (left, right)
    ]
    variance = 2 * spread[0] * spread[1] / ((n - 1) ** 2 * (n + 1) * (n - 2))
    variance += skew[0] * skew[1] / ((n + 1) * n * (n - 1) * (n - 2) * (n - 3))
    return mean, math.sqrt(max(0.0, variance))
