"""Neighbour tables kept in the object store, so that an embedding is searched once for all its pairs.

Imports `shared`, numpy and pyarrow. What is read is believed only after it has been checked: a table that is not
what was written, or was made from other vectors, is as good as none.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from scorer.comparison import Neighbours
from scorer.pairing import id_set_digest
from shared import keys
from shared.records import read_bytes
from shared.store import ObjectStore

_log = logging.getLogger(__name__)
_IDS, _NEIGHBOURS, _SHA256 = "object_id", "neighbours", "sha256"
OnTable = Callable[[bool], None]
"""Told of every neighbour table that is used whether it was found in the store."""


def ignore_table(found: bool) -> None:
    """For whoever does not count."""


@dataclass(frozen=True, slots=True)
class Origin:
    """What a table follows from. embedding: digest of the specification; manifest: SHA-256 of what was read."""

    embedding: str
    manifest: str
    object_ids: tuple[str, ...]
    k: int
    search_version: int

    @property
    def key(self) -> str:
        """Where the table is kept."""
        return keys.neighbours(self.embedding, id_set_digest(self.object_ids), self.k)


def find_or_make(
    store: ObjectStore, origin: Origin, make: Callable[[], Neighbours], on_table: OnTable = ignore_table
) -> Neighbours:
    """The table of this origin from the store; or else from `make`, and then it is stored.

    on_table: told which of the two it was. A stored table that cannot be believed is logged, and replaced.
    Raises what `make` raises.
    """
    data = read_bytes(store, origin.key)
    if data is not None:
        try:
            neighbours = read_table(data, origin)
        except ValueError as error:
            _log.warning("%s will be made again: %s", origin.key, error)
        else:
            on_table(True)
            return neighbours
    neighbours = make()
    store.put(origin.key, write_table(neighbours, origin))
    on_table(False)
    return neighbours


def write_table(neighbours: Neighbours, origin: Origin) -> bytes:
    """Parquet with columns `object_id: string` and `neighbours: fixed_size_list<int32>[k]`, rows of this table.

    Its metadata say what it follows from, and the SHA-256 of its ids and numbers.
    """
    ids = pa.array(neighbours.object_ids, pa.string())
    numbers = pa.FixedSizeListArray.from_arrays(pa.array(neighbours.table.reshape(-1)), type=_schema(origin.k)[1].type)
    metadata = {**_metadata(origin), _SHA256: _sha256(neighbours)}
    table = pa.Table.from_arrays([ids, numbers], schema=_schema(origin.k).with_metadata(metadata))
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd", use_dictionary=False)
    data: bytes = sink.getvalue().to_pybytes()
    return data


def read_table(data: bytes, origin: Origin) -> Neighbours:
    """The table that `write_table` wrote. Raises ValueError, saying why, for another origin's or a damaged one."""
    try:
        table = pq.read_table(pa.BufferReader(data))
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"it cannot be read as Parquet: {error}") from error
    if not table.schema.equals(_schema(origin.k)):
        raise ValueError(f"its columns are {', '.join(f'{field.name}: {field.type}' for field in table.schema)}")
    metadata = {name.decode(): text.decode() for name, text in (table.schema.metadata or {}).items()}
    sha256 = metadata.pop(_SHA256, None)
    if metadata != _metadata(origin) or tuple(table.column(_IDS).to_pylist()) != origin.object_ids:
        raise ValueError("it was made from something else")
    numbers = table.column(_NEIGHBOURS).combine_chunks().flatten().to_numpy(zero_copy_only=False)
    neighbours = Neighbours(origin.object_ids, numbers.reshape(-1, origin.k).astype(np.int32))
    if _sha256(neighbours) != sha256:
        raise ValueError("its numbers are not those that were written")
    return neighbours


def _schema(k: int) -> pa.Schema:
    element = pa.field("element", pa.int32(), nullable=False)
    return pa.schema(
        [
            pa.field(_IDS, pa.string(), nullable=False),
            pa.field(_NEIGHBOURS, pa.list_(element, k), nullable=False),
        ]
    )


def _metadata(origin: Origin) -> dict[str, str]:
    return {
        "embedding": origin.embedding,
        "manifest_sha256": origin.manifest,
        "k": str(origin.k),
        "search_version": str(origin.search_version),
    }


def _sha256(neighbours: Neighbours) -> str:
    hashed = hashlib.sha256("\n".join(neighbours.object_ids).encode())
    hashed.update(neighbours.table.astype("<i4").tobytes())
    return hashed.hexdigest()
