"""One pair of embeddings, joined and ready to be measured: what a metric may look at, and what it answers.

Imports numpy and the contracts only, so that the registry of metrics can be read where FAISS is not installed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from scorer.streams import open_stream
from shared.contracts import Scoring
from shared.outcomes import Interval
from shared.vectors import Vectors


@dataclass(frozen=True, slots=True, eq=False)
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
    """Two sides that hold the same objects, in the same order, and how they are to be scored."""

    object_ids: tuple[str, ...]
    left: Side
    right: Side
    scoring: Scoring
    pair_digest: str

    def permutations(self) -> Iterator[npt.NDArray[np.int64]]:
        """The pair's relabellings, each `(n,)`: the same ones for every metric, and every time."""
        stream = open_stream("permutations", self.scoring.seed, self.pair_digest)
        return (stream.permutation(len(self.object_ids)) for _ in range(self.scoring.permutations))

    def resampling(self) -> np.random.Generator:
        """The stream of the pair's bootstrap draws, from its start."""
        return open_stream("bootstrap", self.scoring.seed, self.pair_digest)


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """What a metric answers. Fields as in `shared.outcomes.MetricResult`.

    per_object: `(n,) float64`, in the order of the object ids; None for a metric that is not a mean over objects.
    """

    value: float
    chance: float
    null_mean: float
    null_std: float
    p_value: float
    interval: Interval
    standard_error: float
    per_object: npt.NDArray[np.float64] | None
