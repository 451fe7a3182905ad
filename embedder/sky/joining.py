"""The table of matched objects: which columns it has, and the rows of both sides put into it.

Imports numpy and pyarrow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from embedder.sky.designations import designate
from embedder.sky.frames import Reals, tangent_offsets
from embedder.sky.images import IMAGE, as_structs
from embedder.sky.matching import Fate, Matches, Nearest, Rows, to_arcsec
from embedder.sky.row_files import PartFiles, SetAside
from embedder.sky.sides import FILE, ImageSide, Side, Slab
from shared.errors import BadInput, BadName, BadTable, DuplicateObjectIds
from shared.names import check_object_id

PLAIN_GROUP, IMAGE_GROUP = 1 << 16, 64  # rows in a row group
_PLAIN_FILE, _IMAGE_FILE = 1 << 20, 1 << 12  # rows in a file
_OWN = pa.schema(
    {
        "object_id": pa.string(),
        "ra": pa.float64(),
        "dec": pa.float64(),
        "separation_arcsec": pa.float64(),
        "offset_east_arcsec": pa.float64(),
        "offset_north_arcsec": pa.float64(),
        "ambiguous": pa.bool_(),
    }
)
Tell = Callable[[int], object]


@dataclass(frozen=True, slots=True)
class Framing:
    """How images are cut: arcsec on a side, and arcsec per pixel, or None for each image's own."""

    size_arcsec: float
    scale_arcsec: float | None


@dataclass(slots=True)
class Tally:
    """What the report says of the matched rows. separations, east, north: arcsec, one array per batch."""

    separations: list[Reals] = field(default_factory=list)
    east: list[Reals] = field(default_factory=list)
    north: list[Reals] = field(default_factory=list)
    ambiguous: int = 0
    incomplete: dict[str, int] = field(default_factory=dict)  # cutouts with pixels outside their image, by side


@dataclass(frozen=True, slots=True)
class SideFound:
    """One side with what matching found of it."""

    side: Side
    fate: npt.NDArray[np.int8]
    nearest: Nearest


def joined_schema(left: Side, right: Side) -> pa.Schema:
    """Columns of the matched table. Raises BadInput where two would have one name."""
    fields = list(_OWN)
    for side in (left, right):
        fields.append(pa.field(f"{side.name}_candidates", pa.int32()))
        fields.append(pa.field(f"{side.name}_row", pa.int64()))
    for side in (left, right):
        if isinstance(side, ImageSide):
            fields.append(pa.field(f"{side.name}_image", IMAGE))
        fields += [pa.field(f"{side.name}_{one.name}", one.type) for one in side.schema]
    names = [one.name for one in fields]
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise BadInput(
            f"two columns would be named {doubled[0]}",
            "columns of different names",
            "give other names by --left-name and --right-name, or choose columns",
        )
    return pa.schema(fields)


def matched_slabs(one: SideFound, unmatched: Path, tell: Tell) -> Iterator[tuple[Rows, Slab]]:
    """Rows and contents of a side's matched objects, stretch by stretch; all others go to a file on the way."""
    known = FILE if isinstance(one.side, ImageSide) else one.side.id_column
    kept = [] if known is None else [one.side.schema.field(known).with_name("id")]
    schema = pa.schema(
        [
            pa.field("row", pa.int64()),
            *kept,
            pa.field("ra", pa.float64()),
            pa.field("dec", pa.float64()),
            pa.field("candidates", pa.int32()),
            pa.field("reason", pa.string()),
        ]
    )
    words = np.array([fate.name.lower() for fate in Fate])
    with PartFiles(unmatched, schema, PLAIN_GROUP, 1 << 62) as writer:
        for slab in one.side.read():
            rows = np.arange(slab.start, slab.start + len(slab.ra))
            tell(len(rows))
            fate = one.fate[rows]
            apart = np.flatnonzero(fate != Fate.MATCHED)
            ids = [] if known is None else [slab.batch.column(slab.batch.schema.get_field_index(known)).take(apart)]
            candidates = one.nearest.candidates[rows[apart]]
            values = [rows[apart], *ids, slab.ra[apart], slab.dec[apart], candidates, words[fate[apart]]]
            writer.add(pa.RecordBatch.from_arrays([pa.array(value) for value in values], schema=schema))
            matched = np.flatnonzero(fate == Fate.MATCHED)
            if len(matched):
                kept_rows = slab.batch.take(pa.array(matched))
                yield rows[matched], Slab(slab.start, slab.ra[matched], slab.dec[matched], kept_rows)


