"""Which objects of two surveys are the same: mutual nearest neighbours on the sphere. Imports numpy and scipy.

Two objects match if each is the other's nearest, and they are within the radius: so a match is one to one, and the
same whichever survey is named first. Where two are equally near, to within the rounding of their positions, there is
no nearest, and so no match: it is never left to the order of rows. Distances are chords between unit vectors, which
lose nothing at small separations, at the poles or where right ascension begins anew.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Self

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from embedder.sky.frames import Reals

Rows = npt.NDArray[np.int64]
TIE = 1e-13  # of a chord: 2e-8 arcsec, some hundred times the rounding of a unit vector
_MOST_PAIRS = 1 << 22  # held at once: about 100 MB
_ROWS_COUNTED = 1 << 10


class Fate(IntEnum):
    """What became of one object."""

    ALONE = 0  # the other survey has nothing within the radius
    OUTDONE = 1  # its nearest has a nearer one
    TIED = 2  # two are equally near, to it or to its nearest
    AMBIGUOUS = 3  # matched, and left out because there are other candidates
    MATCHED = 4


@dataclass(frozen=True, slots=True)
class Nearest:
    """For each row of one side, `(n,)`: row of the nearest on the other side within the radius (-1: none), chords to it
    and to the second nearest (infinite: none), and how many are within the radius."""

    row: npt.NDArray[np.int32]
    chord: Reals
    second: Reals
    candidates: npt.NDArray[np.int32]

    @classmethod
    def of(cls, rows: int) -> Self:
        """Of a side of which nothing is known yet."""
        unknown = np.full(rows, np.inf)
        return cls(np.full(rows, -1, np.int32), unknown, unknown.copy(), np.zeros(rows, np.int32))

    @property
    def tied(self) -> npt.NDArray[np.bool_]:
        """Where the second nearest is as near as the nearest."""
        return np.isfinite(self.second) & (self.second <= self.chord + TIE)

    def learn(self, rows: Rows, others: Rows, chords: Reals) -> None:
        """Take in pairs, `(m,)`: a row, a row of the other side, and the chord between them; no pair twice."""
        order = np.lexsort((chords, rows))
        rows, others, chords = rows[order], others[order], chords[order]
        first = np.flatnonzero(np.diff(rows, prepend=-1))
        counts = np.diff(first, append=len(rows))
        mine, best = rows[first], chords[first]
        runner_up = np.full(len(first), np.inf)
        several = counts > 1
        runner_up[several] = chords[first[several] + 1]
        nearer = best < self.chord[mine]
        self.second[mine] = np.where(
            nearer, np.minimum(self.chord[mine], runner_up), np.minimum(self.second[mine], best)
        )
        self.row[mine] = np.where(nearer, others[first], self.row[mine])
        self.chord[mine] = np.minimum(self.chord[mine], best)
        self.candidates[mine] += counts.astype(np.int32)


@dataclass(frozen=True, slots=True)
class Matches:
    """Matched rows `(m,)`, by left row; chords between them; fates of all rows of each side, `(n,)`, as `Fate`."""

    left: Rows
    right: Rows
    chord: Reals
    left_fate: npt.NDArray[np.int8]
    right_fate: npt.NDArray[np.int8]


def find_nearest(chunks: Iterator[Reals], rows: int, tree_side: Reals, radius_arcsec: float) -> tuple[Nearest, Nearest]:
    """The nearest of every object: of the streamed side, whose unit vectors `(c, 3)` come in chunks of `rows` in all,
    and of the side that is held as a whole, `(n, 3)`.

    Memory holds one chunk, the tree, and 24 bytes of each row.
    """
    streamed, held = Nearest.of(rows), Nearest.of(len(tree_side))
    if not len(tree_side):
        return streamed, held
    tree, start = cKDTree(tree_side), 0
    reach = 2.0 * np.sin(np.radians(radius_arcsec / 3600.0) / 2.0)
    for chunk in chunks:
        for mine, theirs, chord in _pairs(tree, chunk, start, float(reach)):
            streamed.learn(mine, theirs, chord)
            held.learn(theirs, mine, chord)
        start += len(chunk)
    return streamed, held


def pair_up(left: Nearest, right: Nearest, *, drop_ambiguous: bool = False) -> Matches:
    """The matches between two sides. An ambiguous one has a further candidate within the radius, on either side."""
    left_rows = np.flatnonzero(left.row >= 0)
    right_rows = left.row[left_rows].astype(np.int64)
    mutual = right.row[right_rows] == left_rows
    clear = mutual & ~left.tied[left_rows] & ~right.tied[right_rows]
    fates = (_fates(left, right), _fates(right, left))
    left_rows, right_rows = left_rows[clear], right_rows[clear]
    several = (left.candidates[left_rows] > 1) | (right.candidates[right_rows] > 1)
    for fate, rows in zip(fates, (left_rows, right_rows), strict=True):
        fate[rows] = Fate.MATCHED
        if drop_ambiguous:
            fate[rows[several]] = Fate.AMBIGUOUS
    if drop_ambiguous:
        left_rows, right_rows = left_rows[~several], right_rows[~several]
    return Matches(left_rows, right_rows, left.chord[left_rows], *fates)


def to_arcsec(chord: Reals) -> Reals:
    """The angle in arcsec that a chord of the unit sphere spans."""
    return np.degrees(2.0 * np.arcsin(chord / 2.0)) * 3600.0


def _fates(side: Nearest, other: Nearest) -> npt.NDArray[np.int8]:
    """Of every row that is not matched."""
    fate = np.full(len(side.row), Fate.ALONE, np.int8)
    some = side.row >= 0
    fate[some] = np.where(side.tied[some] | other.tied[side.row[some]], Fate.TIED, Fate.OUTDONE)
    return fate


def _pairs(tree: cKDTree, chunk: Reals, start: int, reach: float) -> Iterator[tuple[Rows, Rows, Reals]]:
    """All pairs within reach: rows of the stream, rows of the tree, chords; as many at a time as memory should hold."""
    if len(chunk) > 1 and _estimate(tree, chunk, reach) > _MOST_PAIRS:
        half = len(chunk) // 2
        yield from _pairs(tree, chunk[:half], start, reach)
        yield from _pairs(tree, chunk[half:], start + half, reach)
        return
    found = cKDTree(chunk).sparse_distance_matrix(tree, reach, output_type="ndarray")
    yield found["i"].astype(np.int64) + start, found["j"].astype(np.int64), found["v"].astype(np.float64)


def _estimate(tree: cKDTree, chunk: Reals, reach: float) -> float:
    """About how many pairs there are, from some of the rows: to count them all takes as long as to find them."""
    step = max(1, len(chunk) // _ROWS_COUNTED)
    return float(cKDTree(chunk[::step]).count_neighbors(tree, reach)) * step
