"""What one step of a search found, as it is kept until the table is there.

Imports numpy, pyarrow and the neighbour search. A piece says of itself what it is a piece of, and what its SHA-256 is;
what is not so is refused, and made again.
"""

from __future__ import annotations

import hashlib

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from scorer.neighbours import Found
from scorer.search.grid import Step
from scorer.search.records import Search

_SIMILARITY, _ROW, _SHA256 = "similarity", "row", "sha256"
_SCHEMA = pa.schema([pa.field(_SIMILARITY, pa.float64(), False), pa.field(_ROW, pa.int32(), False)])


def write_piece(search: Search, step: Step, found: Found) -> bytes:
    """Parquet with columns `similarity: float64` and `row: int32`, row by row of what was found."""
    similarities, rows = found.similarities.reshape(-1), found.rows.reshape(-1).astype(np.int32)
    metadata = {**_metadata(search, step, found.rows.shape), _SHA256: _sha256(similarities, rows)}
    table = pa.Table.from_arrays([pa.array(similarities), pa.array(rows)], schema=_SCHEMA.with_metadata(metadata))
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd", use_dictionary=False, write_statistics=False)
    data: bytes = sink.getvalue().to_pybytes()
    return data


def read_piece(data: bytes, search: Search, step: Step) -> Found:
    """What `write_piece` wrote. Raises ValueError, saying why, for a piece of something else, and a damaged one."""
    try:
        table = pq.read_table(pa.BufferReader(data))
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"it cannot be read as Parquet: {error}") from error
    if not table.schema.equals(_SCHEMA):
        raise ValueError(f"its columns are {', '.join(f'{field.name}: {field.type}' for field in table.schema)}")
    metadata = {name.decode(): text.decode() for name, text in (table.schema.metadata or {}).items()}
    sha256 = metadata.pop(_SHA256, None)
    queries = search.grid.queries(step)
    shape = (queries.stop - queries.start, table.num_rows // (queries.stop - queries.start))
    if metadata != _metadata(search, step, shape) or table.num_rows != shape[0] * shape[1] or shape[1] > search.k:
        raise ValueError("it is of another step")
    similarities, rows = (table.column(name).to_numpy() for name in (_SIMILARITY, _ROW))
    if _sha256(similarities, rows) != sha256:
        raise ValueError("its numbers are not those that were written")
    return Found(similarities.reshape(shape), rows.reshape(shape).astype(np.int64))


def _metadata(search: Search, step: Step, shape: tuple[int, ...]) -> dict[str, str]:
    return {"search": search.digest, "step": step.name, "shape": " by ".join(map(str, shape))}


def _sha256(similarities: np.ndarray, rows: np.ndarray) -> str:
    hashed = hashlib.sha256(similarities.astype("<f8").tobytes())
    hashed.update(rows.astype("<i4").tobytes())
    return hashed.hexdigest()
