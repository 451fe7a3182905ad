"""Representational similarity analysis of two embeddings (Kriegeskorte, Mur & Bandettini 2008). Imports numpy only.

The dissimilarity of two objects is 1 - cosine of their vectors, as nearness is for the neighbour metrics. RSA is
Spearman's correlation of the dissimilarities of all pairs of objects, ties ranked by their mean. Relabelling one side
is Mantel's test (1967): ranks move with their objects, and are never computed again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from scorer.comparison import Comparison, Measured
from scorer.similarity.centring import Doubles, Floats, Rows, not_finite
from scorer.similarity.judging import judge_by_deletion, sample_of, vectors_of
from scorer.similarity.moments import check_same_objects
from scorer.similarity.relabelling import product_relabelled
from shared.errors import DegenerateEmbedding, TooFewObjects, ZeroVector

# Cosines that are equal to so many decimals are a tie: float64 products differ by 1e-16 or so.
_TIE_DECIMALS = 12

Places = npt.NDArray[np.int32]


def rsa(left: Floats, right: Floats) -> float:
    """RSA of embeddings `(n, d_left)` and `(n, d_right)`, row i of both the same object, n > 2: -1 to 1, 1 with itself.

    Symmetric; unchanged when a side is rotated or scaled. O(n^2 (d + log n)) time, O(n^2) memory. Raises ZeroVector for
    a vector without a direction, DegenerateEmbedding when all pairs of a side are equally far apart, TooFewObjects.
    """
    return Rsa(left, right).value()


class Rsa:
    """RSA of two embeddings: a `scorer.similarity.relabelling.Similarity`."""

    def __init__(self, left: Floats, right: Floats) -> None:
        """Raises what `rsa` raises."""
        check_same_objects(left, right)
        self._n = len(left)
        if self._n < 3:
            raise TooFewObjects(f"the dissimilarities of {self._n} objects", "at least 3 objects", "take more objects")
        self._first, self._second = (rows.astype(np.int32) for rows in np.triu_indices(self._n, k=1))
        self._places = _places(left, "left"), _places(right, "right")
        ranks = _ranks(self._places[0], "left"), _ranks(self._places[1], "right")
        self._left, self._right = self._square(ranks[0]), self._square(ranks[1])
        self._value = min(1.0, float(ranks[0] @ ranks[1]))

    def __len__(self) -> int:
        return self._n

    def value(self) -> float:
        """See `Similarity`."""
        return self._value

    def relabelled(self, permutation: Rows) -> float:
        """See `Similarity`."""
        return product_relabelled(self._left, self._right, permutation) / 2

    def without(self, rows: Rows) -> float:
        """See `Similarity`. What remains is ranked anew."""
        kept = np.ones(self._n, dtype=bool)
        kept[rows] = False
        pairs = kept[self._first] & kept[self._second]
        left, right = self._places
        return min(1.0, float(_ranks(left[pairs], "left") @ _ranks(right[pairs], "right")))

    def null_moments(self) -> tuple[float, float] | None:
        """Zero, and the standard deviation of Mantel's statistic; n > 3, else None."""
        return (0.0, _deviation(self._left, self._right)) if self._n > 3 else None

    def details(self) -> Mapping[str, float]:
        """See `Similarity`."""
        return {"pairs_of_objects": float(len(self._first))}

    def _square(self, ranks: Doubles) -> Doubles:
        square = np.zeros((self._n, self._n))
        square[self._first, self._second] = ranks
        square += square.T
        return square


def measure_rsa(comparison: Comparison) -> Measured:
    """RSA of a pair, or of 3,000 of its objects, with what it is worth. chance, null_mean, null_std: exact.

    Raises ZeroVector, naming the first object without a direction.
    """
    sample = sample_of(comparison)
    left, right = vectors_of(comparison, sample)
    _check_directions(left.matrix, lambda row: f"of object {left.object_ids[row]!r}")
    _check_directions(right.matrix, lambda row: f"of object {right.object_ids[row]!r}")
    return judge_by_deletion(comparison, Rsa(left.matrix, right.matrix), least=-1, sample=sample)


def _places(matrix: Floats, side: str) -> Places:
    """The place of each pair's dissimilarity among the distinct ones, `(n (n - 1)/2,)`, pairs row by row."""
    if not np.isfinite(matrix).all():
        raise not_finite(side)
    _check_directions(matrix, lambda row: f"in row {row} of the {side} embedding")
    unit = matrix.astype(np.float64)
    unit /= np.abs(unit).max(axis=1, keepdims=True)  # so that no square is too small, or too large, for a float64
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    dissimilarities = (1 - unit @ unit.T)[np.triu_indices(len(matrix), k=1)].round(_TIE_DECIMALS)
    return np.unique(dissimilarities, return_inverse=True)[1].astype(np.int32)


def _ranks(places: Places, side: str) -> Doubles:
    """Ranks of what stands at these places, ties by their mean; centred, and of unit length."""
    counts = np.bincount(places)
    ranks: Doubles = (np.cumsum(counts) - (counts - 1) / 2)[places]
    ranks -= (len(places) + 1) / 2
    length = math.sqrt(float(ranks @ ranks))
    if length == 0:
        raise DegenerateEmbedding(
            f"all pairs of vectors of the {side} embedding, or of the objects compared, are equally far apart",
            "dissimilarities that differ",
            "look at the layer the vectors are taken from, and at what the model was shown",
        )
    ranks /= length
    return ranks


def _deviation(left: Doubles, right: Doubles) -> float:
    """Standard deviation over all relabellings of the sum over pairs of left times right, both summing to zero.

    A symmetric matrix without a diagonal is a sum a_i + a_j and a rest whose rows sum to zero. Relabelling mixes
    neither with the other, so that their variances add up.
    """
    n = len(left)
    additive = [side.sum(axis=1) / (n - 2) for side in (left, right)]
    squares = [float(each @ each) for each in additive]
    # sum over ordered pairs of (a_i + a_j)^2, for a that sums to zero
    rests = [float(np.vdot(side, side)) - 2 * (n - 2) * each for side, each in zip((left, right), squares, strict=True)]
    variance = 4 * (n - 2) ** 2 * squares[0] * squares[1] / (n - 1)
    variance += 2 * max(rests[0], 0) * max(rests[1], 0) / (n * (n - 3))
    return math.sqrt(variance) / 2


def _check_directions(matrix: Floats, name: Callable[[int], str]) -> None:
    zero = ~matrix.any(axis=1)
    if zero.any():
        raise ZeroVector(
            f"the vector {name(int(zero.argmax()))} is zero ({np.count_nonzero(zero)} such objects)",
            "vectors with a direction",
            "look at this object's pixels or samples, and at the layer the vector is taken from",
        )
