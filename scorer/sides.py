"""One side of a pair, read from the object store when a metric asks for it: `scorer.comparison.Side`.

Imports FAISS, through the neighbour search.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from scorer.comparison import Neighbours
from scorer.directions import one_direction, point_apart
from scorer.neighbour_cache import OnTable, Origin, find_or_make
from scorer.neighbours import SEARCH_VERSION, nearest
from scorer.pairing import id_set_digest
from scorer.search.grid import is_large
from scorer.shelf import Shelf, size_of_ids
from scorer.streams import open_stream
from shared import keys
from shared.embeddings import load_vectors
from shared.errors import NotReady
from shared.outcomes import Manifest
from shared.store import ObjectStore
from shared.vectors import Vectors


@dataclass(frozen=True, eq=False)
class StoredSide:
    """An embedding in the store, restricted to objects it shares with another.

    manifest_sha256: of the manifest as stored. rows: `(n,)`, where the shared `object_ids` stand in the embedding.
    most: the largest k that will be asked for. on_table: told of each neighbour table whether it was found in the
    store, when that is asked. products: a search of more is left to its own steps (`scorer.search`); None: none is.
    shelf: keeps tables for other pairs. What was read once is kept as long as this is.
    """

    store: ObjectStore
    manifest: Manifest
    manifest_sha256: str
    object_ids: tuple[str, ...]
    rows: npt.NDArray[np.int64]
    most: int
    on_table: OnTable
    products: int | None = None
    shelf: Shelf = field(default_factory=Shelf.of_nothing)

    def vectors(self) -> Vectors:
        """The vectors of the shared objects. Raises MissingPart, AlteredPart and the like, as `load_vectors` does."""
        return self._vectors

    def neighbours(self, k: int) -> Neighbours:
        """The k nearest neighbours, k <= most: the first columns of the one table that is searched for.

        It comes from the shelf, or from the store's cache, or is searched now and cached. Ties are settled by lots that
        follow from the embedding and the objects, and from no study. Raises NotReady for what is left to its own steps,
        TooFewObjects, ZeroVector, and DegenerateEmbedding when all vectors have one direction, in which nothing is
        nearer than anything else.
        """
        origin = replace(self._origin, k=k)
        return self.shelf.keep(origin, lambda: self._table.nearest(k), _size)

    @cached_property
    def _vectors(self) -> Vectors:
        return load_vectors(self.store, self.manifest).take(self.rows)

    @cached_property
    def _origin(self) -> Origin:
        return Origin(
            embedding=self.manifest.spec.digest,
            manifest=self.manifest_sha256,
            object_ids=self.object_ids,
            k=self.most,
            search_version=SEARCH_VERSION,
        )

    @cached_property
    def _table(self) -> Neighbours:
        def find() -> Neighbours:
            return find_or_make(self.store, self._origin, self._search, self.on_table)

        return self.shelf.keep(self._origin, find, _size)

    def _search(self) -> Neighbours:
        if self.products and is_large(len(self.object_ids), self.manifest.dimension, self.most, self.products):
            self.store.delete(keys.neighbours(self.manifest.spec.digest, id_set_digest(self.object_ids), self.most))
            raise NotReady(f"there is no neighbour table of {self.manifest.spec.label}", "", "it is made in steps")
        lots = open_stream("ties", 0, self.manifest.spec.digest, id_set_digest(self.object_ids))
        found = nearest(self.vectors(), self.most, lots)
        matrix = self.vectors().matrix
        if not point_apart(matrix[0], matrix):
            raise one_direction(self.manifest.spec.label)
        return found


def _size(neighbours: Neighbours) -> int:
    return neighbours.table.nbytes + size_of_ids(neighbours.object_ids)
