"""The tables beside a score record, read by whoever did not write them: each holds what its record says, or is refused.

Imports `shared`, numpy and pyarrow only.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from shared.errors import BadTable, one_line
from shared.names import LONGEST_OBJECT_ID
from shared.outcomes import ScoreRecord

Floats = npt.NDArray[np.float64]
_IDS, _RESULT, _NULL = "object_id", "result", "null"
_HEADERS_BYTES = 1 << 20
_CELL_BYTES = 16  # a double and its levels, however it is encoded


def parse_objects(data: bytes, record: ScoreRecord) -> tuple[tuple[str, ...], dict[str, Floats]]:
    """Object ids, and the values of each result that has any, `(record.objects,)` each, by its label.

    Raises BadTable for another number of rows, other columns, an empty cell, an id that stands twice, and, before
    memory is taken for it, a file that unpacks to more than was written.
    """
    with _reading():
        file = pq.ParquetFile(pa.BufferReader(data))
        kinds = {field.name: field.type for field in file.schema_arrow}
        wanted = {_IDS: pa.string(), **{name: pa.float64() for name in kinds if name != _IDS}}
        _check_columns(file, wanted)
        if file.metadata.num_rows != record.objects:
            raise BadTable(f"{file.metadata.num_rows} rows", f"{record.objects}, one for each object")
        _check_size(file, record.objects * (4 * LONGEST_OBJECT_ID + _CELL_BYTES * len(kinds)))
        # each id that differs is unpacked once, so that no number of rows makes much of one long id
        table = pq.ParquetFile(pa.BufferReader(data), read_dictionary=[_IDS]).read()
        _check_cells(table)
        ids = table.column(_IDS).combine_chunks()
        longest = max((len(each) for each in ids.dictionary.to_pylist()), default=0)
        if longest > LONGEST_OBJECT_ID:
            raise BadTable(f"an object id of {longest} characters", f"at most {LONGEST_OBJECT_ID}")
        named = tuple(ids.to_pylist())
    if len(set(named)) != len(named):
        raise BadTable(f"{len(named)} rows of {len(set(named))} objects", "each object once")
    _check_labels(kinds.keys() - {_IDS}, record)
    return named, {name: table.column(name).to_numpy() for name in kinds if name != _IDS}


def parse_nulls(data: bytes, record: ScoreRecord) -> dict[str, Floats]:
    """The values of each result under relabelling, `(permutations,)` as its record says, by its label.

    Raises BadTable for other columns, an empty cell, a result twice, and another number of values.
    """
    with _reading():
        file = pq.ParquetFile(pa.BufferReader(data))
        _check_columns(file, {_RESULT: pa.string(), _NULL: pa.list_(pa.float64())})
        if file.metadata.num_rows > len(record.results):
            raise BadTable(f"the nulls of {file.metadata.num_rows} results", f"at most {len(record.results)}")
        _check_size(file, _CELL_BYTES * sum(result.permutations for result in record.results))
        table = file.read()
        _check_cells(table)
        labels = table.column(_RESULT).to_pylist()
        nulls = [each.values.to_numpy(zero_copy_only=False) for each in table.column(_NULL)]
    if len(set(labels)) != len(labels):
        raise BadTable(f"{len(labels)} nulls of {len(set(labels))} results", "each result once")
    _check_labels(labels, record)
    wanted = {result.label: result.permutations for result in record.results}
    for label, null in zip(labels, nulls, strict=True):
        if len(null) != wanted[label]:
            raise BadTable(f"{len(null)} values of {label} under relabelling", f"{wanted[label]}, as its score says")
    return dict(zip(labels, nulls, strict=True))


@contextmanager
def _reading() -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise BadTable(f"it cannot be read: {one_line(error):.200}", "a whole Parquet file") from error


def _check_columns(file: pq.ParquetFile, wanted: dict[str, pa.DataType]) -> None:
    schema = file.schema_arrow
    if [(field.name, field.type) for field in schema] != list(wanted.items()):
        told = ", ".join(f"{field.name}: {field.type}" for field in schema)
        raise BadTable(f"columns {one_line(told):.200}", ", ".join(f"{name}: {kind}" for name, kind in wanted.items()))


def _check_size(file: pq.ParquetFile, most: int) -> None:
    # of groups, not of their columns: to ask a damaged footer for those ends the process (pyarrow 26)
    footer = file.metadata
    unpacked = sum(footer.row_group(index).total_byte_size for index in range(footer.num_row_groups))
    if unpacked > most + _HEADERS_BYTES:
        raise BadTable(f"{unpacked} bytes of cells", f"at most {most + _HEADERS_BYTES}")


def _check_cells(table: pa.Table) -> None:
    inner = (column.combine_chunks().flatten() for column in table.columns if pa.types.is_list(column.type))
    if any(cells.null_count for cells in (*table.columns, *inner)):
        raise BadTable("empty cells", "a value in each")


def _check_labels(labels: Iterable[str], record: ScoreRecord) -> None:
    known = {result.label for result in record.results}
    for label in labels:
        if label not in known:
            raise BadTable(f"values of {label!r:.100}", "of a result of its score")
