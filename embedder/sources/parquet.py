"""A table in several Parquet files, read by row range: what comes before is not read, nor are other columns.

Footers say which row group holds which rows; of a group, pages are read as a stream, so memory holds some
megabytes whatever the group's size. Local files and hub files are read by the same code.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from embedder.samples import Sample
from embedder.sources.columns import choose_fields, read_observation
from embedder.sources.splits import TableFiles
from shared.contracts import Modality
from shared.errors import BadInput, BadTable, MissingColumn, one_line

# Rows decoded at a time: 16 images of five bands of 160 x 160 pixels are 8 MB.
_ROWS_AT_ONCE = 16
_STREAM_BYTES = 1 << 22


# The columns to read, of a file with this schema and path.
_Chooser = Callable[[pa.Schema, str], list[str]]


@dataclass(frozen=True, slots=True)
class _Slab:
    """Some consecutive rows: `batch` starts at `row_in_file` of `file`, which is `row` of the whole table."""

    file: str
    row_in_file: int
    row: int
    batch: pa.RecordBatch


class ParquetSource:
    """Rows of a list of Parquet files, in the order of the list. Satisfies `embedder.samples.Source`.

    id_column: strings or whole numbers; None: the row's position is the object id. Errors name file and row.
    """

    def __init__(self, files: TableFiles, id_column: str | None) -> None:
        self._files, self._id_column = files, id_column
        self._footers: list[pq.FileMetaData] = []

    @property
    def rows(self) -> int:
        """Number of rows of all files."""
        return self.count_rows(None)

    def count_rows(self, limit: int | None) -> int:
        """Number of rows, or `limit` if there are more; no more footers are read than that takes."""
        total = 0
        for index in range(len(self._files.paths)):
            total += self._footer(index).num_rows
            if limit is not None and total >= limit:
                return limit
        return total

    def read(self, modality: Modality, start: int, stop: int) -> Iterator[Sample]:
        """Yield the samples of rows `start <= row < stop`, in row order. Raises BadInput, naming file and row."""
        for slab in self._slabs(lambda schema, file: self._sample_columns(schema, file, modality), start, stop):
            structs = slab.batch.column(slab.batch.schema.get_field_index(modality.column))
            for offset in range(slab.batch.num_rows):
                with _located(slab.file, slab.row_in_file + offset):
                    observation = read_observation(structs, offset, modality)
                    sample = Sample(self._object_id(slab, offset), slab.row + offset, observation)
                yield sample

    def read_ids(self, stop: int) -> Iterator[tuple[str, int, str]]:
        """Yield file name, row in the file, and object id of the first `stop` rows. Reads the id column alone."""
        if self._id_column is None:
            raise ValueError("without an id column, the object id is the row's position")
        for slab in self._slabs(self._id_columns, 0, stop):
            for offset in range(slab.batch.num_rows):
                with _located(slab.file, slab.row_in_file + offset):
                    object_id = self._object_id(slab, offset)
                yield _short(slab.file), slab.row_in_file + offset, object_id

    def labels(self, start: int, stop: int) -> Mapping[str, npt.NDArray[np.generic]]:
        """Every column of plain numbers or strings, rows `start <= row < stop`; NaN or None where unknown."""
        slabs = list(self._slabs(_plain_columns, start, stop))
        if not slabs:
            return {}
        table = pa.Table.from_batches([slab.batch for slab in slabs])
        return {name: table.column(name).to_numpy() for name in table.column_names}

    def _slabs(self, choose: _Chooser, start: int, stop: int) -> Iterator[_Slab]:
        first = 0
        for index in range(len(self._files.paths)):
            if first >= stop:
                return
            rows = self._footer(index).num_rows
            if first + rows > start:
                yield from self._file_slabs(index, choose, max(start - first, 0), min(stop - first, rows), first)
            first += rows

    def _file_slabs(self, index: int, choose: _Chooser, start: int, stop: int, first: int) -> Iterator[_Slab]:
        file, footer = self._files.paths[index], self._footer(index)
        edges = [0, *itertools.accumulate(footer.row_group(group).num_rows for group in range(footer.num_row_groups))]
        groups = [group for group in range(footer.num_row_groups) if edges[group] < stop and edges[group + 1] > start]
        if not groups:
            return
        row = edges[groups[0]]
        with self._opened(file, footer) as table:
            columns = choose(table.schema_arrow, file)
            for batch in table.iter_batches(_ROWS_AT_ONCE, row_groups=groups, columns=columns):
                low, high = max(start - row, 0), min(stop - row, batch.num_rows)
                if low < high:
                    yield _Slab(file, row + low, first + row + low, batch.slice(low, high - low))
                row += batch.num_rows

    def _footer(self, index: int) -> pq.FileMetaData:
        while len(self._footers) <= index:
            with self._opened(self._files.paths[len(self._footers)]) as table:
                self._footers.append(table.metadata)
        return self._footers[index]

    @contextmanager
    def _opened(self, file: str, footer: pq.FileMetaData | None = None) -> Iterator[pq.ParquetFile]:
        # pyarrow tells of a broken file by ArrowInvalid or by a plain OSError; the guard has taken out the hub's.
        try:
            with self._files.guard(), self._files.filesystem.open(file, "rb", cache_type="none") as handle:
                yield pq.ParquetFile(handle, metadata=footer, buffer_size=_STREAM_BYTES, pre_buffer=False)
        except (pa.ArrowException, OSError) as error:
            remedy = "write or download it again"
            raise BadTable(
                f"{_short(file)} cannot be read: {one_line(error)}", "a whole Parquet file", remedy
            ) from error

    def _sample_columns(self, schema: pa.Schema, file: str, modality: Modality) -> list[str]:
        _require(schema, modality.column, file)
        fields = choose_fields(schema.field(modality.column), modality)
        return [*fields, *self._id_columns(schema, file)]

    def _id_columns(self, schema: pa.Schema, file: str) -> list[str]:
        if self._id_column is None:
            return []
        _require(schema, self._id_column, file)
        return [self._id_column]

    def _object_id(self, slab: _Slab, offset: int) -> str:
        if self._id_column is None:
            return str(slab.row + offset)
        value = slab.batch.column(slab.batch.schema.get_field_index(self._id_column))[offset].as_py()
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise BadTable(f"the object id in column {self._id_column} is {value!r:.80}", "a string or a whole number")
        return str(value)


def _require(schema: pa.Schema, column: str, file: str) -> None:
    if column not in schema.names:
        raise MissingColumn(
            f"{_short(file)} has no column {column}",
            "a column of the table",
            f"it has {', '.join(schema.names)}",
        )


def _plain_columns(schema: pa.Schema, file: str) -> list[str]:
    del file
    return [field.name for field in schema if _is_plain(field.type)]


def _is_plain(kind: pa.DataType) -> bool:
    number = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)
    return bool(number or pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _short(file: str) -> str:
    return PurePosixPath(file).name


@contextmanager
def _located(file: str, row: int) -> Iterator[None]:
    """Say of a bad value in which file and row it stands."""
    try:
        yield
    except BadInput as error:
        raise type(error)(f"{_short(file)}, row {row}: {error.wrong}", error.expected, error.remedy) from error
