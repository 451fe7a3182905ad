"""CKNNA: centred kernel alignment of what two embeddings agree are neighbours (Huh et al. 2024, arXiv 2405.07987).

Imports numpy only. Of unit vectors u, and j among the k neighbours of i, the similarity of j to i beyond that of the
average object is a_ij = <u_i, u_j> - mean_l <u_i, u_l>, l over all n objects, i among them. With

    Align(X, Y) = sum over i, and over those j that are neighbours of i in both X and Y, of a^X_ij a^Y_ij,

CKNNA = Align(left, right) / sqrt(Align(left, left) Align(right, right)): -1 to 1, the same from either side, 1 of an
embedding with itself. This is the formula of the paper, with its plain sums; its authors' public code puts an unbiased
HSIC of the masked, uncentred products in their place, and gives other numbers. Nothing here is n x n.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from scorer.comparison import Comparison, Measured, Neighbours
from scorer.intervals import bootstrap_means, jackknife_error_of, left_out_means, percentile_interval
from scorer.neighbourhoods.judging import judge
from scorer.neighbourhoods.shared_edges import SharedEdges, identity, shared_edges, tables_of
from shared.errors import DegenerateEmbedding
from shared.vectors import Vectors

Floats = npt.NDArray[np.float64]

_BLOCK_NUMBERS = 1 << 20
_ROUNDING = 1e-12  # of centred similarities, which are differences of numbers up to 1


def centred_similarities(vectors: Vectors, neighbours: Neighbours) -> Floats:
    """a_ij for the neighbours j of each object i, in their order: `(n, k) float64`, from -2 to 2.

    Memory beyond it: one block. No vector may be zero: such have no neighbours. Raises ValueError for neighbours of
    other objects, DegenerateEmbedding when all a_ij are 0, as where all vectors have the same direction.
    """
    if vectors.object_ids != neighbours.object_ids:
        raise ValueError("vectors of the same objects, in the same order, are needed")
    n, k = neighbours.table.shape
    size = max(1, _BLOCK_NUMBERS // (k * vectors.dimension))
    blocks = [slice(first, first + size) for first in range(0, n, size)]
    average = np.sum([_unit(vectors.matrix[block]).sum(axis=0) for block in blocks], axis=0) / n
    similarities = np.empty((n, k))
    for block in blocks:
        theirs = _unit(vectors.matrix[neighbours.table[block]]) - average
        similarities[block] = (theirs @ _unit(vectors.matrix[block])[:, :, None])[:, :, 0]
    if np.abs(similarities).max() < _ROUNDING:
        raise DegenerateEmbedding(
            f"the nearest neighbours of these {n} objects are no more alike than any two of them",
            "an embedding that tells near from far",
            "look at the layer the vectors are taken from, and at the pixels or samples they were made of",
        )
    return similarities


def alignment_terms(left: Floats, right: Floats, edges: SharedEdges) -> Floats:
    """What each object adds to Align(left, right), Align(left, left) and Align(right, right): `(n, 3)`.

    left, right: centred similarities `(n, k)`. edges: what the two graphs share.
    """
    shared = np.bincount(edges.left_objects, weights=_products(left, right, edges), minlength=len(left))
    return np.column_stack([shared, np.square(left).sum(axis=1), np.square(right).sum(axis=1)])


def cknna(terms: Floats) -> Floats:
    """CKNNA from sums, or means, of these three terms over objects: `(..., 3)` to `(...)`, -1 to 1.

    0 where all similarities of a side are 0, as of some objects of a resample they may be.
    """
    scale = np.sqrt(terms[..., 1] * terms[..., 2])
    return np.divide(terms[..., 0], scale, out=np.zeros_like(scale), where=scale > 0)


def chance_of_cknna(left: Floats, right: Floats) -> float:
    """The CKNNA expected when either side's objects are relabelled at random, exactly.

    Of the n(n - 1) ordered pairs, each is as likely as any other to come upon an edge: the expectation of Align(left,
    right) is sum a^left sum a^right / (n(n - 1)). left, right: centred similarities `(n, k)`.
    """
    n = len(left)
    return float(left.sum() * right.sum() / (n * (n - 1)) / _scale(left, right))


def measure_cknna(comparison: Comparison) -> Measured:
    """CKNNA of a pair, with what it is worth.

    chance, null_mean: exact. The rest by permutation. interval: the bootstrap of the ratio of the three sums, every
    object drawn with its own three terms; standard_error: the jackknife of the same. Raises TooFewObjects, ZeroVector,
    DegenerateEmbedding.
    """
    k, scoring = comparison.k, comparison.scoring
    nearest = comparison.left.neighbours(k), comparison.right.neighbours(k)
    tables = tables_of(*nearest)
    left = centred_similarities(comparison.left.vectors(), nearest[0])
    right = centred_similarities(comparison.right.vectors(), nearest[1])
    (observed,) = shared_edges(*tables, [identity(len(left))])
    terms = alignment_terms(left, right, observed)
    relabelled = shared_edges(*tables, comparison.permutations())
    null = np.fromiter((_products(left, right, edges).sum() for edges in relabelled), dtype=np.float64)
    resampled = cknna(bootstrap_means(terms, scoring.resamples, comparison.resampling()))
    return judge(
        comparison,
        float(cknna(terms.mean(axis=0))),
        null / _scale(left, right),
        chance=chance_of_cknna(left, right),
        interval=percentile_interval(resampled, scoring.confidence),
        standard_error=jackknife_error_of(cknna(left_out_means(terms))),
    )


def _unit(matrix: npt.NDArray[np.float32]) -> Floats:
    doubles = matrix.astype(np.float64)
    unit: Floats = doubles / np.sqrt(np.square(doubles).sum(axis=-1, keepdims=True))
    return unit


def _products(left: Floats, right: Floats, edges: SharedEdges) -> Floats:
    """a^left a^right of each shared edge: `(m,)`."""
    products: Floats = left[edges.left_objects, edges.left_ranks] * right[edges.right_objects, edges.right_ranks]
    return products


def _scale(left: Floats, right: Floats) -> float:
    """sqrt(Align(left, left) Align(right, right)), which no relabelling changes."""
    return float(np.sqrt(np.square(left).sum() * np.square(right).sum()))
