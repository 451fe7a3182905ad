"""Where the objects of a search stand in its embedding, and their vectors, read block by block from the store.

Imports numpy, pyarrow and `shared`. Blocks are of the objects in the order in which the embedding stores them, so that
a block lies in few parts, and each part is read by few steps; rows that are told are those of the sorted object ids.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from shared.embeddings import read_parts
from shared.errors import AlteredPart
from shared.outcomes import Manifest
from shared.store import ObjectStore
from shared.vectors import Vectors

_IDS, _ROW = "object_id", "row"
Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Places:
    """The objects of a search.

    object_ids: `(n,)` strings, sorted by code point. stored: `(n,)`, the row of each in the embedding. order: `(n,)`,
    the rows of `object_ids` as the embedding stores them.
    """

    object_ids: pa.StringArray
    stored: Rows
    order: Rows

    @classmethod
    def of(cls, object_ids: pa.StringArray, stored: Rows) -> Places:
        """The places of these objects, of which the embedding holds each in another row."""
        return cls(object_ids, stored, np.argsort(stored))

    def ids(self, rows: Rows) -> tuple[str, ...]:
        """The object ids of some rows."""
        return tuple(self.object_ids.take(pa.array(rows)).to_pylist())

    def read(self, store: ObjectStore, manifest: Manifest, block: slice) -> tuple[Vectors, Rows]:
        """The vectors of one block of the order, as they are stored, with their rows among the sorted ids.

        Raises what `read_parts` raises, and AlteredPart when the embedding holds other objects there.
        """
        rows = self.order[block]
        vectors = read_rows(store, manifest, self.stored[rows])
        if vectors.object_ids != self.ids(rows):
            raise AlteredPart(
                f"the objects of a search are not where they were in {manifest.spec.label}",
                "an embedding that stays as it was declared whole",
                "`samesky retry` of the study makes again what is damaged",
            )
        return vectors, rows


def read_rows(store: ObjectStore, manifest: Manifest, rows: Rows) -> Vectors:
    """The vectors of some rows of an embedding. rows: increasing. Reads the parts that hold them, one by one.

    Memory: the vectors, once, and the largest part. Raises what `read_parts` raises.
    """
    matrix, ids = np.empty((len(rows), manifest.dimension), dtype=np.float32), list[str]()
    for part, at in zip(manifest.parts, accumulate((part.rows for part in manifest.parts), initial=0), strict=False):
        first, last = np.searchsorted(rows, [at, at + part.rows])
        if first < last:
            (vectors,) = read_parts(store, manifest, [part])
            matrix[first:last] = vectors.matrix[rows[first:last] - at]
            ids += [vectors.object_ids[row] for row in (rows[first:last] - at).tolist()]
    return Vectors(tuple(ids), matrix)


def write_places(object_ids: tuple[str, ...], stored: Rows) -> bytes:
    """Parquet with columns `object_id: string`, sorted, and `row: int64`."""
    sink = pa.BufferOutputStream()
    pq.write_table(
        pa.table({_IDS: pa.array(object_ids, pa.string()), _ROW: pa.array(stored)}), sink, compression="zstd"
    )
    data: bytes = sink.getvalue().to_pybytes()
    return data


def read_places(data: bytes) -> Places:
    """What `write_places` wrote. data: of the SHA-256 that a search names."""
    table = pq.read_table(pa.BufferReader(data))
    ids, rows = (table.column(name).combine_chunks() for name in (_IDS, _ROW))
    return Places.of(ids, rows.to_numpy(zero_copy_only=False))
