"""The command that makes a dataset of two surveys of one's own: crossmatch.

What reads tables and images is imported when it is needed: asking the api loads neither astropy nor pyarrow.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from services.cli.output import as_json as write_json
from services.cli.output import show

if TYPE_CHECKING:
    from embedder.sky.crossmatch import Plan
    from embedder.sky.sides import SideRequest

_TABLES = "a table (Parquet, CSV, FITS, VOTable, ECSV), or a folder of FITS images"
Left = Annotated[Path, typer.Argument(metavar="LEFT", show_default=False, help=f"One survey: {_TABLES}.")]
Right = Annotated[Path, typer.Argument(metavar="RIGHT", show_default=False, help="The other, likewise.")]
Radius = Annotated[str, typer.Option(help="How far two positions of one object may be apart: 1arcsec.")]
Output = Annotated[Path, typer.Option("--output", "-o", metavar="FOLDER", help="Where the dataset goes.")]
Size = Annotated[str | None, typer.Option(help="Patch of sky to cut from images: 4arcmin.")]
Scale = Annotated[str | None, typer.Option(help="Pixel of the cutouts, 1.8arcsec; else each image's own.")]
DropAmbiguous = Annotated[
    bool, typer.Option("--drop-ambiguous", help="Leave out matches with another candidate within the radius.")
]
Name = Annotated[str | None, typer.Option(help="Name of this survey; else from its path.")]
Position = Annotated[str | None, typer.Option(metavar="RA,DEC", help="Its position columns; else by their names.")]
FrameName = Annotated[str | None, typer.Option(help="Frame of its table: icrs, fk5, fk4, galactic.")]
IdColumn = Annotated[str | None, typer.Option(help="Its column of object ids; else designations from positions.")]
Columns = Annotated[str | None, typer.Option(metavar="A,B,...", help="Columns of its table to keep; else all.")]
Band = Annotated[str | None, typer.Option(help="Band of its images; else its name.")]
Unit = Annotated[str | None, typer.Option(help="Unit of its images' pixels, where headers have no BUNIT.")]
Json = Annotated[bool, typer.Option("--json", help="Write the report as JSON.")]


def crossmatch(
    left: Left,
    right: Right,
    *,
    radius: Radius,
    output: Output,
    size: Size = None,
    scale: Scale = None,
    drop_ambiguous: DropAmbiguous = False,
    left_name: Name = None,
    right_name: Name = None,
    left_position: Position = None,
    right_position: Position = None,
    left_frame: FrameName = None,
    right_frame: FrameName = None,
    left_id: IdColumn = None,
    right_id: IdColumn = None,
    left_columns: Columns = None,
    right_columns: Columns = None,
    left_band: Band = None,
    right_band: Band = None,
    left_unit: Unit = None,
    right_unit: Unit = None,
    as_json: Json = False,
) -> None:
    """Match two surveys on the sky, object by object, and write the matched ones as a dataset."""
    from embedder.sky.crossmatch import crossmatch as match
    from embedder.sky.sides import SideRequest

    one = SideRequest(left, left_name, left_position, left_frame, left_id, _split(left_columns), left_band, left_unit)
    other = SideRequest(
        right, right_name, right_position, right_frame, right_id, _split(right_columns), right_band, right_unit
    )
    plan = _plan(one, other, radius, size, scale)
    with _bars(Console(stderr=True)) as bars:
        report = match(replace(plan, drop_ambiguous=drop_ambiguous), output, bars)
    if as_json:
        typer.echo(write_json(report))
    else:
        show(Console(), *_lines(report, output))


def _plan(left: SideRequest, right: SideRequest, radius: str, size: str | None, scale: str | None) -> Plan:
    from embedder.sky.angles import parse_angle
    from embedder.sky.crossmatch import Plan

    return Plan(
        left,
        right,
        radius_arcsec=parse_angle(radius, "--radius"),
        size_arcsec=None if size is None else parse_angle(size, "--size"),
        scale_arcsec=None if scale is None else parse_angle(scale, "--scale"),
    )


def _split(columns: str | None) -> tuple[str, ...] | None:
    return None if columns is None else tuple(name for word in columns.split(",") if (name := word.strip()))


def _lines(report: dict[str, Any], output: Path) -> Iterator[str]:
    yield f"{report['matched']} matched within {report['radius_arcsec']:g} arcsec, median separation " + (
        f"{report['separation_arcsec']['median']:.3g} arcsec"
    )
    yield f"{report['ambiguous']} ambiguous, {'left out' if report['drop_ambiguous'] else 'kept and marked'}"
    for side in (report["left"], report["right"]):
        reasons = ", ".join(f"{count} {reason}" for reason, count in side["reasons"].items() if count)
        yield f"{side['name']}: {side['unmatched']} of {side['rows']} unmatched{f' ({reasons})' if reasons else ''}"
        if side.get("incomplete_cutouts"):
            yield f"{side['name']}: {side['incomplete_cutouts']} cutouts reach beyond their image"
    yield f"written to {output}" + (f"; try: samesky submit {output / 'study.yaml'}" if report["study"] else "")


class _Bars:
    """One bar for what is being done; of an unknown length, a count."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task: TaskID | None = None

    def begin(self, what: str, total: int | None) -> None:
        """Another bar."""
        self._task = self._progress.add_task(what, total=total)

    def advance(self, steps: int) -> None:
        """So much further."""
        if self._task is not None:
            self._progress.advance(self._task, steps)


@contextmanager
def _bars(console: Console) -> Iterator[_Bars]:
    """Bars on a terminal; elsewhere nothing."""
    with Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=20),
        TextColumn("{task.completed:.0f}", justify="right"),
        TimeElapsedColumn(),
        console=console,
        disable=not console.is_terminal,
    ) as progress:
        yield _Bars(progress)


COMMANDS = (crossmatch,)
