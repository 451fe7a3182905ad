"""One side of a crossmatch: a table, or a folder of images, read in the same way.

Imports numpy, pyarrow and astropy.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from embedder.sky.cutouts import Cutout, cut_out
from embedder.sky.fits_images import find_images, is_per_area, parse_unit, read_header, read_image
from embedder.sky.frames import Reals
from embedder.sky.positions import PositionColumns, find_columns, read_positions
from embedder.sky.tables import open_table
from shared.errors import BadInput, BadTable, MissingColumn
from shared.names import check_name

FILE = "file"
Tell = Callable[[int], object]


@dataclass(frozen=True, slots=True)
class SideRequest:
    """What is asked of one side. Fields as the options of `samesky crossmatch` say."""

    path: Path
    name: str | None = None
    position: str | None = None
    frame: str | None = None
    id_column: str | None = None
    columns: tuple[str, ...] | None = None
    band: str | None = None
    unit: str | None = None


@dataclass(frozen=True, slots=True)
class Slab:
    """Some consecutive objects, from row `start` on. ra, dec: `(n,)` degrees, ICRS; batch: what is kept of them."""

    start: int
    ra: Reals
    dec: Reals
    batch: pa.RecordBatch


class TableSide:
    """A side that is a table. Its columns keep their names; the id column has no nulls."""

    def __init__(self, request: SideRequest, name: str) -> None:
        if request.band is not None or request.unit is not None:
            raise BadInput(f"{request.path.name} is a table, which has no band and no unit of pixels", "neither option")
        self.name, self._table = name, open_table(request.path)
        self._where: PositionColumns = find_columns(self._table, request.position, request.frame)
        self.id_column = request.id_column
        names = self._table.schema.names
        for column in (*(request.columns or ()), *([request.id_column] if request.id_column else [])):
            if column not in names:
                raise MissingColumn(
                    f"{self._table.name} has no column {column!r:.80}",
                    "a column of the table",
                    f"it has {', '.join(names):.400}",
                )
        kept = list(names if request.columns is None else request.columns)
        if self.id_column is not None:
            self._check_id_type(self.id_column)
            kept.append(self.id_column)
        self.kept = tuple(dict.fromkeys(kept))

    @property
    def rows(self) -> int:
        """Rows of the table."""
        return self._table.rows

    @property
    def schema(self) -> pa.Schema:
        """Of the columns that are kept."""
        return pa.schema([self._table.schema.field(name) for name in self.kept])

    @property
    def tellable(self) -> list[tuple[str, str]]:
        """Plain columns, with their units, that say something else than where and which an object is."""
        apart = {self._where.longitude, self._where.latitude, self.id_column}
        types = pa.types
        plain = (types.is_floating, types.is_integer, types.is_string, types.is_large_string, types.is_boolean)
        return [
            (field.name, self._table.units.get(field.name, ""))
            for field in self.schema
            if field.name not in apart and any(is_kind(field.type) for is_kind in plain)
        ]

    def read(self, *, positions_only: bool = False) -> Iterator[Slab]:
        """Yield all objects. Raises BadTable or NotFinite, naming file and row."""
        where, start = (self._where.longitude, self._where.latitude), 0
        kept = () if positions_only else self.kept
        for batch in self._table.read(tuple(dict.fromkeys([*where, *kept]))):
            ra, dec = read_positions(batch, start, self._where, self._table)
            if not positions_only and self.id_column is not None:
                self._check_ids(batch.column(batch.schema.get_field_index(self.id_column)), start)
            yield Slab(start, ra, dec, batch.select(list(kept)))
            start += batch.num_rows

    def place(self, row: int) -> str:
        """File, and row in it."""
        return self._table.place(row)

    def describe(self) -> dict[str, Any]:
        """The table, and where its positions came from."""
        return {
            "name": self.name,
            "path": self._table.name,
            "kind": "table",
            "rows": self.rows,
            "position": [self._where.longitude, self._where.latitude],
            "unit_from": self._where.unit_from,
            "frame": self._where.frame.value,
            "frame_from": self._where.frame_from,
        }

    def _check_id_type(self, column: str) -> None:
        kind = self._table.schema.field(column).type
        if not (pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_integer(kind)):
            raise BadTable(f"{self._table.name}: the id column {column} is a {kind!s:.80}", "strings or whole numbers")

    def _check_ids(self, ids: pa.Array, start: int) -> None:
        if ids.null_count:
            row = int(np.argmax(ids.is_null().to_numpy(zero_copy_only=False)))
            raise BadTable(
                f"{self.place(start + row)}: the id in column {self.id_column} is null",
                "a string or a whole number",
                "choose an id column without nulls, or none, for names from the positions",
            )


class ImageSide:
    """A side that is a folder of FITS images, in the order of their names; an object is at the centre of its image."""

    id_column = None

    def __init__(self, request: SideRequest, name: str, files: Sequence[Path], tell: Tell) -> None:
        for option, given in (
            ("position", request.position),
            ("frame", request.frame),
            ("id", request.id_column),
            ("columns", request.columns),
        ):
            if given is not None:
                raise BadInput(f"--left-{option} or --right-{option} is for a table; {request.path.name} is a folder")
        self.name, self._folder, self._unit = name, request.path.resolve(), request.unit
        self.band = request.band or name
        if request.unit is not None:
            parse_unit(request.unit, "the option")
        self._files = files
        self.unit, seen = "", []
        for file in self._files:
            header = read_header(file, request.unit)
            seen.append((header.ra, header.dec, header.scale))
            tell(len(seen))
            self.unit = self.unit or header.unit
            if header.unit != self.unit:
                raise BadTable(
                    f"{file.name} has the unit {header.unit}, and {self._files[0].name} has {self.unit}",
                    "one unit in all images of a folder",
                    "convert them, or put them into folders of their own",
                )
        self._ra, self._dec, self._scale = np.array(seen).T

    @property
    def rows(self) -> int:
        """Number of images."""
        return len(self._files)

    @property
    def schema(self) -> pa.Schema:
        """Of what is kept: the name of the file."""
        return pa.schema({FILE: pa.string()})

    @property
    def scales(self) -> tuple[float, float]:
        """Smallest and largest pixel scale, arcsec."""
        return float(self._scale.min()), float(self._scale.max())

    def read(self, *, positions_only: bool = False) -> Iterator[Slab]:
        """Yield all objects; what is kept of them is the name of the file."""
        files = pa.RecordBatch.from_pydict({FILE: pa.array([file.name for file in self._files], pa.string())})
        yield Slab(0, self._ra, self._dec, files.select([] if positions_only else [FILE]))

    def place(self, row: int) -> str:
        """The file."""
        return self._files[row].name

    def cut(self, row: int, ra: float, dec: float, size_arcsec: float, scale_arcsec: float | None) -> Cutout:
        """The patch of an image around a position in degrees, ICRS. Raises BadTable, naming the file."""
        return cut_out(read_image(self._files[row], self._unit), ra, dec, size_arcsec, scale_arcsec)

    def describe(self) -> dict[str, Any]:
        """The images, and what their headers say."""
        return {
            "name": self.name,
            "path": self._folder.name,
            "kind": "images",
            "rows": self.rows,
            "position": "the centre of each image, by its WCS",
            "band": self.band,
            "unit": self.unit,
            "unit_is": "brightness" if is_per_area(self.unit) else "flux per pixel",
            "scale_arcsec": list(self.scales),
        }


Side = TableSide | ImageSide


def open_side(request: SideRequest, tell: Tell = lambda done: None) -> Side:
    """The side at a path. tell: hears how many images have been looked at.

    Raises BadInput, BadTable, EmptyDataset, MissingColumn, NotFinite or UnknownName.
    """
    name = _name(request)
    try:
        images = find_images(request.path) if request.path.is_dir() else []
    except OSError as error:  # a name too long, a folder that may not be entered
        raise BadInput(
            f"{str(request.path)!r:.300} cannot be read: {error.strerror}", "a table, or a folder"
        ) from error
    return ImageSide(request, name, images, tell) if images else TableSide(request, name)


def _name(request: SideRequest) -> str:
    if request.name is not None:
        return check_name(request.name)
    try:
        stem = request.path.resolve().name.split(".")[0].lower()
    except RuntimeError as error:  # a loop of links
        raise BadInput(f"{str(request.path)!r:.300} cannot be read: {error}", "a table, or a folder") from error
    name = re.sub(r"[^a-z0-9_+-]+", "-", stem).strip("-_+")[:32]
    if not name:
        raise BadInput(f"{str(request.path)!r:.200} gives no name", "a-z, 0-9", "give --left-name or --right-name")
    return name
