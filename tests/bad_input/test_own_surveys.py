"""Surveys of one's own: a table or an image that cannot be believed is refused by name, with its file and row.

The folder that was to be written is not there afterwards, nor anything else.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from astropy.table import Table
from hypothesis import HealthCheck, given
from hypothesis import settings as tuned
from hypothesis import strategies as some

from embedder.sky.crossmatch import Plan, crossmatch
from embedder.sky.sides import SideRequest
from shared.errors import (
    BadInput,
    BadName,
    BadTable,
    DuplicateObjectIds,
    EmptyDataset,
    MissingColumn,
    NotFinite,
    SameSkyError,
    UnknownName,
)

Refused = Callable[..., AbstractContextManager[None]]
Make = Callable[[Path], dict[str, Any]]


class Deaf:
    """Hears nothing."""

    def begin(self, what: str, total: int | None) -> None:
        pass

    def advance(self, steps: int) -> None:
        pass


def good(folder: Path) -> Path:
    """A table of three objects, that matches those below."""
    path = folder / "good.parquet"
    pq.write_table(pa.table({"ra": [10.0, 20.0, 30.0], "dec": [-1.0, 0.0, 1.0], "z": [0.1, 0.2, 0.3]}), path)
    return path


def table(**columns: Any) -> Make:
    """A Parquet table with these columns besides, or in place of, those of the good one; options by their names."""
    options = {name: columns.pop(name) for name in ("position", "frame", "id_column", "columns") if name in columns}

    def make(folder: Path) -> dict[str, Any]:
        made = {"ra": [10.0, 20.0, 30.0], "dec": [-1.0, 0.0, 1.0], **columns}
        kept = {name: values for name, values in made.items() if values is not None}
        pq.write_table(pa.table(kept), folder / "bad.parquet", row_group_size=2)
        return {"path": folder / "bad.parquet", **options}

    return make


def with_unit(unit: str) -> Make:
    """Positions in a unit, in an ECSV table."""

    def make(folder: Path) -> dict[str, Any]:
        made = Table({"ra": [10.0, 20.0], "dec": [-1.0, 0.0]})
        made.write(folder / "bad.ecsv")
        text = (folder / "bad.ecsv").read_text().replace("{name: dec,", f"{{name: dec, unit: {unit},")
        (folder / "bad.ecsv").write_text(text)
        return {"path": folder / "bad.ecsv"}

    return make


def written(name: str, data: bytes) -> Make:
    """A file of these bytes."""

    def make(folder: Path) -> dict[str, Any]:
        (folder / name).write_bytes(data)
        return {"path": folder / name}

    return make


def cut_short(form: str, name: str, share: float = 0.6) -> Make:
    """A table as astropy writes it, of which the end is missing."""

    def make(folder: Path) -> dict[str, Any]:
        made = Table({"ra": np.linspace(0, 300, 500), "dec": np.linspace(-80, 80, 500)})
        made.write(folder / name, format=form)
        data = (folder / name).read_bytes()
        (folder / name).write_bytes(data[: int(len(data) * share)])
        return {"path": folder / name}

    return make


def fits_table(change: Callable[[fits.BinTableHDU], object]) -> Make:
    """A FITS table after a change."""

    def make(folder: Path) -> dict[str, Any]:
        columns = [fits.Column("RA", "D", array=[10.0, 20.0]), fits.Column("DEC", "D", array=[-1.0, 0.0])]
        made = fits.BinTableHDU.from_columns(columns)
        change(made)
        made.writeto(folder / "bad.fits")
        return {"path": folder / "bad.fits"}

    return make


def complex_column(folder: Path) -> dict[str, Any]:
    """A FITS table with a column of complex numbers."""
    columns = [
        fits.Column("RA", "D", array=[10.0]),
        fits.Column("DEC", "D", array=[-1.0]),
        fits.Column("v", "M", array=[1j]),
    ]
    fits.BinTableHDU.from_columns(columns).writeto(folder / "bad.fits")
    return {"path": folder / "bad.fits"}


def uneven_folder(folder: Path) -> dict[str, Any]:
    """Two Parquet files of different columns."""
    (folder / "many").mkdir()
    pq.write_table(pa.table({"ra": [10.0], "dec": [1.0]}), folder / "many" / "a.parquet")
    pq.write_table(pa.table({"ra": [10.0], "dec": ["1"]}), folder / "many" / "b.parquet")
    return {"path": folder / "many"}


def empty_folder(folder: Path) -> dict[str, Any]:
    """A folder with nothing in it."""
    (folder / "empty").mkdir()
    return {"path": folder / "empty"}


TABLES: list[tuple[str, Make, type[SameSkyError], str]] = [
    ("a declination of 91", table(dec=[0.0, 91.0, 1.0]), BadTable, "bad.parquet, row 1: dec is 91 degrees"),
    ("a declination in radians too many", table(dec=[0.0, 1.0, -90.001]), BadTable, "row 2: dec is -90.001"),
    ("a right ascension of 361", table(ra=[0.0, 1.0, 361.0]), BadTable, "bad.parquet, row 2: ra is 361 degrees"),
    ("a NaN for a position", table(ra=[0.0, np.nan, 1.0]), NotFinite, "bad.parquet, row 1: ra is null, NaN"),
    ("a null for a position", table(dec=[0.0, 1.0, None]), NotFinite, "bad.parquet, row 2: dec is null, NaN"),
    ("an infinite position", table(dec=[np.inf, 1.0, 2.0]), NotFinite, "bad.parquet, row 0: dec is null, NaN"),
    ("positions in words", table(ra=["10:00:00"] * 3), BadTable, "bad.parquet: column ra is a string"),
    ("a unit nobody knows", with_unit("furlong"), BadTable, "bad.ecsv: column dec has the unit 'furlong'"),
    ("a unit that is no angle", with_unit("mag"), BadTable, "bad.ecsv: column dec has the unit 'mag'"),
    ("a frame nobody knows", table(frame="galctic"), UnknownName, "did you mean galactic?"),
    ("the ecliptic for a frame", table(frame="ecliptic"), UnknownName, "there is no frame 'ecliptic'"),
    ("no columns of positions", table(ra=None, x=[1, 2, 3]), MissingColumn, "bad.parquet has no columns whose names"),
    ("positions in columns that are not there", table(position="RA,DEC"), MissingColumn, "has no column 'RA'"),
    ("one column for a position", table(position="ra"), BadInput, "two names with a comma between"),
    ("the same column twice", table(position="ra,ra"), BadInput, "two names with a comma between"),
    ("ra and RA", table(RA=[1.0, 2.0, 3.0]), BadTable, "bad.parquet has columns ra, RA, dec"),
    (
        "a position twice",
        table(ra=[10.0, 30.0, 10.0], dec=[-1.0, 1.0, -1.0]),
        BadTable,
        "bad.parquet, row 2: the position 10.0000000 -1.0000000 deg stands already in bad.parquet, row 0",
    ),
    ("one position as 0 and as 360", table(ra=[0.0, 1.0, 360.0], dec=[5.0] * 3), BadTable, "row 2: the position 0.0"),
    (
        "the pole twice",
        table(ra=[5.0, 1.0, 200.0], dec=[90.0, 1.0, 90.0]),
        BadTable,
        "row 2: the position 0.0000000 +90",
    ),
    (
        "an id that is null",
        table(n=["a", None, "c"], id_column="n"),
        BadTable,
        "bad.parquet, row 1: the id in column n",
    ),
    ("ids with fractions", table(n=[0.1, 0.2, 0.3], id_column="n"), BadTable, "the id column n is a double"),
    (
        "an id twice",
        table(n=["a", "b", "a"], id_column="n"),
        DuplicateObjectIds,
        "object id 'a' is that of bad.parquet",
    ),
    ("an id with an escape", table(n=["a", "\x1b", "c"], id_column="n"), BadTable, "bad.parquet, row 1: the object id"),
    ("an id of no letters", table(n=["a", "", "c"], id_column="n"), BadTable, "row 1: an object id of 0 characters"),
    ("an id column that is not there", table(id_column="n"), MissingColumn, "bad.parquet has no column 'n'"),
    ("a column to keep that is not there", table(columns=("z",)), MissingColumn, "bad.parquet has no column 'z'"),
    ("no rows", table(ra=pa.array([], "f8"), dec=pa.array([], "f8")), EmptyDataset, "bad.parquet has no rows"),
    ("no such file", lambda folder: {"path": folder / "none.csv"}, BadInput, "there is no "),
    ("a file of no kind", written("bad.txt", b"ra,dec\n1,2\n"), BadInput, "is no kind of table that is known"),
    ("a folder of nothing", empty_folder, EmptyDataset, "empty has neither Parquet files nor FITS images"),
    ("a folder of uneven files", uneven_folder, BadTable, "b.parquet has other columns than a.parquet"),
    ("Parquet of no bytes", written("bad.parquet", b""), BadTable, "bad.parquet cannot be read"),
    ("Parquet that is text", written("bad.parquet", b"ra,dec\n" * 99), BadTable, "bad.parquet cannot be read"),
    ("Parquet cut short", cut_short("parquet", "bad.parquet"), BadTable, "bad.parquet cannot be read"),
    ("CSV of no bytes", written("bad.csv", b""), BadTable, "bad.csv cannot be read"),
    ("CSV of a header alone", written("bad.csv", b"ra,dec\n"), EmptyDataset, "bad.csv has no rows"),
    ("CSV of uneven lines", written("bad.csv", b"ra,dec\n1,2\n3\n"), BadTable, "bad.csv cannot be read"),
    ("CSV with a column twice", written("bad.csv", b"ra,dec,ra\n1,2,3\n"), BadTable, "several columns ra"),
    ("CSV with a word for a number", written("bad.csv", b"ra,dec\n1,2\n3,x\n"), BadTable, "column dec is a string"),
    (
        "CSV of bytes that are no text",
        written("bad.csv", b"ra,dec,\xff\n1,2,\xfe\n"),
        BadTable,
        "bad.csv cannot be read",
    ),
    ("ECSV without its header", written("bad.ecsv", b"ra dec\n1 2\n"), BadTable, "bad.ecsv cannot be read"),
    ("VOTable cut short", cut_short("votable", "bad.vot"), BadTable, "bad.vot cannot be read"),
    ("VOTable that is HTML", written("bad.xml", b"<!doctype html><p>busy"), BadTable, "bad.xml cannot be read"),
    ("FITS cut short", cut_short("fits", "bad.fits"), BadTable, "bad.fits cannot be read"),
    ("FITS of no bytes", written("bad.fits", b""), BadTable, "bad.fits cannot be read"),
    ("FITS that is text", written("bad.fits", b"ra dec\n1 2\n"), BadTable, "bad.fits cannot be read"),
    (
        "FITS of another equinox",
        fits_table(lambda made: made.header.update({"RADESYS": "FK5", "EQUINOX": 1975.0})),
        BadTable,
        "bad.fits has FK5 positions of equinox 1975.0",
    ),
    (
        "FITS of a frame nobody knows",
        fits_table(lambda made: made.header.update({"RADESYS": "GAPPT"})),
        UnknownName,
        "there is no frame 'gappt'",
    ),
    ("FITS with complex numbers", complex_column, BadTable, "column v holds complex128, which cannot be kept"),
]


def attempt(folder: Path, side: dict[str, Any], **how: Any) -> None:
    """A crossmatch of a good table with this side."""
    left = SideRequest(good(folder) if not (folder / "good.parquet").exists() else folder / "good.parquet")
    plan = Plan(left, SideRequest(**{"name": "bad", **side}), 2.0, **how)
    crossmatch(plan, folder / "out", Deaf())


@pytest.mark.parametrize(("make", "error", "says"), [pytest.param(*case, id=name) for name, *case in TABLES])
def test_a_table_is_refused(refused: Refused, tmp_path: Path, make: Make, error: type[SameSkyError], says: str) -> None:
    good(tmp_path)
    side = make(tmp_path)
    with refused(error, says):
        attempt(tmp_path, side)


CARDS: dict[str, Any] = {
    "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 10.0, "CRVAL2": -1.0, "CRPIX1": 4.5, "CRPIX2": 4.5,
    "CDELT1": -0.001, "CDELT2": 0.001, "RADESYS": "ICRS", "BUNIT": "Jy/beam",
}  # fmt: skip


def image(shape: tuple[int, ...] = (8, 8), name: str = "bad.fits", *, option: str | None = None, **cards: Any) -> Make:
    """A folder with a good image, and one whose header has these cards, or lacks those that are None."""

    def make(folder: Path) -> dict[str, Any]:
        (folder / "images").mkdir()
        for file, change, size in (("a.fits", {"CRVAL1": 20.0}, (8, 8)), (name, cards, shape)):
            header = fits.Header({k: v for k, v in {**CARDS, **change}.items() if v is not None})
            fits.PrimaryHDU(np.zeros(size, np.float32), header).writeto(folder / "images" / file)
        return {"path": folder / "images", "unit": option}

    return make


def broken(change: Callable[[bytes], bytes]) -> Make:
    """A folder with an image whose bytes are changed."""

    def make(folder: Path) -> dict[str, Any]:
        side = image()(folder)
        path = folder / "images" / "bad.fits"
        path.write_bytes(change(path.read_bytes()))
        return side

    return make


def with_option(**options: Any) -> Make:
    """A folder of good images, with an option that is not for one."""
    return lambda folder: {**image()(folder), **options}


IMAGES: list[tuple[str, Make, type[SameSkyError], str]] = [
    (
        "a WCS without scale",
        image(CDELT1=None, CDELT2=None),
        MissingColumn,
        "bad.fits does not say how large its pixels",
    ),
    ("a WCS with the scale of one axis", image(CDELT2=None), MissingColumn, "axis 2 has neither CDELT nor CD"),
    ("a scale of nought", image(CDELT1=0.0), BadTable, "bad.fits has a WCS without an inverse: a scale is nought"),
    ("a scale in words", image(CDELT1="small"), MissingColumn, "bad.fits does not say how large its pixels"),
    ("no WCS", image(**dict.fromkeys(CARDS, None), EXTRA=1), MissingColumn, "bad.fits does not say the unit"),
    ("no axes on the sky", image(CTYPE1="X", CTYPE2="Y"), MissingColumn, "bad.fits has no axes on the sky"),
    ("one axis on the sky", image(CTYPE2="FREQ"), BadTable, "bad.fits cannot be read"),
    ("a projection nobody knows", image(CTYPE1="RA---ZZZ", CTYPE2="DEC--ZZZ"), BadTable, "bad.fits"),
    ("a frame nobody knows", image(RADESYS="GAPPT"), BadTable, "bad.fits cannot be read"),
    ("no unit", image(BUNIT=None), MissingColumn, "bad.fits does not say the unit of its pixels: it has no BUNIT"),
    ("an empty unit", image(BUNIT=" "), MissingColumn, "bad.fits does not say the unit of its pixels"),
    ("a unit nobody knows", image(BUNIT="furlongs"), BadTable, "bad.fits: 'furlongs' is no unit that is known"),
    ("a unit of two meanings", image(BUNIT="MJY/SR"), BadTable, "bad.fits: 'MJY/SR' is no unit that is known"),
    ("magnitudes", image(BUNIT="mag"), BadTable, "the unit mag is a logarithm"),
    ("another unit than its neighbour", image(BUNIT="MJy/sr"), BadTable, "bad.fits has the unit MJy / sr, and a.fits"),
    ("another unit than the option says", image(option="K"), BadInput, "a.fits has the unit Jy / beam, not K"),
    ("an option that is no unit", image(option="furlongs"), BadTable, "the option: 'furlongs' is no unit"),
    ("a cube", image((3, 8, 8)), BadTable, "bad.fits has an image of shape (3, 8, 8), which is not of two axes"),
    ("a line", image((8,)), BadTable, "bad.fits has no image"),
    ("a row of pixels", image((1, 8)), BadTable, "bad.fits has an image of shape (1, 8), which is not of two axes"),
    (
        "long axes that are not on the sky",
        image((8, 8, 1), CTYPE3="FREQ", CDELT3=1.0),
        BadTable,
        "whose two long axes are not on the sky",
    ),
    ("an image of no bytes", broken(lambda data: b""), BadTable, "bad.fits cannot be read"),
    ("an image that is text", broken(lambda data: b"image"), BadTable, "bad.fits cannot be read"),
    ("an image cut in its header", broken(lambda data: data[:700]), BadTable, "bad.fits cannot be read"),
    ("an image cut in its pixels", broken(lambda data: data[:2890]), BadTable, "bad.fits cannot be read"),
    ("a frame for images", with_option(frame="fk5"), BadInput, "frame is for a table; images is a folder"),
    (
        "position columns for images",
        with_option(position="a,b"),
        BadInput,
        "position is for a table; images is a folder",
    ),
    ("an id column for images", with_option(id_column="n"), BadInput, "is for a table; images is a folder"),
]


@pytest.mark.parametrize(("make", "error", "says"), [pytest.param(*case, id=name) for name, *case in IMAGES])
def test_an_image_is_refused(
    refused: Refused, tmp_path: Path, make: Make, error: type[SameSkyError], says: str
) -> None:
    good(tmp_path)
    side = make(tmp_path)
    with refused(error, says):
        attempt(tmp_path, side, size_arcsec=10.0)


PLANS: list[tuple[str, Make, dict[str, Any], type[SameSkyError], str]] = [
    ("a radius of two degrees", table(), {"radius_arcsec": 7200.0}, BadInput, "at most 3600: one degree"),
    ("two sides of one name", lambda f: {**table()(f), "name": "good"}, {}, BadInput, "both sides are named good"),
    ("a name that climbs", lambda f: {**table()(f), "name": "../x"}, {}, BadName, "cannot be a name"),
    ("a name that is the result's own", table(id=[1, 2, 3]), {"name": "object"}, BadInput, "would be named object_id"),
    ("images without a size", image(), {}, BadInput, "bad are images, and no size of the patch is given"),
    ("a patch of less than two pixels", image(), {"size_arcsec": 3.0}, BadInput, "is 1 pixels of 3.6 arcsec"),
    ("a patch of too many pixels", image(), {"size_arcsec": 1e6}, BadInput, "2 to 4096 pixels"),
    ("a scale without images", table(), {"scale_arcsec": 1.0}, BadInput, "--scale is for images"),
    ("a band of a table", lambda f: {**table()(f), "band": "g"}, {}, BadInput, "is a table, which has no band"),
    ("nothing that matches", table(ra=[40.0, 50.0, 60.0]), {}, EmptyDataset, "no object of good matches one of bad"),
]


@pytest.mark.parametrize(("make", "how", "error", "says"), [pytest.param(*case, id=name) for name, *case in PLANS])
def test_a_plan_is_refused(
    refused: Refused, tmp_path: Path, make: Make, how: dict[str, Any], error: type[SameSkyError], says: str
) -> None:
    good(tmp_path)
    side = make(tmp_path)
    changed = dict(how)
    if "name" in changed:
        side["name"] = changed.pop("name")
    with refused(error, says):
        plan = Plan(SideRequest(tmp_path / "good.parquet"), SideRequest(**{"name": "bad", **side}), 2.0)
        crossmatch(_with(plan, changed), tmp_path / "out", Deaf())


def _with(plan: Plan, changes: dict[str, Any]) -> Plan:
    from dataclasses import replace

    return replace(plan, **changes)


def whole(kind: str, folder: Path) -> bytes:
    """A good file of each kind."""
    made = Table({"ra": [10.0, 20.0], "dec": [-1.0, 0.0], "name": ["a", "b"]})
    forms = {"csv": "ascii.csv", "ecsv": "ascii.ecsv", "vot": "votable", "fits": "fits", "parquet": "parquet"}
    made.write(folder / f"whole.{kind}", format=forms[kind])
    return (folder / f"whole.{kind}").read_bytes()


@pytest.mark.parametrize("kind", ["csv", "ecsv", "vot", "fits", "parquet"])
@tuned(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=some.data())
def test_any_bytes_are_a_table_or_a_named_error(
    kind: str, data: some.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("any")
    good(folder)
    bytes_there = bytearray(whole(kind, folder))
    for _ in range(data.draw(some.integers(1, 4))):
        at = data.draw(some.integers(0, len(bytes_there) - 1))
        bytes_there[at : at + data.draw(some.integers(0, 3))] = data.draw(some.binary(max_size=4))
    (folder / f"any.{kind}").write_bytes(bytes(bytes_there))
    try:
        attempt(folder, {"path": folder / f"any.{kind}"})
    except BadInput:
        assert not (folder / "out").exists()
    else:
        assert pq.read_table(folder / "out" / "matched").num_rows >= 1
