"""Where the objects of a table are: which columns say it, in what unit and frame, and whether they can be believed.

Imports numpy, pyarrow and astropy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from astropy import units

from embedder.sky.astropy_tables import quiet
from embedder.sky.frames import Frame, Reals, find_frame, to_icrs
from embedder.sky.tables import Table
from shared.errors import BadInput, BadTable, MissingColumn, NotFinite

_REMEDY = "mend the row, or leave it out; the unit is that of the column, or degrees"

# The usual names, in any case, first come first taken; each with the frame that goes by it.
USUAL: tuple[tuple[str, str, Frame], ...] = (
    ("ra", "dec", Frame.ICRS),
    ("ra_icrs", "de_icrs", Frame.ICRS),
    ("raj2000", "dej2000", Frame.ICRS),
    ("_raj2000", "_dej2000", Frame.ICRS),
    ("alpha_j2000", "delta_j2000", Frame.ICRS),
    ("ra_deg", "dec_deg", Frame.ICRS),
    ("radeg", "decdeg", Frame.ICRS),
    ("radeg", "dedeg", Frame.ICRS),
    ("rab1950", "deb1950", Frame.FK4),
    ("glon", "glat", Frame.GALACTIC),
    ("l", "b", Frame.GALACTIC),
)


@dataclass(frozen=True, slots=True)
class PositionColumns:
    """The two columns, what turns their numbers into degrees, the frame, and what said so of unit and frame."""

    longitude: str
    latitude: str
    to_degrees: tuple[float, float]
    frame: Frame
    unit_from: str
    frame_from: str


def find_columns(table: Table, given: str | None, frame: str | None) -> PositionColumns:
    """The position columns of a table: the two that are `given` as `RA,DEC`, or the first usual pair it has.

    The frame is the one given, or that of the header, or the usual one of the names. Raises BadInput, BadTable,
    MissingColumn or UnknownName.
    """
    longitude, latitude, usual = _given_pair(table, given) if given else _usual_pair(table)
    for name in (longitude, latitude):
        kind = table.schema.field(name).type
        if not (pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_decimal(kind)):
            raise BadTable(f"{table.name}: column {name} is a {kind!s:.80}", "a column of numbers, in degrees")
    factors = (_degrees(table, longitude), _degrees(table, latitude))
    unit_from = "the column" if longitude in table.units else "assumed: deg"
    if frame is not None:
        return PositionColumns(longitude, latitude, factors, find_frame(frame), unit_from, "the option")
    if table.frame is not None:
        return PositionColumns(longitude, latitude, factors, find_frame(table.frame), unit_from, "the header")
    said = "assumed by the columns' names" if usual else "assumed"
    return PositionColumns(longitude, latitude, factors, usual or Frame.ICRS, unit_from, said)


def read_positions(batch: pa.RecordBatch, start: int, columns: PositionColumns, table: Table) -> tuple[Reals, Reals]:
    """Right ascension in [0, 360) and declination, degrees, ICRS, `(n,)`, of a batch whose first row is `start`.

    Raises NotFinite for a null, NaN or infinity, and BadTable for what is no direction; both name file and row.
    """
    longitude, latitude = (
        np.asarray(batch.column(batch.schema.get_field_index(name)).cast(pa.float64()).to_numpy(zero_copy_only=False))
        * factor
        for name, factor in zip((columns.longitude, columns.latitude), columns.to_degrees, strict=True)
    )
    for name, values, most in ((columns.longitude, longitude, 360.0), (columns.latitude, latitude, 90.0)):
        finite = np.isfinite(values)
        if not finite.all():
            where = f"{table.place(start + int(np.argmin(finite)))}: {name}"
            raise NotFinite(f"{where} is null, NaN or infinite", "a position of every object", _REMEDY)
        if (np.abs(values) > most).any():
            row = int(np.argmax(np.abs(values) > most))
            where = f"{table.place(start + row)}: {name}"
            raise BadTable(f"{where} is {values[row]:.12g} degrees", f"-{most:g} to {most:g} degrees", _REMEDY)
    ra, dec = to_icrs(longitude, latitude, columns.frame)
    return np.mod(ra, 360.0) % 360.0, dec  # twice: -1e-20 mod 360 is 360 itself


@dataclass(slots=True)
class Duplicates:
    """Sees whether a position stands twice, to the bit, in 8 bytes a row."""

    _hashes: list[npt.NDArray[np.uint64]] = field(default_factory=list)

    def see(self, ra: Reals, dec: Reals) -> None:
        """Take in some more positions."""
        self._hashes.append(_hash(ra, dec))

    def check(self, again: Callable[[], Iterable[tuple[Reals, Reals]]], place: Callable[[int], str]) -> None:
        """Raise BadTable, naming both rows, if two of the positions seen are the same.

        again: the same positions once more, for those whose hashes are equal.
        """
        hashes = np.concatenate(self._hashes) if self._hashes else np.zeros(0, np.uint64)
        self._hashes.clear()
        hashes.sort()
        doubled = np.unique(hashes[1:][hashes[1:] == hashes[:-1]])
        if not len(doubled):
            return
        seen: dict[tuple[float, float], int] = {}
        for row, position in self._among(again(), doubled):
            if position in seen:
                raise BadTable(
                    f"{place(row)}: the position {position[0]:.7f} {position[1]:+.7f} deg stands already in "
                    f"{place(seen[position])}",
                    "each position once",
                    "keep one row of each object",
                )
            seen[position] = row

    def _among(
        self, positions: Iterable[tuple[Reals, Reals]], doubled: npt.NDArray[np.uint64]
    ) -> Iterator[tuple[int, tuple[float, float]]]:
        start = 0
        for ra, dec in positions:
            for row in np.flatnonzero(np.isin(_hash(ra, dec), doubled)):
                pole = abs(dec[row]) == 90.0
                yield start + int(row), (0.0 if pole else float(ra[row]), float(dec[row]))
            start += len(ra)


def _hash(ra: Reals, dec: Reals) -> npt.NDArray[np.uint64]:
    """At a pole every right ascension is the same; nought has no sign."""
    east = np.where(np.abs(dec) == 90.0, 0.0, ra) + 0.0
    mixed = east.view(np.uint64) * np.uint64(0x9E3779B97F4A7C15) ^ (dec + 0.0).view(np.uint64)
    mixed ^= mixed >> np.uint64(32)
    mixed *= np.uint64(0xD6E8FEB86659FD93)
    return np.asarray(mixed ^ (mixed >> np.uint64(32)), np.uint64)


def _given_pair(table: Table, given: str) -> tuple[str, str, Frame | None]:
    names = [name.strip() for name in given.split(",")]
    if len(names) != 2 or not all(names) or names[0] == names[1]:
        raise BadInput(f"the position columns {given!r:.80}", "two names with a comma between, such as RA,DEC")
    for name in names:
        if name not in table.schema.names:
            raise MissingColumn(f"{table.name} has no column {name!r:.80}", "a column of the table", _has(table))
    usual = [frame for east, north, frame in USUAL if (east, north) == (names[0].lower(), names[1].lower())]
    return names[0], names[1], usual[0] if usual else None


def _usual_pair(table: Table) -> tuple[str, str, Frame]:
    named: dict[str, list[str]] = {}
    for name in table.schema.names:
        named.setdefault(name.lower(), []).append(name)
    for east, north, frame in USUAL:
        if east in named and north in named:
            if len(named[east]) > 1 or len(named[north]) > 1:
                raise BadTable(
                    f"{table.name} has columns {', '.join(named[east] + named[north])}",
                    "one pair of them",
                    "name the two by --left-position or --right-position RA,DEC",
                )
            return named[east][0], named[north][0], frame
    raise MissingColumn(
        f"{table.name} has no columns whose names say that they are positions",
        "such as ra and dec, RAJ2000 and DEJ2000, or glon and glat",
        f"name the two by --left-position or --right-position RA,DEC; {_has(table)}",
    )


def _has(table: Table) -> str:
    return f"it has {', '.join(table.schema.names)!s:.400}"


def _degrees(table: Table, name: str) -> float:
    """What turns a column's numbers into degrees."""
    said = table.units.get(name)
    if said is None:
        return 1.0
    try:
        with quiet():
            return float(units.Unit(said).to(units.deg))
    except (TypeError, ValueError) as error:
        raise BadTable(
            f"{table.name}: column {name} has the unit {said!r:.80}", "a unit of angle", "mend it, or take it away"
        ) from error
