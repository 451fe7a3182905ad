"""One pair of embeddings, joined and ready to be measured: what a metric may look at, and what it answers.

Imports numpy and the contracts only, so that the registry of metrics can be read where FAISS is not installed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

import numpy as np
import numpy.typing as npt

from scorer.neighbourhoods.edge_pairs import EdgePairs, edge_pairs
from scorer.pairing import id_set_digest
from scorer.shelf import Shelf
from scorer.streams import open_stream
from shared.contracts import Scoring
from shared.outcomes import Interval
from shared.vectors import Vectors


@dataclass(frozen=True, eq=False)
class Neighbours:
    """The k nearest neighbours of n objects, in order of decreasing similarity.

    table: `(n, k) int32`, rows of `object_ids`; in a row no object is named twice, and none is its own neighbour.
    Raises ValueError for anything else.
    """

    object_ids: tuple[str, ...]
    table: npt.NDArray[np.int32]

    def __post_init__(self) -> None:
        n = len(self.object_ids)
        if self.table.ndim != 2 or self.table.shape[0] != n or self.table.dtype != np.int32:
            raise ValueError(f"neighbours of {n} objects are ({n}, k) int32, not {self.table.shape} {self.table.dtype}")
        if not ((self.table >= 0) & (self.table < n)).all():
            raise ValueError(f"a neighbour outside of rows 0 to {n - 1}")
        if (self.table == np.arange(n, dtype=np.int32)[:, None]).any():
            raise ValueError("an object that is its own neighbour")
        if (np.diff(np.sort(self.table, axis=1), axis=1) == 0).any():
            raise ValueError("a neighbour that is named twice")
        self.table.flags.writeable = False

    @property
    def k(self) -> int:
        """Neighbours of each object."""
        return int(self.table.shape[1])

    @cached_property
    def edge_pairs(self) -> EdgePairs:
        """How its edges share their ends: found once, for all graphs it is compared with."""
        return edge_pairs(self.table)

    def nearest(self, k: int) -> Neighbours:
        """The first k of each object's neighbours. Raises ValueError for more than there are."""
        if not 0 < k <= self.k:
            raise ValueError(f"the first {k} of {self.k} neighbours")
        return self if k == self.k else Neighbours(self.object_ids, np.ascontiguousarray(self.table[:, :k]))


class Side(Protocol):
    """One embedding of the pair, restricted to the objects both share. What it gives is made when asked for."""

    def neighbours(self, k: int) -> Neighbours:
        """The k nearest neighbours of each object by cosine similarity, in the order of the shared object ids."""
        ...

    def vectors(self) -> Vectors:
        """The vectors, in the order of the shared object ids."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """Two sides that hold the same objects, in the same order, and how they are to be scored.

    k: neighbours to count now, one of `scoring.k`. threads: to count with. shelf: keeps what other pairs need again.
    """

    object_ids: tuple[str, ...]
    left: Side
    right: Side
    scoring: Scoring
    pair_digest: str
    k: int
    threads: int = 1
    shelf: Shelf = field(default_factory=Shelf.of_nothing)

    def permutations(self, *, slow: bool = False) -> Iterator[npt.NDArray[np.int64]]:
        """The relabellings of these objects, each `(n,)`: the same for every metric, and every pair of the objects.

        So the best of many pairs, such as those of two models' layers, has a null of its own: the best under each
        relabelling. slow: only the first `scoring.slow_permutations`, for a metric that is computed anew for each.
        """
        count, n = self.scoring.slow_permutations if slow else self.scoring.permutations, len(self.object_ids)
        labels = np.min_scalar_type(n - 1)
        if not self.shelf.has_room(count * n * labels.itemsize):
            return self._draw(count)

        def draw_all() -> npt.NDArray[np.unsignedinteger]:
            drawn = np.empty((count, n), dtype=labels)
            for place, permutation in enumerate(self._draw(count)):
                drawn[place] = permutation
            return drawn

        key = "permutations", self.scoring.seed, count, self.object_ids
        return (row.astype(np.int64) for row in self.shelf.keep(key, draw_all, lambda drawn: drawn.nbytes))

    def _draw(self, count: int) -> Iterator[npt.NDArray[np.int64]]:
        stream = open_stream("permutations", self.scoring.seed, id_set_digest(self.object_ids))
        return (stream.permutation(len(self.object_ids)) for _ in range(count))

    def resampling(self) -> np.random.Generator:
        """The stream of the pair's bootstrap draws, from its start."""
        return open_stream("bootstrap", self.scoring.seed, self.pair_digest)


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """What a metric answers. Fields as in `shared.outcomes.MetricResult`.

    per_object: `(n,) float64`, in the order of the object ids; None for a metric that is not a mean over objects.
    null: `(permutations,) float64`, the value under each relabelling, in their order; None for a metric without.
    """

    value: float
    chance: float | None = None
    null_mean: float | None = None
    null_std: float | None = None
    p_value: float | None = None
    threshold: float | None = None
    calibrated: float | None = None
    interval: Interval | None = None
    standard_error: float | None = None
    per_object: npt.NDArray[np.float64] | None = None
    null: npt.NDArray[np.float64] | None = None
    details: Mapping[str, float] = field(default_factory=dict)
