"""Exact nearest neighbours of vectors by cosine similarity, found by FAISS.

Imports numpy and faiss; the only module of the scorer that imports faiss. FAISS proposes in float32, from short
sketches where that pays, and float64 decides: so a table does not depend on the order in which vectors are stored, nor
on blocks, threads or a BLAS.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import faiss
import numpy as np
import numpy.typing as npt

from scorer.comparison import Neighbours
from scorer.directions import zero_vector
from scorer.sketches import make_plan
from shared.errors import TooFewObjects
from shared.vectors import Vectors

# Goes up whenever the same vectors may give another table, so that no cached table outlives its meaning.
SEARCH_VERSION = 2

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]

_QUERIES = 1024  # rows searched at once: their products with a block of the database stay in the cache
_SPARE = 4  # candidates beyond k and self, so that float32 seldom leaves the k-th place in doubt
_BLOCK_BYTES = 1 << 20  # fits the processor's cache
_LARGE_BLOCK_BYTES = 1 << 26
# Similarities this close are a tie: float64 products of the same two directions differ by 1e-16 or so.
_TIE_DECIMALS = 12


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """The nearest of m queries: `(m, k)` each, by decreasing similarity, ties by lot.

    similarities: cosines in float64, rounded to 12 decimals. rows: of the database. Where there were fewer than k
    candidates the rest is -inf, and row -1.
    """

    similarities: Doubles
    rows: Rows


def nearest(vectors: Vectors, k: int, lots: np.random.Generator | None = None) -> Neighbours:
    """The k nearest neighbours of every vector among the others, by decreasing cosine similarity.

    A vector is left out of its own neighbours by its row, not by its similarity: duplicates are neighbours. Of
    equally similar neighbours (to 12 decimals, computed in float64) the one that drew the lower lot comes first, and
    without `lots` the one in the lower row; rows in order of object id thus give a table that storage order cannot
    change. Two sides that are compared need lots of their own: by row, what neither tells apart would be ordered
    alike on both, and they would agree on what neither knows. Memory beyond the vectors: one float32
    copy of them, their sketches, the table, and blocks. Rows whose k-th place float32 cannot settle (many near-ties, as
    where an embedding has collapsed) are searched again in float64, at several times the cost.
    Raises TooFewObjects unless 0 < k < n, and ZeroVector, naming the first object without a direction.
    """
    n = len(vectors)
    if not 0 < k < n:
        raise TooFewObjects(f"k = {k} neighbours of {n} objects", f"0 < k < {n}", "take a smaller k, or more objects")
    refuse_zeros(vectors)
    lot = np.arange(n) if lots is None else lots.permutation(n)
    found = nearest_among(vectors.matrix, vectors.matrix, k, lot=lot, own=np.arange(n))
    return Neighbours(vectors.object_ids, found.rows.astype(np.int32))


def nearest_among(queries: Floats, database: Floats, k: int, *, lot: Rows, own: Rows) -> Found:
    """The k nearest of each query `(m, d)` in a database `(n, d)`, k > 0, as `nearest` finds them.

    lot: `(n,)`, which of equally similar rows comes first. own: `(m,)`, the row of the database that is the query
    itself, and is left out; -1 where there is none. All vectors have a direction (`refuse_zeros`).
    """
    theirs = _Directions.of(database)
    ours = theirs if queries is database else _Directions.of(queries)
    search = _Search(ours, theirs, k, lot, own)
    similarities, found = np.full((len(queries), k), -np.inf), np.full((len(queries), k), -1, dtype=np.int64)
    doubtful = np.arange(len(queries))
    for proposal in search.proposals():
        left = []
        for start in range(0, len(doubtful), _QUERIES):
            rows = doubtful[start : start + _QUERIES]
            best, places, settled = search.decide(rows, *proposal.candidates(rows))
            similarities[rows[settled], : best.shape[1]] = best[settled]
            found[rows[settled], : best.shape[1]] = places[settled]
            left.append(rows[~settled])
        doubtful = np.concatenate(left) if left else doubtful
    for block in _blocks(len(doubtful), len(database), _LARGE_BLOCK_BYTES):
        similarities[doubtful[block]], found[doubtful[block]] = search.decide_among_all(doubtful[block])
    return Found(similarities, found)


def refuse_zeros(vectors: Vectors) -> None:
    """Raises ZeroVector, naming the first object without a direction."""
    norms = _norms(vectors.matrix)
    if not norms.all():
        first = vectors.object_ids[int(norms.argmin())]
        raise zero_vector(first, int(np.count_nonzero(norms == 0)))


class _Directions(NamedTuple):
    """Vectors `(n, d)`, their norms `(n,)`, and the unit vectors in float32."""

    matrix: Floats
    norms: Doubles
    unit: Floats

    @classmethod
    def of(cls, matrix: Floats) -> _Directions:
        norms, unit = _norms(matrix), np.empty_like(matrix)
        for block in _blocks(*matrix.shape):
            unit[block] = matrix[block] / norms[block, None]
        return cls(matrix, norms, unit)


class _Proposal(NamedTuple):
    """Vectors of either side whose inner products are, but for rounding, no less than the cosines; how many to take."""

    queries: Floats
    database: Floats
    width: int

    def candidates(self, rows: Rows) -> tuple[Rows, Floats]:
        """Rows of the database `(len(rows), width)` for these queries, and what no other row's bound is above."""
        scores, candidates = faiss.knn(self.queries[rows], self.database, self.width, metric=faiss.METRIC_INNER_PRODUCT)
        if self.width == len(self.database):
            return candidates, np.full(len(rows), -np.inf, dtype=np.float32)
        return candidates, scores[:, -1] + _rounding(self.database.shape[1])