class Joiner:
    """Puts the rows of both sides together, left row after left row."""

    def __init__(self, left: SideFound, right: SideFound, matches: Matches, framing: Framing | None) -> None:
        self._left, self._right, self._matches, self._framing = left, right, matches, framing
        self.schema = joined_schema(left.side, right.side)
        self.tally = Tally()
        self._seen: dict[str, int] = {}

    @property
    def group(self) -> int:
        """Rows in a row group: fewer where images are."""
        plain = not any(pa.types.is_nested(one.type) for one in self.schema)
        return PLAIN_GROUP if plain else IMAGE_GROUP

    def write(self, folder: Path, unmatched: tuple[Path, Path], tell: Tell) -> None:
        """Write the matched table into `folder`, and each side's other rows into theirs.

        Raises BadTable or DuplicateObjectIds for ids that cannot be used, and what reading the sides raises.
        """
        scratch = folder.with_name(".scratch")
        aside = self._set_aside(scratch, unmatched[1], tell)
        right_rows = np.sort(self._matches.right)
        most = _PLAIN_FILE if self.group == PLAIN_GROUP else _IMAGE_FILE
        done = 0
        with PartFiles(folder, self.schema, self.group, most) as writer:
            for rows, slab in matched_slabs(self._left, unmatched[0], tell):
                for start in range(0, len(rows), self.group):
                    few = slice(start, start + self.group)
                    pairs = slice(done, done + len(rows[few]))
                    theirs = self._matches.right[pairs]
                    other = aside.take(np.searchsorted(right_rows, theirs))
                    mine = Slab(slab.start, slab.ra[few], slab.dec[few], slab.batch.slice(start, self.group))
                    writer.add(self._join(pairs, mine, other))
                    done = pairs.stop
        scratch.unlink()

    def _set_aside(self, scratch: Path, unmatched: Path, tell: Tell) -> SetAside:
        side = self._right.side
        schema = pa.schema([*side.schema, pa.field("", pa.float64()), pa.field(" ", pa.float64())])
        aside = SetAside(scratch, schema)
        for _, slab in matched_slabs(self._right, unmatched, tell):
            columns = [*slab.batch.columns, pa.array(slab.ra), pa.array(slab.dec)]
            aside.add(pa.RecordBatch.from_arrays(columns, schema=schema))
        return aside

    def _join(self, pairs: slice, mine: Slab, other: pa.RecordBatch) -> pa.RecordBatch:
        left_rows, right_rows = self._matches.left[pairs], self._matches.right[pairs]
        right_ra, right_dec = (other.column(other.num_columns - place).to_numpy() for place in (2, 1))
        east, north = tangent_offsets(mine.ra, mine.dec, right_ra, right_dec)
        counts = (self._left.nearest.candidates[left_rows], self._right.nearest.candidates[right_rows])
        ambiguous = (counts[0] > 1) | (counts[1] > 1)
        separation = to_arcsec(self._matches.chord[pairs])
        self._count(separation, east, north, ambiguous)
        ids = self._name(mine, other, left_rows, right_rows)
        columns = [ids, mine.ra, mine.dec, separation, east, north, ambiguous]
        columns += [counts[0], left_rows, counts[1], right_rows]
        for side, rows, batch in ((self._left.side, left_rows, mine.batch), (self._right.side, right_rows, other)):
            if isinstance(side, ImageSide):
                columns.append(self._cut(side, rows, mine))
            columns += [batch.column(place) for place in range(len(side.schema))]
        return pa.RecordBatch.from_arrays([pa.array(column) for column in columns], schema=self.schema)

    def _count(self, separation: Reals, east: Reals, north: Reals, ambiguous: npt.NDArray[np.bool_]) -> None:
        self.tally.separations.append(separation)
        self.tally.east.append(east)
        self.tally.north.append(north)
        self.tally.ambiguous += int(ambiguous.sum())

    def _cut(self, side: ImageSide, rows: Rows, mine: Slab) -> pa.StructArray:
        assert self._framing is not None, "a side of images has a size"
        size, scale = self._framing.size_arcsec, self._framing.scale_arcsec
        where = zip(rows.tolist(), mine.ra.tolist(), mine.dec.tolist(), strict=True)
        cutouts = [side.cut(row, ra, dec, size, scale) for row, ra, dec in where]
        incomplete = sum(cutout.outside > 0 for cutout in cutouts)
        self.tally.incomplete[side.name] = self.tally.incomplete.get(side.name, 0) + incomplete
        return as_structs(cutouts, side.band)

    def _name(self, mine: Slab, other: pa.RecordBatch, left_rows: Rows, right_rows: Rows) -> list[str]:
        """The ids: of the left side's column, or the right's, or from the positions."""
        left_id, right_id = self._left.side.id_column, self._right.side.id_column
        if left_id or right_id:
            batch = mine.batch if left_id else other
            names = [
                str(value) for value in batch.column(batch.schema.get_field_index(left_id or right_id)).to_pylist()
            ]
        else:
            names = designate(mine.ra, mine.dec)
        side, rows = (self._right.side, right_rows) if right_id else (self._left.side, left_rows)
        for name, row in zip(names, rows.tolist(), strict=True):
            try:
                check_object_id(name)
            except BadName as error:
                where = side.place(row)
                raise BadTable(f"{where}: {error.wrong}", error.expected, "choose another id column") from error
            if name in self._seen:
                where = side.place(row)
                raise DuplicateObjectIds(
                    f"object id {name!r:.300} is that of {side.place(self._seen[name])}, and of {where}",
                    "each object once",
                    "name a column of unique ids by --left-id or --right-id",
                )
            self._seen[name] = row
        return names
