"""One embedding less its mean vector, given row by row in float64. Imports numpy and `shared` only.

What is large is centred a block at a time, and never held whole in float64.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from shared.errors import DegenerateEmbedding, NotFinite, TooFewObjects

Floats = npt.NDArray[np.floating[Any]]
Doubles = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]

_BLOCK_NUMBERS = 1 << 22  # 32 MiB of float64
_ROUNDING = 1e-12
_KEPT_NUMBERS = 1 << 24  # an embedding up to 128 MiB is centred once and kept


@dataclass(frozen=True, slots=True, eq=False)
class Centred:
    """The vectors of n objects less their mean, in d coordinates.

    stored: `(n, d)`, with `shift` `(d,)` still to be taken from each row, or None where that is done. basis:
    `(columns, d)` with orthonormal columns when the coordinates are not the embedding's own, else None. varied: how
    many of the embedding's columns are not constant.
    """

    stored: Floats
    shift: Doubles | None
    basis: Doubles | None
    varied: int

    def __len__(self) -> int:
        return len(self.stored)

    @property
    def dimension(self) -> int:
        """The number d of coordinates."""
        return int(self.stored.shape[1])

    def rows(self, which: slice | Rows) -> Doubles:
        """These rows, centred: `(m, d) float64`. Not to be written to."""
        block = self.stored[which]
        return block.astype(np.float64, copy=False) if self.shift is None else block.astype(np.float64) - self.shift

    def times(self, weights: Doubles) -> Doubles:
        """The centred matrix times `weights` `(d, m)`: `(n, m) float64`."""
        product = np.empty((len(self), weights.shape[1]))
        for block in blocks(len(self), self.dimension):
            product[block] = self.rows(block) @ weights
        return product

    def squared_norms(self) -> Doubles:
        """The squared length of each centred vector, `(n,)`."""
        norms = np.empty(len(self))
        for block in blocks(len(self), self.dimension):
            rows = self.rows(block)
            norms[block] = np.einsum("ij,ij->i", rows, rows)
        return norms


def centre(matrix: Floats, side: str = "left") -> Centred:
    """The vectors `(n, d)`, of any float type, less their mean. A constant column becomes zero exactly.

    side: what to call the embedding in an error. Raises TooFewObjects for n < 2, DegenerateEmbedding when all vectors
    are equal, NotFinite for a NaN or an infinity, ValueError for another shape.
    """
    if matrix.ndim != 2 or matrix.shape[1] == 0:
        raise ValueError(f"an embedding is (n, d) with d > 0, not {matrix.shape}")
    n, dimension = matrix.shape
    if n < 2:
        raise TooFewObjects(f"the {side} embedding has {n} vectors", "at least 2", "take more objects")
    # Differences to the first vector: those of a constant column are zero, whatever its size.
    first, total = matrix[0].astype(np.float64), np.zeros(dimension)
    varies = np.zeros(dimension, dtype=bool)
    with np.errstate(invalid="ignore"):
        for block in blocks(n, dimension):
            difference = matrix[block].astype(np.float64) - first
            total += difference.sum(axis=0)
            varies |= difference.any(axis=0)
    if not np.isfinite(total).all():
        raise not_finite(side)
    if not varies.any():
        raise all_equal(side)
    shift = first + total / n
    if matrix.size <= _KEPT_NUMBERS:
        return Centred(matrix.astype(np.float64) - shift, None, None, int(varies.sum()))
    return Centred(matrix, shift, None, int(varies.sum()))


def not_finite(side: str) -> NotFinite:
    """The error for an embedding with NaN or infinity."""
    return NotFinite(f"the {side} embedding has NaN or infinity", "finite numbers", "look at what made it")


def all_equal(side: str) -> DegenerateEmbedding:
    """The error for an embedding, or the part of it that is looked at, in which no vector differs from another."""
    return DegenerateEmbedding(
        f"all vectors of the {side} embedding, or of the objects of it that are compared, are equal",
        "vectors that differ",
        "look at the layer the vectors are taken from, and at what the model was shown",
    )


def check_rest(side: str, whole: float, rest: float) -> None:
    """Raises DegenerateEmbedding when the sum of squares of the rest of a side is but the rounding of the whole's."""
    if rest <= _ROUNDING * whole:
        raise all_equal(side)


def in_fewest_coordinates(centred: Centred) -> Centred:
    """The same vectors in at most n coordinates, which keep every angle and length: n vectors span no more.

    By a QR decomposition of the transpose, so that nothing is squared and small directions keep their digits.
    """
    if centred.dimension <= len(centred):
        return centred
    basis, coordinates = np.linalg.qr(centred.rows(slice(None)).T)
    return Centred(np.ascontiguousarray(coordinates.T), None, basis, centred.varied)


def cross_product(left: Centred, right: Centred, left_rows: Rows | None, right_rows: Rows | None) -> Doubles:
    """The sum over objects of the outer product of their two vectors, `(d_left, d_right)`, a block at a time.

    The i-th of `left_rows` goes with the i-th of `right_rows`; None: all rows, in order. Beyond the answer, memory
    holds two blocks.
    """
    count = len(left) if left_rows is None else len(left_rows)
    product = np.zeros((left.dimension, right.dimension))
    for block in blocks(count, max(left.dimension, right.dimension)):
        ours = left.rows(block if left_rows is None else left_rows[block])
        theirs = right.rows(block if right_rows is None else right_rows[block])
        product += ours.T @ theirs
    return product


def blocks(rows: int, width: int) -> Iterator[slice]:
    """Slices over `rows` rows of `width` numbers each, none of more than 32 MiB of float64, or than a row."""
    size = max(1, _BLOCK_NUMBERS // width)
    return (slice(start, min(start + size, rows)) for start in range(0, rows, size))
