"""Two surveys into one dataset: the whole story, from top to bottom. Imports numpy, scipy, astropy and pyarrow.

Each side is read twice: its positions, to be matched, and then the rows that are kept. Memory holds the positions of
the smaller side, some bytes for each row of both, and a stretch of rows; so the larger may be as large as it will.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from embedder.sky.describing import MATCHED, UNMATCHED, write_card, write_study
from embedder.sky.folders import check_free, new_folder
from embedder.sky.frames import Reals, to_vectors
from embedder.sky.joining import Framing, Joiner, SideFound, joined_schema
from embedder.sky.matching import Fate, Nearest, find_nearest, pair_up
from embedder.sky.positions import Duplicates
from embedder.sky.sides import ImageSide, Side, SideRequest, open_side
from shared.errors import BadInput, EmptyDataset

MOST_RADIUS_ARCSEC = 3600.0


class Watcher(Protocol):
    """Hears how far the work has come."""

    def begin(self, what: str, total: int | None) -> None:
        """Some work begins, of so many steps, if that is known."""
        ...

    def advance(self, steps: int) -> None:
        """So many more are done."""
        ...


@dataclass(frozen=True, slots=True)
class Plan:
    """What is asked for. radius, size and scale in arcsec; scale None: each image's own."""

    left: SideRequest
    right: SideRequest
    radius_arcsec: float
    size_arcsec: float | None = None
    scale_arcsec: float | None = None
    drop_ambiguous: bool = False


def crossmatch(plan: Plan, target: Path, watcher: Watcher) -> dict[str, Any]:
    """Match two surveys, and write the dataset into the folder `target`; returns its report.

    The same input gives the same bytes, so the folder has the same revision. Raises BadInput, of some kind, for
    whatever is wrong with the sides, naming file and row; EmptyDataset when nothing matches; then nothing is written.
    """
    check_free(target)
    if plan.radius_arcsec > MOST_RADIUS_ARCSEC:
        raise BadInput(f"a radius of {plan.radius_arcsec:g} arcsec", f"at most {MOST_RADIUS_ARCSEC:g}: one degree")
    left, right = _open_both(plan, watcher)
    framing = _frame(plan, left, right)
    near_left, near_right = match_sides(left, right, plan.radius_arcsec, watcher)
    matches = pair_up(near_left, near_right, drop_ambiguous=plan.drop_ambiguous)
    if not len(matches.left):
        raise EmptyDataset(
            f"no object of {left.name} matches one of {right.name} within {plan.radius_arcsec:g} arcsec",
            "one match at least",
            "look at the frames and units of the positions, or widen the radius",
        )
    found = (SideFound(left, matches.left_fate, near_left), SideFound(right, matches.right_fate, near_right))
    joiner = Joiner(*found, matches, framing)
    with new_folder(target) as folder:
        watcher.begin("rows", left.rows + right.rows)
        apart = (folder / UNMATCHED / left.name, folder / UNMATCHED / right.name)
        joiner.write(folder / MATCHED, apart, watcher.advance)
        report = _report(plan, found, joiner)
        report["study"] = write_study(folder / "study.yaml", (left, right), framing, report["matched"])
        write_card(folder / "README.md", report)
        (folder / "report.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
        return report


def match_sides(left: Side, right: Side, radius_arcsec: float, watcher: Watcher) -> tuple[Nearest, Nearest]:
    """The nearest of each object of both sides. Raises BadTable for a position that stands twice on a side."""
    held, streamed = (left, right) if left.rows <= right.rows else (right, left)
    watcher.begin("positions", left.rows + right.rows)
    vectors = np.concatenate(list(_vectors(held, watcher)))
    of_streamed, of_held = find_nearest(_vectors(streamed, watcher), streamed.rows, vectors, radius_arcsec)
    return (of_held, of_streamed) if held is left else (of_streamed, of_held)


def _open_both(plan: Plan, watcher: Watcher) -> tuple[Side, Side]:
    sides = []
    for request in (plan.left, plan.right):
        watcher.begin(f"opening {request.path.name}", None)
        sides.append(open_side(request, lambda done: watcher.advance(1)))
    left, right = sides
    if left.name == right.name:
        raise BadInput(f"both sides are named {left.name}", "two names", "give --left-name or --right-name")
    if left.id_column and right.id_column:
        raise BadInput("both sides have an id column", "one of them, whose ids the matched objects are to bear")
    joined_schema(left, right)
    return left, right


def _frame(plan: Plan, left: Side, right: Side) -> Framing | None:
    images = [side.name for side in (left, right) if isinstance(side, ImageSide)]
    if images and plan.size_arcsec is None:
        raise BadInput(
            f"{' and '.join(images)} are images, and no size of the patch is given",
            "an angular size, the same for both surveys",
            "give --size, such as 4arcmin",
        )
    if plan.scale_arcsec is not None and not images:
        raise BadInput("--scale is for images, and neither side has any", "a folder of FITS images")
    return None if plan.size_arcsec is None else Framing(plan.size_arcsec, plan.scale_arcsec)


def _vectors(side: Side, watcher: Watcher) -> Iterator[Reals]:
    """Unit vectors of a side's positions, which are seen to stand once each."""
    duplicates = Duplicates()
    for slab in side.read(positions_only=True):
        duplicates.see(slab.ra, slab.dec)
        yield to_vectors(slab.ra, slab.dec)
        watcher.advance(len(slab.ra))
    duplicates.check(lambda: ((slab.ra, slab.dec) for slab in side.read(positions_only=True)), side.place)


def _report(plan: Plan, found: tuple[SideFound, SideFound], joiner: Joiner) -> dict[str, Any]:
    tally = joiner.tally
    separations, east, north = (np.concatenate(part) for part in (tally.separations, tally.east, tally.north))
    low, median, high = np.percentile(separations, (5, 50, 95))
    sides = {}
    for word, one in zip(("left", "right"), found, strict=True):
        fates = {fate.name.lower(): int((one.fate == fate).sum()) for fate in Fate if fate is not Fate.MATCHED}
        sides[word] = {**one.side.describe(), "unmatched": sum(fates.values()), "reasons": fates}
        if isinstance(one.side, ImageSide):
            sides[word]["incomplete_cutouts"] = tally.incomplete[one.side.name]
    dropped = sides["left"]["reasons"]["ambiguous"]
    return {
        "radius_arcsec": plan.radius_arcsec,
        "size_arcsec": plan.size_arcsec,
        "scale_arcsec": plan.scale_arcsec,
        "drop_ambiguous": plan.drop_ambiguous,
        "matched": len(separations),
        "ambiguous": dropped if plan.drop_ambiguous else tally.ambiguous,
        "separation_arcsec": {"p5": low, "median": median, "p95": high, "largest": float(separations.max())},
        "median_offset_arcsec": {"east": float(np.median(east)), "north": float(np.median(north))},
        **sides,
    }