class _Search(NamedTuple):
    """One search, whose answers float64 decides. The words are those of `nearest_among`."""

    ours: _Directions
    theirs: _Directions
    k: int
    lot: Rows
    own: Rows

    def proposals(self) -> Iterator[_Proposal]:
        """What to search, in turn, for queries that are not decided yet."""
        n = len(self.lot)
        plan = make_plan(self.theirs.unit, self.k)
        if plan is not None:
            database = plan.sketch(self.theirs.matrix, self.theirs.norms)
            same = self.ours is self.theirs
            queries = database if same else plan.sketch(self.ours.matrix, self.ours.norms)
            yield _Proposal(queries, database, min(n, max(plan.candidates, self._enough)))
        yield _Proposal(self.ours.unit, self.theirs.unit, min(n, self._enough))

    @property
    def _enough(self) -> int:
        return self.k + 1 + _SPARE

    def decide(self, rows: Rows, candidates: Rows, ceiling: Floats) -> tuple[Doubles, Rows, npt.NDArray[np.bool_]]:
        """The nearest of these queries among their candidates, and for which queries nothing else can be as near.

        candidates, ceiling: of a proposal; no cosine with any other row is above the ceiling.
        """
        if candidates.shape[1] > self._enough:
            candidates, ceiling = self._narrow(rows, candidates, ceiling)
        similarities = self._similarities(rows, candidates)
        similarities[candidates == self.own[rows, None]] = -np.inf
        order = np.lexsort((self.lot[candidates], -similarities), axis=-1)[:, : self.k]
        best = np.take_along_axis(similarities, order, axis=1)
        places = np.where(np.isneginf(best), -1, np.take_along_axis(candidates, order, axis=1))
        return best, places, (best[:, -1] > ceiling) | np.isneginf(ceiling)

    def _narrow(self, rows: Rows, candidates: Rows, ceiling: Floats) -> tuple[Rows, Floats]:
        """The best of the candidates by float32 products of the whole vectors; no other is above the new ceiling."""
        scores, width, keep = np.empty(candidates.shape, dtype=np.float32), candidates.shape[1], self._enough
        queries, database, candidates = self.ours.unit[rows], self.theirs.unit, np.ascontiguousarray(candidates)
        pointers = (faiss.swig_ptr(array) for array in (scores, queries, database, candidates))
        product = faiss.fvec_inner_products_by_idx  # type: ignore[attr-defined]
        product(*pointers, database.shape[1], len(rows), width)
        order = np.argpartition(scores, width - keep - 1, axis=1)[:, width - keep - 1 :]
        first_left_out = np.take_along_axis(scores, order[:, :1], axis=1)[:, 0]
        ceiling = np.maximum(ceiling, first_left_out + _rounding(database.shape[1]))
        return np.take_along_axis(candidates, order[:, 1:], axis=1), ceiling

    def _similarities(self, rows: Rows, candidates: Rows) -> Doubles:
        """Cosine similarities `(len(rows), width)` of each query with its candidates, in float64."""
        similarities = np.empty(candidates.shape)
        for block in _blocks(len(rows), candidates.shape[1] * self.theirs.matrix.shape[1]):
            some, theirs = rows[block], candidates[block]
            queries = self.ours.matrix[some].astype(np.float64)
            products = (self.theirs.matrix[theirs].astype(np.float64) @ queries[:, :, None])[:, :, 0]
            similarities[block] = products / (self.ours.norms[some, None] * self.theirs.norms[theirs])
        return similarities.round(_TIE_DECIMALS)

    def decide_among_all(self, rows: Rows) -> tuple[Doubles, Rows]:
        """The nearest `(len(rows), k)` of these queries among all, in float64."""
        matrix, norms = self.theirs.matrix, self.theirs.norms
        similarities = np.empty((len(rows), len(matrix)))
        queries = self.ours.matrix[rows] / self.ours.norms[rows, None]
        for block in _blocks(*matrix.shape):
            similarities[:, block] = queries @ (matrix[block] / norms[block, None]).T
        similarities = similarities.round(_TIE_DECIMALS)
        itself = np.flatnonzero(self.own[rows] >= 0)
        similarities[itself, self.own[rows[itself]]] = -np.inf
        by_lot = np.argsort(self.lot)
        places = by_lot[np.argsort(-similarities[:, by_lot], axis=1, kind="stable")[:, : self.k]]
        return np.take_along_axis(similarities, places, axis=1), places


def _rounding(dimension: int) -> np.float32:
    """How far a float32 product of two unit vectors, each number of which was rounded, may be from the true one.

    (d + 4) 2^-24 at most, in whatever order it is summed (Higham 2002, Accuracy and Stability, section 3.1).
    """
    return np.float32((dimension + 4) * 2.0**-24)


def _norms(matrix: Floats) -> Doubles:
    norms = np.empty(len(matrix))
    for block in _blocks(*matrix.shape):
        norms[block] = np.sqrt(np.square(matrix[block], dtype=np.float64).sum(axis=1))
    return norms


def _blocks(rows: int, numbers: int, size_bytes: int = _BLOCK_BYTES) -> list[slice]:
    """Slices over `rows` rows of so many float64 numbers each, none larger than `size_bytes`, or than a row."""
    size = max(1, size_bytes // (8 * numbers))
    return [slice(start, min(start + size, rows)) for start in range(0, rows, size)]
