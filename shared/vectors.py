"""Vectors with their object ids, and the Parquet part files that hold them.

Imports numpy and pyarrow only. Ids travel with vectors: no function here takes or returns one without the other,
but `read_ids`, which has no use for the numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from shared.errors import BadTable, DuplicateObjectIds, NotFinite, one_line
from shared.names import LONGEST_OBJECT_ID, check_object_id

_IDS, _VECTOR, _NUMBERS = "object_id", "vector", "vector.list.element"
# Few pages: with pages of the default 1 MiB, 100,000 x 1,024 take several times as long to read (pyarrow 26).
_PAGE_BYTES = 1 << 26
_LONGEST_ID_BYTES = 4 + 4 * LONGEST_OBJECT_ID  # its length, then UTF-8
_ID_SLACK_BYTES = 1 << 20  # for headers; an id that is a little too long is told by its length


@dataclass(frozen=True, slots=True, eq=False)
class Vectors:
    """The vectors of n objects: row i of `matrix`, `(n, d) float32`, finite, d > 0, belongs to `object_ids[i]`.

    n may be 0: a part of which every object was dropped. The matrix is shown read-only, not copied where it
    already lies in row order. Raises NotFinite or DuplicateObjectIds, naming the first object concerned, BadName
    for an impossible object id, and ValueError for another shape or type.
    """

    object_ids: tuple[str, ...]
    matrix: npt.NDArray[np.float32]

    def __post_init__(self) -> None:
        if self.matrix.ndim != 2 or self.matrix.shape[1] == 0 or self.matrix.dtype != np.float32:
            raise ValueError(f"vectors are (n, d) float32 with d > 0, not {self.matrix.shape} {self.matrix.dtype}")
        if len(self.object_ids) != len(self.matrix):
            raise ValueError(f"{len(self.object_ids)} object ids for {len(self.matrix)} vectors")
        matrix = np.ascontiguousarray(self.matrix).view()
        matrix.flags.writeable = False
        object.__setattr__(self, "matrix", matrix)
        _check_ids(self.object_ids)
        finite = np.isfinite(matrix).all(axis=1)
        if not finite.all():
            first = self.object_ids[int(finite.argmin())]
            raise NotFinite(
                f"the vector of object {first!r} has NaN or infinity ({np.count_nonzero(~finite)} such objects)",
                "finite numbers",
                "look at this object's pixels or samples; the recipe should have repaired or dropped it",
            )

    def __len__(self) -> int:
        return len(self.object_ids)

    @property
    def dimension(self) -> int:
        """The length d of each vector."""
        return int(self.matrix.shape[1])

    def take(self, rows: npt.NDArray[np.integer]) -> Vectors:
        """The vectors of these rows, in this order; rows `(m,)` of integers, none twice."""
        return Vectors(tuple(self.object_ids[row] for row in rows.tolist()), self.matrix[rows])


def write_part(vectors: Vectors) -> bytes:
    """Parquet with columns `object_id: string` and `vector: fixed_size_list<float32>[d]`, in row order.

    The same vectors give the same bytes. Numbers are stored plain: bytes of a mantissa do not compress, and
    splitting them into streams saves a sixth of the space for several times the reading time.
    """
    schema = _schema(vectors.dimension)
    numbers = pa.array(vectors.matrix.reshape(-1))
    column = pa.FixedSizeListArray.from_arrays(numbers, type=schema.field(_VECTOR).type)
    table = pa.Table.from_arrays([pa.array(vectors.object_ids, pa.string()), column], schema=schema)
    sink = pa.BufferOutputStream()
    pq.write_table(
        table,
        sink,
        row_group_size=max(1, len(vectors)),
        use_dictionary=False,
        write_statistics=[_IDS],
        compression={_IDS: "zstd", _NUMBERS: "none"},
        data_page_size=_PAGE_BYTES,
    )
    data: bytes = sink.getvalue().to_pybytes()
    return data


def read_part(data: bytes) -> Vectors:
    """The vectors that `write_part` wrote, bit for bit. Raises BadTable, and what `Vectors` raises."""
    with _reading():
        table = _read_table(data, [_IDS, _VECTOR])
        column = table.column(_VECTOR).combine_chunks()
        matrix = column.flatten().to_numpy(zero_copy_only=True).reshape(len(table), column.type.list_size)
        ids = tuple(table.column(_IDS).to_pylist())
    return Vectors(ids, matrix)


def read_ids(data: bytes) -> tuple[str, ...]:
    """The object ids of a part, in row order. Raises BadTable, DuplicateObjectIds, BadName."""
    with _reading():
        ids = tuple(_read_table(data, [_IDS]).column(_IDS).to_pylist())
    _check_ids(ids)
    return ids


def concatenate(parts: Iterable[Vectors]) -> Vectors:
    """All parts under one another, in their order.

    Raises DuplicateObjectIds when two parts hold the same object, ValueError when there is no part or the
    dimensions differ.
    """
    parts = tuple(parts)
    ids = tuple(object_id for part in parts for object_id in part.object_ids)
    return Vectors(ids, np.concatenate([part.matrix for part in parts]))


def _schema(dimension: int) -> pa.Schema:
    element = pa.field("element", pa.float32(), nullable=False)
    return pa.schema(
        [
            pa.field(_IDS, pa.string(), nullable=False),
            pa.field(_VECTOR, pa.list_(element, dimension), nullable=False),
        ]
    )


def _read_table(data: bytes, columns: list[str]) -> pa.Table:
    file = pq.ParquetFile(pa.BufferReader(data))
    schema = file.schema_arrow
    vector = schema.field(1).type if len(schema) == 2 else pa.null()
    dimension = vector.list_size if pa.types.is_fixed_size_list(vector) else 0
    if dimension < 1 or not schema.equals(_schema(dimension)):
        raise BadTable(
            f"a part with columns {', '.join(f'{field.name}: {field.type}' for field in schema) or 'of no name'}",
            f"columns {_IDS}: string, {_VECTOR}: fixed_size_list<float32>[d], none of them nullable",
        )
    _check_size(file.metadata, dimension, len(data))
    return file.read(columns=columns)


def _check_size(footer: pq.FileMetaData, dimension: int, size: int) -> None:
    """Refuse, before memory is taken for it, a file that unpacks to more than we would have written."""
    rows = footer.num_rows
    numbers = rows * dimension * np.dtype(np.float32).itemsize
    if numbers > size:
        raise BadTable(
            f"a part of {size} bytes that says it holds {rows} vectors of {dimension} numbers",
            "numbers that are stored plain, four bytes each",
        )
    # of groups, not of their columns: to ask a damaged footer for those ends the process (pyarrow 26)
    unpacked = sum(footer.row_group(index).total_byte_size for index in range(footer.num_row_groups)) - numbers
    if unpacked > rows * (_LONGEST_ID_BYTES + dimension) + _ID_SLACK_BYTES:  # with a byte for the place of each number
        raise BadTable(f"a part with {unpacked} bytes for the ids of {rows} objects", f"{_LONGEST_ID_BYTES} for each")


@contextmanager
def _reading() -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise BadTable(f"a part that cannot be read: {one_line(error)}", "a whole Parquet file") from error


def _check_ids(object_ids: tuple[str, ...]) -> None:
    for object_id in object_ids:
        check_object_id(object_id)
    if len(set(object_ids)) == len(object_ids):
        return
    seen: set[str] = set()
    for object_id in object_ids:
        if object_id in seen:
            raise DuplicateObjectIds(
                f"object id {object_id!r} stands twice ({len(object_ids) - len(set(object_ids))} repeated)",
                "each object once",
                "choose an id column whose values are unique, or drop the repeated rows",
            )
        seen.add(object_id)
