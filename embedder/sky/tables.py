"""A survey's table, whatever its format, as a stream of Arrow batches. Imports pyarrow; astropy for what it reads.

Parquet, CSV and FITS are streamed; VOTable and ECSV are read whole, and so is Parquet with what only astropy
understands. Rows are counted from 0, as everywhere.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from types import MappingProxyType

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from embedder.sky import astropy_tables
from shared.errors import BadInput, BadTable, EmptyDataset, one_line

ROWS_AT_ONCE = 1 << 17
_NESTED_AT_ONCE = 64
_CSV_BLOCK = 1 << 24
_STREAM_BYTES = 1 << 22
_KINDS = "Parquet, CSV, FITS, VOTable or ECSV, by the end of its name (.parquet, .csv, .fits, .vot, .xml, .ecsv)"

Batches = Callable[[Sequence[str]], Iterator[pa.RecordBatch]]


@dataclass(frozen=True, slots=True)
class Table:
    """One survey's table.

    name: of its file or folder. files: each file's name and number of rows. schema: its columns. units: of the columns
    that say one. frame: RADESYS of its header, if it has one. batches: what reads them, as `read` does.
    """

    name: str
    files: tuple[tuple[str, int], ...]
    schema: pa.Schema
    batches: Batches
    units: Mapping[str, str]
    frame: str | None = None

    def read(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """The rows of some columns, in order. Raises BadTable for a file that cannot be read to its end."""
        stream = self.batches(columns)
        while True:
            with reading(self.name):
                batch = next(stream, None)
            if batch is None:
                return
            yield batch

    @property
    def rows(self) -> int:
        """Rows of all files."""
        return sum(rows for _, rows in self.files)

    def place(self, row: int) -> str:
        """Where a row stands, for people: file, and row in it."""
        edges = [0, *accumulate(rows for _, rows in self.files)]
        index = min(bisect_right(edges, row) - 1, len(self.files) - 1)
        return f"{self.files[index][0]}, row {row - edges[index]}"


def open_table(path: Path) -> Table:
    """The table in a file, or in all Parquet files of a folder, by name. Raises BadInput, BadTable or EmptyDataset."""
    suffix = _suffix(path)
    if path.is_dir():
        table = _open_parquet(path, sorted(path.glob("*.parquet")))
    elif not path.is_file():
        raise BadInput(f"there is no {str(path)!r:.300}", "a table, or a folder of FITS images")
    elif suffix in _OPENERS:
        with reading(path.name):
            table = _OPENERS[suffix](path)
    else:
        raise BadInput(f"{path.name!r:.200} is no kind of table that is known", _KINDS, "rename or convert it")
    doubled = sorted({name for name in table.schema.names if table.schema.names.count(name) > 1})
    if doubled:
        raise BadTable(f"{path.name} has several columns {doubled[0]}", "one of each name", "rename the others")
    if not table.rows:
        raise EmptyDataset(f"{path.name} has no rows", "at least one")
    return table


@contextmanager
def reading(name: str) -> Iterator[None]:
    """Turn what is raised at a file that cannot be read into BadTable."""
    try:
        with astropy_tables.quiet():
            yield
    except (pa.ArrowException, *astropy_tables.UNREADABLE) as error:
        reason = f"{one_line(error):.300}"
        raise BadTable(f"{name} cannot be read: {reason}", "a whole table", "write or download it again") from error


def _suffix(path: Path) -> str:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] == ".gz":
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


def _open_parquet(path: Path, files: Sequence[Path]) -> Table:
    footers, schema = [], None
    for file in files:
        with reading(file.name), pq.ParquetFile(file) as opened:
            footers.append((file.name, opened.metadata.num_rows))
            schema = schema or opened.schema_arrow
            if not schema.equals(opened.schema_arrow):
                raise BadTable(f"{file.name} has other columns than {files[0].name}", "the same columns in all files")
    if schema is None:
        raise EmptyDataset(f"{path.name} has neither Parquet files nor FITS images", "one of the two")

    def batches(columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        for file in files:
            with pq.ParquetFile(file, pre_buffer=False, buffer_size=_STREAM_BYTES) as opened:
                for batch in opened.iter_batches(_at_once(plain, columns), columns=list(columns), use_threads=False):
                    yield batch.select(list(columns)).cast(pa.schema([plain.field(name) for name in columns]))

    plain = pa.schema([(field.name, _plain_type(field.type)) for field in schema])
    return Table(path.name, tuple(footers), plain, batches, _parquet_units(schema))


def _plain_type(kind: pa.DataType) -> pa.DataType:
    """Batches of one column may have dictionaries of their own, which do not fit into one file."""
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _at_once(schema: pa.Schema, columns: Sequence[str]) -> int:
    """Fewer rows where some hold images."""
    nested = any(pa.types.is_nested(schema.field(name).type) for name in columns)
    return min(ROWS_AT_ONCE, _NESTED_AT_ONCE) if nested else ROWS_AT_ONCE


def _parquet_units(schema: pa.Schema) -> dict[str, str]:
    """Units in the fields' own metadata, and in the table's where astropy wrote it."""
    units = astropy_tables.units_of_yaml((schema.metadata or {}).get(b"table_meta_yaml"))
    for field in schema:
        said = (field.metadata or {}).get(b"unit")
        if said:
            units[field.name] = said.decode(errors="replace")
    return units


def _open_one_parquet(path: Path) -> Table:
    """One file. Where astropy wrote masked or compound columns, it is for astropy to put them together again."""
    with pq.ParquetFile(path) as opened:
        if b"__serialized_columns__" not in (opened.schema_arrow.metadata or {}).get(b"table_meta_yaml", b""):
            return _open_parquet(path, [path])
    return _open_whole("parquet")(path)


def _open_csv(path: Path) -> Table:
    def opened(columns: Sequence[str] | None = None) -> pa_csv.CSVStreamingReader:
        return pa_csv.open_csv(
            path,
            read_options=pa_csv.ReadOptions(block_size=_CSV_BLOCK, use_threads=False),
            convert_options=pa_csv.ConvertOptions(include_columns=columns, strings_can_be_null=True),
        )

    def batches(columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        with opened(list(columns)) as rows:
            yield from rows

    with opened() as reader:
        schema = reader.schema
    if len(set(schema.names)) < len(schema.names):
        return Table(path.name, ((path.name, 0),), schema, batches, {})
    rows = sum(batch.num_rows for batch in batches(schema.names[:1]))
    return Table(path.name, ((path.name, rows),), schema, batches, {})


def _open_fits(path: Path) -> Table:
    found = astropy_tables.look_at_fits(path)

    def batches(columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        return astropy_tables.stream_fits(path, found.extension, columns, ROWS_AT_ONCE)

    return Table(path.name, ((path.name, found.rows),), found.schema, batches, found.units, found.frame)


def _open_whole(form: str) -> Callable[[Path], Table]:
    def opened(path: Path) -> Table:
        table, units = astropy_tables.read_whole(path, form)

        def batches(columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
            yield from table.select(list(columns)).to_batches(ROWS_AT_ONCE)

        return Table(path.name, ((path.name, table.num_rows),), table.schema, batches, units)

    return opened


_OPENERS: Mapping[str, Callable[[Path], Table]] = MappingProxyType(
    {
        **dict.fromkeys((".parquet", ".pq"), _open_one_parquet),
        ".csv": _open_csv,
        **dict.fromkeys((".fits", ".fit", ".fts"), _open_fits),
        **dict.fromkeys((".vot", ".votable", ".xml"), _open_whole("votable")),
        ".ecsv": _open_whole("ascii.ecsv"),
    }
)
