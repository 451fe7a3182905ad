"""A table in several Parquet files, read by row range: what comes before is not read, nor are other columns.

Footers say which row group holds which rows; of a group, pages are read as a stream, so memory holds some
megabytes whatever the group's size. Local files and hub files are read by the same code.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from embedder.samples import Image, Observation, Sample, entry_columns
from embedder.sources.columns import choose_fields, read_observation
from embedder.sources.entries import check_columns, read_entry
from embedder.sources.splits import TableFiles
from embedder.sources.vectors import check_vector_column, measure_vector, read_vector
from shared.errors import BadInput, BadTable, MissingColumn, one_line
from shared.modalities import Modality

# Rows decoded at a time: 16 images of five bands of 160 x 160 pixels are 8 MB, 512 vectors of 4,096 numbers in double
# precision 16 MB; plain columns are a few bytes a row.
_ROWS_AT_ONCE = 16
_VECTORS_AT_ONCE = 512
_PLAIN_ROWS_AT_ONCE = 4096
_STREAM_BYTES = 1 << 22


_PLAIN = ("text", "numbers", "label")
_AT_ONCE = {**dict.fromkeys(_PLAIN, _PLAIN_ROWS_AT_ONCE), "vector": _VECTORS_AT_ONCE}


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What to read: the columns, chosen of a file with this schema and path, and so many rows at a time."""

    choose: Callable[[pa.Schema, str], list[str]]
    at_once: int


@dataclass(frozen=True, slots=True)
class _Slab:
    """Some consecutive rows: `batch` starts at `row_in_file` of `file`, which is `row` of the whole table."""

    file: str
    row_in_file: int
    row: int
    batch: pa.RecordBatch


class SkySize(NamedTuple):
    """How much of the sky an image covers, and how finely."""

    height: int
    width: int
    scale: float

    @classmethod
    def of(cls, image: Image) -> SkySize:
        """That of an image."""
        _, height, width = image.flux.shape
        return cls(height, width, image.scale)

    def is_about(self, other: SkySize) -> bool:
        """Whether both sides are the same within half a pixel of the coarser one."""
        slack = max(self.scale, other.scale) / 2
        heights, widths = (
            abs(ours * self.scale - theirs * other.scale)
            for ours, theirs in ((self.height, other.height), (self.width, other.width))
        )
        return heights <= slack and widths <= slack

    def __str__(self) -> str:
        return f"{self.width} x {self.height} pixels of {self.scale:g} arcsec"


