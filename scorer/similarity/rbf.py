"""CKA with Gaussian kernels (Kornblith, Norouzi, Lee & Hinton 2019, arXiv 1905.00414). Imports numpy only.

K_ij = exp(-|x_i - x_j|^2 / (2 s^2)) with s = 0.8 of the side's median distance, the largest fraction of their table 2.
There is no feature space to go to: every pair of objects is looked at. Memory is held down by working on tiles, of
which only sums are kept; to relabel, both kernels must stay, so a pair of more than 3,000 objects is measured on a
sample of them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from scorer.comparison import Comparison, Measured
from scorer.similarity.centring import Centred, Doubles, Floats, Rows, centre
from scorer.similarity.cka import Alignment
from scorer.similarity.judging import judge_by_deletion, sample_of, vectors_of
from scorer.similarity.kernels import KernelsByObjects, centre_kernel
from scorer.similarity.moments import check_same_objects
from shared.errors import DegenerateEmbedding

FRACTION = 0.8
_MOST_FOR_MEDIAN = 2000
_TILE = 2048
_ROUNDING = 1e-12


def rbf_cka(left: Floats, right: Floats, fraction: float = FRACTION) -> float:
    """RBF CKA of embeddings `(n, d_left)` and `(n, d_right)`, row i of both the same object: 0 to 1, 1 with itself.

    Symmetric; unchanged when a side is rotated, shifted or scaled. O(n^2 d) time; memory beyond the embeddings: O(n),
    and tiles. fraction: of the median distance, the kernels' width. Raises DegenerateEmbedding when the median
    distance of a side is zero.
    """
    sides = _kernels(left, right, fraction)
    n, sums, row_sums = len(left), np.zeros(3), np.zeros((2, len(left)))
    for some, others in _tiles(n):
        ours, theirs = (side.tile(some, others) for side in sides)
        times = 1 if some == others else 2  # a tile above the diagonal stands for the one below, too
        sums += times * np.array([np.vdot(ours, ours), np.vdot(theirs, theirs), np.vdot(ours, theirs)])
        row_sums[:, some] += ours.sum(axis=1), theirs.sum(axis=1)
        if some != others:
            row_sums[:, others] += ours.sum(axis=0), theirs.sum(axis=0)
    # what centring takes away from each sum of products
    totals = row_sums.sum(axis=1)
    for place, (a, b) in enumerate(((0, 0), (1, 1), (0, 1))):
        sums[place] += totals[a] * totals[b] / n**2 - 2 / n * (row_sums[a] @ row_sums[b])
    return min(1.0, float(sums[2]) / (math.sqrt(sums[0]) * math.sqrt(sums[1])))


def rbf_alignment(left: Floats, right: Floats, fraction: float = FRACTION) -> Alignment:
    """RBF CKA made ready to relabel: both `(n, n) float64` kernels stay in memory. As `rbf_cka`."""
    sides = _kernels(left, right, fraction)
    everything = slice(0, len(left))
    kernels = [centre_kernel(side.tile(everything, everything)) for side in sides]
    widths = {"width_left": sides[0].width, "width_right": sides[1].width}
    return Alignment(KernelsByObjects(*kernels), {"width_fraction": fraction, **widths})


def measure_rbf_cka(comparison: Comparison) -> Measured:
    """RBF CKA of a pair, or of 3,000 of its objects, with what it is worth.

    chance, null_mean, null_std: exact, in closed form. The kernels' widths stay those of all objects when the
    jackknife leaves some out.
    """
    sample = sample_of(comparison)
    left, right = vectors_of(comparison, sample)
    return judge_by_deletion(comparison, rbf_alignment(left.matrix, right.matrix), least=0, sample=sample)


class _Gaussian:
    """The Gaussian kernel of one side, a tile at a time."""

    def __init__(self, side: Centred, fraction: float, name: str) -> None:
        self._side, self._squares = side, side.squared_norms()
        self.width = fraction * self._median_distance(name)

    def tile(self, some: slice | Rows, others: slice | Rows) -> Doubles:
        """The kernel of these objects with those, `(m, m')`."""
        exponents = self._squared_distances(some, others)
        exponents /= -2 * self.width**2
        kernel: Doubles = np.exp(exponents, out=exponents)
        return kernel

    def _squared_distances(self, some: slice | Rows, others: slice | Rows) -> Doubles:
        distances = self._side.rows(some) @ self._side.rows(others).T
        distances *= -2
        distances += self._squares[some][:, None]
        distances += self._squares[others]
        squared: Doubles = np.maximum(distances, 0, out=distances)
        return squared

    def _median_distance(self, name: str) -> float:
        """Over all pairs of objects, or of 2,000 that stand evenly spaced in the order of rows."""
        n = len(self._side)
        rows = np.linspace(0, n - 1, min(n, _MOST_FOR_MEDIAN)).round().astype(np.int64)
        squared = self._squared_distances(rows, rows)[np.triu_indices(len(rows), k=1)]
        median = float(np.median(np.sqrt(squared)))
        if median**2 <= _ROUNDING * float(self._squares.mean()):
            raise DegenerateEmbedding(
                f"more than half of the pairs of vectors of the {name} embedding are at distance zero",
                "vectors that differ",
                "look at the layer the vectors are taken from, and at what the model was shown",
            )
        return median


def _kernels(left: Floats, right: Floats, fraction: float) -> tuple[_Gaussian, _Gaussian]:
    check_same_objects(left, right)
    return _Gaussian(centre(left, "left"), fraction, "left"), _Gaussian(centre(right, "right"), fraction, "right")


def _tiles(n: int) -> Iterator[tuple[slice, slice]]:
    """The upper triangle of an `(n, n)` matrix, diagonal and all, in squares of at most 32 MiB."""
    bounds = [slice(start, min(start + _TILE, n)) for start in range(0, n, _TILE)]
    return ((some, others) for place, some in enumerate(bounds) for others in bounds[place:])
