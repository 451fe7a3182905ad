"""Orthogonal Procrustes similarity of two embeddings. Imports numpy only.

Each side is centred and scaled to unit Frobenius norm; then min ||X - Y Q||^2 over orthogonal Q is
d^2 = 2 - 2 ||X'Y||_*, and the similarity is 1 - d^2/2 = ||X'Y||_*, the nuclear norm (Schonemann 1966;
Ding, Denain & Steinhardt 2021, arXiv 2108.01661, whose distance is d^2).
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from scorer.comparison import Comparison, Measured
from scorer.similarity.centring import Doubles, Floats, Rows
from scorer.similarity.judging import judge_by_deletion, vectors_of
from scorer.similarity.moments import Joint, Moments


def procrustes_similarity(left: Floats, right: Floats) -> float:
    """1 - d^2/2 of embeddings `(n, d_left)` and `(n, d_right)`, row i of both the same object: 0 to 1.

    1 for an embedding and its rotation. Symmetric; unchanged when a side is rotated, reflected, shifted or scaled. With
    different d, the narrower side is filled up with zeros. O(n d^2) where n > d. Raises DegenerateEmbedding when all
    vectors of a side are equal.
    """
    return Procrustes(Joint(left, right)).value()


class Procrustes:
    """Procrustes similarity of two embeddings: a `scorer.similarity.relabelling.Similarity`."""

    def __init__(self, joint: Joint) -> None:
        self._joint = joint

    def __len__(self) -> int:
        return len(self._joint)

    def value(self) -> float:
        """See `Similarity`."""
        return _similarity(self._joint.moments, self._joint.moments.cross)

    def relabelled(self, permutation: Rows) -> float:
        """See `Similarity`."""
        return _similarity(self._joint.moments, self._joint.relabelled(permutation))

    def without(self, rows: Rows) -> float:
        """See `Similarity`."""
        rest = self._joint.without(rows)
        return _similarity(rest, rest.cross)

    def null_moments(self) -> None:
        """None: there is no closed form."""

    def details(self) -> Mapping[str, float]:
        """See `Similarity`."""
        return {}


def measure_procrustes(comparison: Comparison) -> Measured:
    """Procrustes similarity of a pair, with what it is worth."""
    left, right = vectors_of(comparison)
    return judge_by_deletion(comparison, Procrustes(Joint(left.matrix, right.matrix)), least=0)


def _similarity(moments: Moments, cross: Doubles) -> float:
    scale = math.sqrt(float(np.trace(moments.left))) * math.sqrt(float(np.trace(moments.right)))
    return min(1.0, float(np.linalg.svd(cross, compute_uv=False).sum()) / scale)