class ParquetSource:
    """Rows of a list of Parquet files, in the order of the list. Satisfies `embedder.samples.Source`.

    id_column: strings or whole numbers; None: the row's position is the object id. Errors name file and row.
    """

    def __init__(self, files: TableFiles, id_column: str | None) -> None:
        self._files, self._id_column = files, id_column
        self._footers: list[pq.FileMetaData] = []
        self._whole_sizes: dict[str, SkySize] = {}

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
        """Yield the samples of rows `start <= row < stop`, in row order. Raises BadInput, naming file and row.

        Images that are shown whole must all cover as much of the sky as the first row's: else each would show another
        patch.
        """
        whole = self._whole_size(modality)
        wanted = _Wanted(
            lambda schema, file: self._sample_columns(schema, file, modality),
            _AT_ONCE.get(modality.kind, _ROWS_AT_ONCE),
        )
        for slab in self._slabs(wanted, start, stop):
            for offset in range(slab.batch.num_rows):
                with _located(slab.file, slab.row_in_file + offset):
                    observation = _observe(slab.batch, offset, modality)
                    if whole is not None and isinstance(observation, Image):
                        _refuse_other_size(observation, whole)
                    sample = Sample(self._object_id(slab, offset), slab.row + offset, observation)
                yield sample

    def bytes_of_row(self, modality: Modality) -> float:
        """Bytes of a row in a modality, with its id, in the first file. Raises BadTable, MissingColumn."""
        footer, file = self._footer(0), self._files.paths[0]
        names = self._sample_columns(footer.schema.to_arrow_schema(), file, modality)
        places = itertools.product(range(footer.num_row_groups), range(footer.num_columns))
        columns = (footer.row_group(group).column(place) for group, place in places)
        chosen = tuple(f"{name}." for name in names)
        sizes = (each.total_compressed_size for each in columns if f"{each.path_in_schema}.".startswith(chosen))
        return float(sum(sizes) / max(1, footer.num_rows))

    def read_types(self) -> dict[str, pa.DataType]:
        """The columns of the first file, each with what it holds."""
        with self._opened(self._files.paths[0], self._footer(0)) as table:
            return {field.name: field.type for field in table.schema_arrow}

    def measure_vectors(self, columns: Sequence[str]) -> dict[str, int]:
        """How many numbers a vector of each column has, as the first row tells. Raises BadTable, MissingColumn."""

        def choose(schema: pa.Schema, file: str) -> list[str]:
            for column in columns:
                self._check_vectors(schema, column, file)
            return list(columns)

        slab = next(self._slabs(_Wanted(choose, 1), 0, 1))
        with _located(slab.file, slab.row_in_file):
            return {
                name: measure_vector(slab.batch.column(slab.batch.schema.names.index(name)), 0, name)
                for name in columns
            }

    def _whole_size(self, modality: Modality) -> SkySize | None:
        """The size on the sky of the first row's image, where the modality shows images whole; else None."""
        if modality.kind != "image" or not modality.bands or modality.field_arcsec is not None:
            return None
        if modality.digest not in self._whole_sizes:
            wanted = _Wanted(lambda schema, file: self._sample_columns(schema, file, modality), 1)
            for slab in self._slabs(wanted, 0, 1):
                with _located(slab.file, slab.row_in_file):
                    first = _observe(slab.batch, 0, modality)
                if isinstance(first, Image):
                    self._whole_sizes[modality.digest] = SkySize.of(first)
        return self._whole_sizes.get(modality.digest)

    def read_ids(self, stop: int) -> Iterator[tuple[str, int, str]]:
        """Yield file name, row in the file, and object id of the first `stop` rows. Reads the id column alone."""
        if self._id_column is None:
            raise ValueError("without an id column, the object id is the row's position")
        for slab in self._slabs(_Wanted(self._id_columns, _PLAIN_ROWS_AT_ONCE), 0, stop):
            for offset in range(slab.batch.num_rows):
                with _located(slab.file, slab.row_in_file + offset):
                    object_id = self._object_id(slab, offset)
                yield _short(slab.file), slab.row_in_file + offset, object_id

    def _slabs(self, wanted: _Wanted, start: int, stop: int) -> Iterator[_Slab]:
        first = 0
        for index in range(len(self._files.paths)):
            if first >= stop:
                return
            rows = self._footer(index).num_rows
            if first + rows > start:
                yield from self._file_slabs(index, wanted, max(start - first, 0), min(stop - first, rows), first)
            first += rows

    def _file_slabs(self, index: int, wanted: _Wanted, start: int, stop: int, first: int) -> Iterator[_Slab]:
        file, footer = self._files.paths[index], self._footer(index)
        edges = [0, *itertools.accumulate(footer.row_group(group).num_rows for group in range(footer.num_row_groups))]
        groups = [group for group in range(footer.num_row_groups) if edges[group] < stop and edges[group + 1] > start]
        if not groups:
            return
        row = edges[groups[0]]
        with self._opened(file, footer) as table:
            columns = wanted.choose(table.schema_arrow, file)
            for batch in table.iter_batches(wanted.at_once, row_groups=groups, columns=columns):
                low, high = max(start - row, 0), min(stop - row, batch.num_rows)
                if low < high:
                    yield _Slab(file, row + low, first + row + low, batch.slice(low, high - low))
                row += batch.num_rows
                if row >= stop:  # else the rest of the row group would be read for nothing
                    return

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
        if modality.kind in _PLAIN:
            fields = list(entry_columns(modality))
            for name in fields:
                _require(schema, name, file)
            check_columns(schema, modality)
        elif modality.kind == "vector":
            self._check_vectors(schema, modality.column, file)
            fields = [modality.column]
        else:
            _require(schema, modality.column, file)
            fields = choose_fields(schema.field(modality.column), modality)
        return list(dict.fromkeys([*fields, *self._id_columns(schema, file)]))

    def _check_vectors(self, schema: pa.Schema, column: str, file: str) -> None:
        _require(schema, column, file)
        try:
            check_vector_column(schema.field(column))
        except BadTable as error:
            raise BadTable(f"{_short(file)}: {error.wrong}", error.expected, error.remedy) from error

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
    if schema.names.count(column) > 1:
        raise BadTable(f"{_short(file)} has several columns {column}", "one of each name", "rename the others")


def _observe(batch: pa.RecordBatch, row: int, modality: Modality) -> Observation:
    if modality.kind in _PLAIN:
        return read_entry(batch, row, modality)
    if modality.kind == "vector":
        return read_vector(batch.column(batch.schema.get_field_index(modality.column)), row, modality)
    return read_observation(batch.column(batch.schema.get_field_index(modality.column)), row, modality)


def _refuse_other_size(image: Image, whole: SkySize) -> None:
    found = SkySize.of(image)
    if not found.is_about(whole):
        raise BadTable(
            f"an image of {found}",
            f"{whole}, as in the first row, since images are shown whole",
            "name a field_arcsec in the modality, which every image covers",
        )


def _short(file: str) -> str:
    return PurePosixPath(file).name


@contextmanager
def _located(file: str, row: int) -> Iterator[None]:
    """Say of a bad value in which file and row it stands."""
    try:
        yield
    except BadInput as error:
        raise type(error)(f"{_short(file)}, row {row}: {error.wrong}", error.expected, error.remedy) from error
    except UnicodeDecodeError as error:
        raise BadTable(f"{_short(file)}, row {row}: a string that is not UTF-8", "text") from error
