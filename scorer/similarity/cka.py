"""Centred kernel alignment of two embeddings: linear, and debiased linear. Imports numpy only.

Kornblith, Norouzi, Lee & Hinton 2019 (arXiv 1905.00414): CKA = <K, L> / sqrt(<K, K> <L, L>) for centred kernels
K = X X', L = Y Y'. Of a few objects in many dimensions it is high by itself; the debiased one (Nguyen, Raghu &
Kornblith 2021, arXiv 2010.15327) puts the unbiased HSIC of Song et al. 2012 in place of each <., .>.
Both are in [0, 1], but that the debiased one may fall below zero; both are 1 for an embedding with itself, do not
change when a side is rotated, shifted or scaled, and are symmetric.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from scorer.comparison import Comparison, Measured
from scorer.similarity.centring import Doubles, Floats, Rows, centre
from scorer.similarity.judging import judge_by_deletion, vectors_of
from scorer.similarity.kernels import Kernels, KernelsByFeatures, KernelsByObjects, Products
from scorer.similarity.moments import Joint, check_same_objects
from scorer.similarity.relabelling import Traces, moments_of_product
from shared.errors import DegenerateEmbedding, TooFewObjects

# A difference of sums that is smaller than this share of them is rounding.
_ROUNDING = 1e-12


def linear_cka(left: Floats, right: Floats) -> float:
    """Linear CKA of embeddings `(n, d_left)` and `(n, d_right)`, row i of both the same object: 0 to 1.

    O(n d^2) where n > d, else O(n^2 d). Raises DegenerateEmbedding when all vectors of a side are equal,
    TooFewObjects for n < 2.
    """
    return Alignment(linear_kernels(left, right)).value()


def debiased_cka(left: Floats, right: Floats) -> float:
    """Debiased linear CKA, -1 to 1, zero on average over all relabellings. As `linear_cka`; n > 3."""
    return DebiasedAlignment(linear_kernels(left, right)).value()


def linear_kernels(left: Floats, right: Floats) -> Kernels:
    """The centred linear kernels of two embeddings: by features where n is larger than both d, else by objects."""
    check_same_objects(left, right)
    if len(left) > max(left.shape[1], right.shape[1]):
        return KernelsByFeatures(Joint(left, right))
    sides = [centre(left, "left").rows(slice(None)), centre(right, "right").rows(slice(None))]
    return KernelsByObjects(*(side @ side.T for side in sides))


class Alignment:
    """CKA of two centred kernels: a `scorer.similarity.relabelling.Similarity`."""

    def __init__(self, kernels: Kernels, details: Mapping[str, float] | None = None) -> None:
        self._kernels = kernels
        self._whole = kernels.products()
        self._details = details or {}

    def __len__(self) -> int:
        return len(self._whole.left_diagonal)

    def value(self) -> float:
        """See `Similarity`."""
        return _alignment(self._whole, self._whole.cross)

    def relabelled(self, permutation: Rows) -> float:
        """See `Similarity`."""
        return _alignment(self._whole, self._kernels.cross_relabelled(permutation))

    def without(self, rows: Rows) -> float:
        """See `Similarity`."""
        rest = self._kernels.without(rows)
        return _alignment(rest, rest.cross)

    def null_moments(self) -> tuple[float, float] | None:
        """Those of the RV coefficient, which linear CKA is; n > 3, else None."""
        n, whole = len(self), self._whole
        if n < 4:
            return None
        sides = (_traces(whole.left, whole.left_diagonal), _traces(whole.right, whole.right_diagonal))
        mean, std = moments_of_product(n, *sides)
        scale = math.sqrt(whole.left) * math.sqrt(whole.right)
        return mean / scale, std / scale

    def details(self) -> Mapping[str, float]:
        """See `Similarity`."""
        return self._details


class DebiasedAlignment:
    """Debiased CKA of two centred kernels: a `scorer.similarity.relabelling.Similarity`."""

    def __init__(self, kernels: Kernels) -> None:
        """Raises TooFewObjects for n < 4, DegenerateEmbedding when all but one of a side's vectors are equal."""
        self._kernels = kernels
        self._whole = kernels.products()
        if len(self) < 4:
            raise TooFewObjects(f"debiased CKA of {len(self)} objects", "at least 4", "take more objects, or `cka`")
        self._scale = _unbiased_scale(self._whole)

    def __len__(self) -> int:
        return len(self._whole.left_diagonal)

    def value(self) -> float:
        """See `Similarity`."""
        whole = self._whole
        return min(1.0, _unbiased(whole.cross, whole.left_diagonal, whole.right_diagonal) / self._scale)

    def relabelled(self, permutation: Rows) -> float:
        """See `Similarity`."""
        cross = self._kernels.cross_relabelled(permutation)
        return _unbiased(cross, self._whole.left_diagonal, self._whole.right_diagonal[permutation]) / self._scale

    def without(self, rows: Rows) -> float:
        """See `Similarity`."""
        rest = self._kernels.without(rows)
        return min(1.0, _unbiased(rest.cross, rest.left_diagonal, rest.right_diagonal) / _unbiased_scale(rest))

    def null_moments(self) -> tuple[float, float] | None:
        """Zero, and the root of 2/(n (n - 3)), whatever the embeddings.

        Without its diagonal and its rows' sums a kernel is in one irreducible representation of the relabellings.
        """
        n = len(self)
        return 0.0, math.sqrt(2 / (n * (n - 3)))

    def details(self) -> Mapping[str, float]:
        """See `Similarity`."""
        return {}


def measure_cka(comparison: Comparison) -> Measured:
    """Linear CKA of a pair, with what it is worth. chance, null_mean, null_std: exact, in closed form."""
    left, right = vectors_of(comparison)
    return judge_by_deletion(comparison, Alignment(linear_kernels(left.matrix, right.matrix)), least=0)


def measure_debiased_cka(comparison: Comparison) -> Measured:
    """Debiased linear CKA of a pair, with what it is worth. chance, null_mean, null_std: exact, in closed form."""
    left, right = vectors_of(comparison)
    return judge_by_deletion(comparison, DebiasedAlignment(linear_kernels(left.matrix, right.matrix)), least=-1)


def _alignment(products: Products, cross: float) -> float:
    return min(1.0, cross / (math.sqrt(products.left) * math.sqrt(products.right)))


def _traces(squares: float, diagonal: Doubles) -> Traces:
    return Traces(float(diagonal.sum()), squares, float(diagonal @ diagonal))


def _unbiased(product: float, left_diagonal: Doubles, right_diagonal: Doubles) -> float:
    """n (n - 3) HSIC_1 of Song et al. 2012, equation 5, from centred kernels.

    A centred kernel's rows sum to zero, so that without its diagonal they sum to minus the diagonal.
    """
    n = len(left_diagonal)
    sums = float(left_diagonal.sum()) * float(right_diagonal.sum())
    return product + sums / ((n - 1) * (n - 2)) - n / (n - 2) * float(left_diagonal @ right_diagonal)


def _unbiased_scale(products: Products) -> float:
    roots = []
    for side, squares, diagonal in (
        ("left", products.left, products.left_diagonal),
        ("right", products.right, products.right_diagonal),
    ):
        unbiased = _unbiased(squares, diagonal, diagonal)
        if unbiased <= _ROUNDING * squares:
            raise DegenerateEmbedding(
                f"all vectors of the {side} embedding but one are equal: debiased CKA has nothing to go by",
                "vectors that differ",
                "look at the layer the vectors are taken from, and at what the model was shown",
            )
        roots.append(math.sqrt(unbiased))
    return roots[0] * roots[1]
