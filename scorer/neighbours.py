"""Exact nearest neighbours of vectors among themselves by cosine similarity, found by FAISS.

Imports numpy and faiss; the only module of the scorer that imports faiss. FAISS proposes in float32, float64
decides: so a table does not depend on the order in which vectors are stored, nor on blocks, threads or a BLAS.
"""

from __future__ import annotations

import faiss
import numpy as np
import numpy.typing as npt

from scorer.comparison import Neighbours
from shared.errors import TooFewObjects, ZeroVector
from shared.vectors import Vectors

# Goes up whenever the same vectors may give another table, so that no cached table outlives its meaning.
SEARCH_VERSION = 2

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]

_QUERIES = 4096  # rows searched at once: FAISS's own block (distance_compute_blas_query_bs)
_SPARE = 8  # candidates beyond k and self, so that float32 seldom leaves the k-th place in doubt
_BLOCK_BYTES = 1 << 23  # fits the processor's cache
_LARGE_BLOCK_BYTES = 1 << 26
# Similarities this close are a tie: float64 products of the same two directions differ by 1e-16 or so.
_TIE_DECIMALS = 12


def nearest(vectors: Vectors, k: int, lots: np.random.Generator | None = None) -> Neighbours:
    """The k nearest neighbours of every vector among the others, by decreasing cosine similarity.

    A vector is left out of its own neighbours by its row, not by its similarity: duplicates are neighbours. Of
    equally similar neighbours (to 12 decimals, computed in float64) the one that drew the lower lot comes first, and
    without `lots` the one in the lower row; rows in order of object id thus give a table that storage order cannot
    change. Two sides that are compared need lots of their own: by row, what neither tells apart would be ordered
    alike on both, and they would agree on what neither knows. Memory beyond the vectors: one float32
    copy of them, the table, and blocks. Rows whose k-th place float32 cannot settle (many near-ties, as where
    an embedding has collapsed) are searched again in float64, at several times the cost.
    Raises TooFewObjects unless 0 < k < n, and ZeroVector, naming the first object without a direction.
    """
    n = len(vectors)
    if not 0 < k < n:
        raise TooFewObjects(f"k = {k} neighbours of {n} objects", f"0 < k < {n}", "take a smaller k, or more objects")
    norms = _norms(vectors)
    unit = np.empty_like(vectors.matrix)
    for block in _blocks(n, vectors.dimension):
        unit[block] = vectors.matrix[block] / norms[block, None]
    lot = np.arange(n) if lots is None else lots.permutation(n)
    table = np.empty((n, k), dtype=np.int32)
    for start in range(0, n, _QUERIES):
        rows = np.arange(start, min(start + _QUERIES, n))
        table[rows], doubtful = _search(vectors.matrix, unit, norms, rows, k, lot=lot)
        for block in _blocks(len(doubtful), n, _LARGE_BLOCK_BYTES):
            table[doubtful[block]] = _search_all(vectors.matrix, norms, doubtful[block], k, lot=lot)
    return Neighbours(vectors.object_ids, table)


def _search(
    matrix: Floats, unit: Floats, norms: Doubles, rows: Rows, k: int, *, lot: Rows
) -> tuple[npt.NDArray[np.int64], Rows]:
    """Neighbours `(len(rows), k)` of these rows, and those of the rows that float32 leaves in doubt. lot: `(n,)`."""
    n, dimension = matrix.shape
    width = min(n, k + 1 + _SPARE)
    scores, candidates = faiss.knn(unit[rows], unit, width, metric=faiss.METRIC_INNER_PRODUCT)
    exact = _similarities(matrix, norms, rows, candidates)
    exact[candidates == rows[:, None]] = -np.inf
    order = np.lexsort((lot[candidates], -exact), axis=-1)[:, :k]
    kth = np.take_along_axis(exact, order[:, -1:], axis=1)[:, 0]
    # Whatever FAISS left out scored no more than its last candidate, give or take the rounding of a float32
    # product of unit vectors: (d + 4) 2^-24 at most (Higham 2002, Accuracy and Stability, section 3.1).
    in_doubt = kth <= scores[:, -1] + (dimension + 4) * 2.0**-24 if width < n else np.zeros(len(rows), dtype=bool)
    return np.take_along_axis(candidates, order, axis=1), rows[in_doubt]


def _similarities(matrix: Floats, norms: Doubles, rows: Rows, candidates: Rows) -> Doubles:
    """Cosine similarities `(len(rows), width)` of each row with its candidates, in float64."""
    similarities = np.empty(candidates.shape)
    for block in _blocks(len(rows), candidates.shape[1] * matrix.shape[1]):
        some, theirs = rows[block], candidates[block]
        ours = matrix[some].astype(np.float64)
        products = (matrix[theirs].astype(np.float64) @ ours[:, :, None])[:, :, 0]
        similarities[block] = products / (norms[some, None] * norms[theirs])
    return similarities.round(_TIE_DECIMALS)


def _search_all(matrix: Floats, norms: Doubles, rows: Rows, k: int, *, lot: Rows) -> npt.NDArray[np.int64]:
    """Neighbours `(len(rows), k)` of these rows among all, in float64. lot: `(n,)`."""
    similarities = np.empty((len(rows), len(matrix)))
    ours = matrix[rows] / norms[rows, None]
    for block in _blocks(len(matrix), matrix.shape[1]):
        similarities[:, block] = ours @ (matrix[block] / norms[block, None]).T
    similarities = similarities.round(_TIE_DECIMALS)
    similarities[np.arange(len(rows)), rows] = -np.inf
    by_lot = np.argsort(lot)
    return by_lot[np.argsort(-similarities[:, by_lot], axis=1, kind="stable")[:, :k]]


def _norms(vectors: Vectors) -> Doubles:
    norms = np.empty(len(vectors))
    for block in _blocks(len(vectors), vectors.dimension):
        norms[block] = np.sqrt(np.square(vectors.matrix[block], dtype=np.float64).sum(axis=1))
    if not norms.all():
        first = vectors.object_ids[int(norms.argmin())]
        raise ZeroVector(
            f"the vector of object {first!r} is zero ({np.count_nonzero(norms == 0)} such objects)",
            "vectors with a direction",
            "look at this object's pixels or samples, and at the layer the vector is taken from",
        )
    return norms


def _blocks(rows: int, numbers: int, size_bytes: int = _BLOCK_BYTES) -> list[slice]:
    """Slices over `rows` rows of so many float64 numbers each, none larger than `size_bytes`, or than a row."""
    size = max(1, size_bytes // (8 * numbers))
    return [slice(start, min(start + size, rows)) for start in range(0, rows, size)]
