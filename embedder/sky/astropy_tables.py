"""Tables that astropy reads, as Arrow: FITS by row ranges, VOTable and ECSV whole.

Imports numpy, pyarrow and astropy.
"""

from __future__ import annotations

import struct
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import yaml
from astropy.io import fits
from astropy.io.votable.exceptions import VOTableSpecError
from astropy.table import Column, MaskedColumn
from astropy.table import Table as AstropyTable
from astropy.table.meta import YamlParseError, get_header_from_yaml
from astropy.table.serialize import represent_mixins_as_columns
from astropy.utils.exceptions import AstropyWarning

from shared.errors import BadTable

# What astropy raises at files that are not what their names say, or are cut short.
UNREADABLE = (
    OSError, EOFError, ValueError, TypeError, KeyError, IndexError, AttributeError, struct.error, MemoryError,
    OverflowError, fits.VerifyError, VOTableSpecError, YamlParseError, yaml.YAMLError,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class FitsTable:
    """What the header of a FITS table says. extension: its number in the file."""

    extension: int
    rows: int
    schema: pa.Schema
    units: Mapping[str, str]
    frame: str | None


@contextmanager
def quiet() -> Iterator[None]:
    """Astropy warns of headers that it has mended; what it could not mend is an error of its own."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AstropyWarning)
        yield


def look_at_fits(path: Path) -> FitsTable:
    """The first table of a FITS file. Raises BadTable where it has none; what astropy raises is for the caller."""
    with _opened(path) as opened:
        for extension, unit in enumerate(opened):
            if isinstance(unit, fits.BinTableHDU | fits.TableHDU):
                names = list(unit.columns.names)
                schema = _as_batch(path, unit, names, 0, 1).schema
                units = {column.name: str(column.unit) for column in unit.columns if column.unit}
                return FitsTable(extension, int(unit.header["NAXIS2"]), schema, units, _frame(path, unit.header))
    raise BadTable(f"{path.name} has no table", "a FITS file with a table", "images are given as a folder of them")


def stream_fits(path: Path, extension: int, columns: Sequence[str], at_once: int) -> Iterator[pa.RecordBatch]:
    """The rows of some columns, so many at a time; only these are in memory, unless the file is compressed."""
    start, rows = 0, 1
    while start < rows:
        # Opened anew for each stretch: the pages of a memory map stay in memory while it is open.
        with _opened(path) as opened:
            unit = opened[extension]
            rows = len(unit.data)
            batch = _as_batch(path, unit, columns, start, min(start + at_once, rows))
        yield batch
        start += at_once


def read_whole(path: Path, form: str) -> tuple[pa.Table, dict[str, str]]:
    """A VOTable or ECSV file, and the units of its columns. Raises BadTable, and what astropy raises."""
    table = represent_mixins_as_columns(AstropyTable.read(path, format=form))
    units = {name: str(table[name].unit) for name in table.colnames if table[name].unit is not None}
    arrays = [_as_arrow(path.name, name, table[name]) for name in table.colnames]
    return pa.table(arrays, names=list(table.colnames)), units


def units_of_yaml(text: bytes | None) -> dict[str, str]:
    """Units that astropy put beside a Parquet table's schema."""
    if text is None:
        return {}
    with quiet():
        header = get_header_from_yaml(text.decode().split("\n"))
    return {column["name"]: str(column["unit"]) for column in header["datatype"] if column.get("unit")}


@contextmanager
def _opened(path: Path) -> Iterator[fits.HDUList]:
    """The file is opened here, so that it is closed too where astropy cannot read it."""
    with path.open("rb") as file, fits.open(file, memmap=True) as opened:
        yield opened


def _frame(path: Path, header: fits.Header) -> str | None:
    """RADESYS of a header. Raises BadTable for an equinox that is not the frame's usual one."""
    said = header.get("RADESYS", header.get("RADECSYS"))
    if said is None:
        return None
    frame, equinox = str(said).strip().lower(), header.get("EQUINOX")
    usual = {"fk5": 2000.0, "fk4": 1950.0}.get(frame, equinox)
    if equinox != usual and equinox is not None:
        raise BadTable(f"{path.name} has {said} positions of equinox {equinox}", f"{usual}", "convert them first")
    return frame


def _as_batch(path: Path, unit: Any, columns: Sequence[str], start: int, stop: int) -> pa.RecordBatch:
    rows = unit.data[start:stop]
    arrays = []
    for name in columns:
        values = np.array(rows[name])  # a copy: the map is closed before the batch is used
        nothing = unit.columns[name].null
        if nothing is not None and values.dtype.kind in "iu":
            values = np.ma.masked_equal(values, nothing)
        arrays.append(_as_arrow(path.name, name, values))
    return pa.RecordBatch.from_arrays(arrays, names=list(columns))


def _as_arrow(file: str, name: str, column: Any) -> pa.Array:
    """A column of numbers, words, or arrays of them; masked is null. Raises BadTable for one of another kind."""
    values = np.ma.getdata(column) if not isinstance(column, Column | MaskedColumn) else np.ma.getdata(column.data)
    mask = np.ma.getmaskarray(column) if np.ma.isMaskedArray(column) else None
    try:
        if values.dtype.kind == "O":
            first = values[0] if len(values) else None
            kind = pa.list_(pa.from_numpy_dtype(first.dtype)) if isinstance(first, np.ndarray) else None
            hidden = np.zeros(len(values), bool) if mask is None else mask
            return pa.array([None if h else _plain(value) for value, h in zip(values, hidden, strict=True)], kind)
        if values.dtype.kind == "S":
            values = np.char.decode(values, "utf-8")
        values = np.ascontiguousarray(values.astype(values.dtype.newbyteorder("=")))
        array = pa.array(values.reshape(-1), mask=None if mask is None else mask.reshape(-1))
        for length in reversed(values.shape[1:]):
            array = pa.FixedSizeListArray.from_arrays(array, length)
    except (pa.ArrowException, UnicodeDecodeError, TypeError, ValueError) as error:
        raise BadTable(
            f"{file}: column {name} holds {values.dtype}, which cannot be kept",
            "numbers, words, or arrays of them",
            "choose the columns to keep by --left-columns or --right-columns",
        ) from error
    return array


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value
