"""FITS: the tables that the simulation reads from the package kcorrect. No dataset of the catalogue is FITS.

The files are the package's own, altered; what is refused names the file, and nothing is rendered or written.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import HealthCheck, given
from hypothesis import settings as tuned
from hypothesis import strategies as some

from embedder.sources.mocksky import donors, photometry
from shared.errors import BadTable

Refused = Callable[..., AbstractContextManager[None]]
TEMPLATES, DONORS, FILTER = "templates/kcorrect-default-v4.fits", "test/gst_tests_small.fits", "responses/decam_g.dat"
ORIGINAL = photometry.data_folder()
WHOLE = {name: (ORIGINAL / name).read_bytes() for name in (TEMPLATES, DONORS, FILTER)}


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that stands for the package's, without its files."""
    for name in WHOLE:
        (tmp_path / name).parent.mkdir()
    monkeypatch.setattr(photometry, "data_folder", lambda: tmp_path)
    return tmp_path


def load(name: str) -> object:
    """Read one of the three files, past what is remembered of it."""
    if name == DONORS:
        return donors.load_donors()
    return (
        photometry.load_templates.__wrapped__() if name == TEMPLATES else photometry.load_filter.__wrapped__("decam_g")
    )


def altered(change: Callable[[fits.HDUList], object]) -> Callable[[bytes], bytes]:
    """The bytes of the tables after a change."""

    def alter(data: bytes) -> bytes:
        sink = io.BytesIO()
        with fits.open(io.BytesIO(data)) as tables:
            change(tables)
            tables.writeto(sink)
        return sink.getvalue()

    return alter


def rename(table: str, column: str) -> Callable[[fits.HDUList], object]:
    return lambda tables: tables[table].columns.change_name(column, "OTHER")


def text_column(tables: fits.HDUList) -> None:
    """Redshifts that are words."""
    rows = len(tables["GSTTEST"].data)
    columns = [column for column in tables["GSTTEST"].columns if column.name != "Z"]
    columns.append(fits.Column("Z", "5A", array=np.array(["far"] * rows)))
    tables["GSTTEST"] = fits.BinTableHDU.from_columns(columns, name="GSTTEST")


def with_rows(rows: str) -> Callable[[bytes], bytes]:
    """Tables whose headers say they have so many rows."""
    return lambda data: data.replace(b"NAXIS2  = %20d" % 1, f"NAXIS2  = {rows:>20}".encode())


FILES: list[tuple[str, str, Callable[[bytes], bytes] | None]] = [
    ("templates that are not there", TEMPLATES, None),
    ("templates of no bytes", TEMPLATES, lambda data: b""),
    ("templates of zeros", TEMPLATES, lambda data: bytes(5760)),
    ("templates of text", TEMPLATES, lambda data: b"wave flux\n1 2\n"),
    ("templates of HTML", TEMPLATES, lambda data: b"<!doctype html>" * 400),
    ("templates cut in a header", TEMPLATES, lambda data: data[:1000]),
    ("templates cut in half", TEMPLATES, lambda data: data[: len(data) // 2]),
    ("templates without their fluxes", TEMPLATES, altered(lambda tables: tables.pop("FLUX"))),
    ("templates without their masses", TEMPLATES, altered(lambda tables: tables.pop("MREMAIN"))),
    ("templates without wavelengths", TEMPLATES, altered(rename("FLUX", "wave"))),
    ("templates of no rows", TEMPLATES, with_rows("0")),
    ("templates of a header that is nonsense", TEMPLATES, lambda data: data.replace(b"BITPIX", b"BATPIX")),
    ("templates of rows without end", TEMPLATES, with_rows("9999999999")),
    ("galaxies that are not there", DONORS, None),
    ("galaxies cut in half", DONORS, lambda data: data[: len(data) // 2]),
    ("galaxies cut by a block", DONORS, lambda data: data[:-2880]),
    ("galaxies in another table", DONORS, lambda data: WHOLE[TEMPLATES]),
    ("galaxies without redshifts", DONORS, altered(rename("GSTTEST", "Z"))),
    ("galaxies without magnitudes in K", DONORS, altered(rename("GSTTEST", "K_M_EXT"))),
    ("galaxies with redshifts in words", DONORS, altered(text_column)),
    ("a filter that is not there", FILTER, None),
    ("a filter of no lines", FILTER, lambda data: b""),
    ("a filter without throughput", FILTER, lambda data: data.replace(b"pass", b"flux")),
    ("a filter of words", FILTER, lambda data: data + b"| x | y |\n"),
    ("a filter of uneven lines", FILTER, lambda data: data + b"| 1 |\n"),
    ("a filter that is not UTF-8", FILTER, lambda data: b"\xff" + data),
]


@pytest.mark.parametrize(("name", "spoil"), [pytest.param(*case, id=title) for title, *case in FILES])
def test_a_table_of_the_simulation_is_refused(
    refused: Refused, data: Path, name: str, spoil: Callable[[bytes], bytes] | None
) -> None:
    if spoil is not None:
        (data / name).write_bytes(spoil(WHOLE[name]))
    with refused(BadTable, f"{Path(name).name} of the package kcorrect cannot be read: "):
        load(name)


@tuned(
    max_examples=60,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(some.integers(0, 20_000), some.binary(max_size=80), some.integers(0, 80))
def test_any_bytes_are_templates_or_a_named_error(data: Path, start: int, put: bytes, cut: int) -> None:
    whole = WHOLE[TEMPLATES]
    (data / TEMPLATES).write_bytes(whole[:start] + put + whole[start + cut :])
    try:
        load(TEMPLATES)
    except BadTable as error:
        said = str(error)
        assert said.isprintable()
