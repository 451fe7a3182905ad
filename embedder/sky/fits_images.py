"""One FITS image of the sky: where it looks, how large its pixels are and what their numbers mean. Imports astropy.

Nothing is guessed: an image whose header leaves its position, its scale or its unit open is refused by name. Axes of
one element, such as the frequency and the polarisation of a radio map, are dropped.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from astropy import units
from astropy.io import fits
from astropy.wcs import WCS, InvalidSubimageSpecificationError, SingularMatrixError, WcsError
from astropy.wcs.utils import pixel_to_skycoord, proj_plane_pixel_area

from embedder.sky.astropy_tables import UNREADABLE, quiet
from shared.errors import BadInput, BadTable, MissingColumn, NotFinite, SameSkyError, one_line

SUFFIXES = (".fits", ".fit", ".fts", ".fits.gz", ".fit.gz", ".fits.fz")
# Names that headers give to units besides those that astropy knows, in any case; not MJY, which may be either of two.
_SPELLINGS = {
    "jy": "Jy", "beam": "beam", "sr": "sr", "adu": "adu", "dn": "DN", "counts": "count",
    "count": "count", "cts": "count", "ct": "count", "electrons": "electron", "electron": "electron", "e-": "electron",
    "s": "s", "sec": "s", "pixel": "pix", "pix": "pix", "nanomaggies": "nmgy", "nanomaggy": "nmgy", "nmgy": "nmgy",
    "k": "K",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """What the header of an image says.

    ra, dec: of its centre, degrees, ICRS. scale: arcsec per pixel, the root of a pixel's area. unit: as astropy writes
    it. shape: `(y, x)`.
    """

    ra: float
    dec: float
    scale: float
    unit: str
    shape: tuple[int, int]
    wcs: WCS


@dataclass(frozen=True, slots=True)
class SkyImage:
    """An image and what its header says. values: `(y, x) float64`, NaN where it has none."""

    header: ImageHeader
    values: npt.NDArray[np.float64]


def find_images(folder: Path) -> list[Path]:
    """The FITS files of a folder, by name."""
    return sorted(path for path in folder.iterdir() if path.name.lower().endswith(SUFFIXES) and path.is_file())


def read_header(path: Path, unit: str | None) -> ImageHeader:
    """What the header of the first image in a file says; `unit` is for a header that says none.

    Raises BadTable, MissingColumn, NotFinite or BadInput, naming the file.
    """
    with _first_image(path) as (opened, image):
        return _look(path.name, opened, image, unit)


def read_image(path: Path, unit: str | None) -> SkyImage:
    """The first image in a file. Raises as `read_header` does."""
    with _first_image(path) as (opened, image):
        header = _look(path.name, opened, image, unit)
        values = np.asarray(image.data, np.float64).reshape(header.shape)
        return SkyImage(header, values)


def is_per_area(unit: str) -> bool:
    """Whether numbers in this unit are a brightness, alike on small pixels and on large ones: per solid angle or
    beam, or a temperature. Others are a flux in each pixel. Raises BadTable for magnitudes, which have no mean."""
    parsed = units.Unit(unit)
    if not hasattr(parsed, "bases"):
        raise BadTable(f"the unit {unit} is a logarithm", "a linear flux", "convert the images")
    whole = parsed.decompose()
    powers = dict(zip(whole.bases, whole.powers, strict=True))
    if units.dex in powers:
        raise BadTable(f"the unit {unit} is a logarithm", "a linear flux", "convert the images")
    return units.K in powers or powers.get(units.beam, 0) < 0 or powers.get(units.rad, 0) == -2


def parse_unit(text: str, where: str) -> str:
    """The unit that people or headers mean, as astropy writes it. Raises BadTable for one that is not known."""
    unit = _find_unit(text.strip())
    if unit is not None:
        is_per_area(unit)
        return unit
    raise BadTable(
        f"{where}: {text!r:.80} is no unit that is known",
        "a unit of flux or brightness as FITS has it, such as Jy/beam, MJy/sr, nJy, nmgy, adu, electron/s",
        "mend BUNIT in the header",
    )


@cache
def _find_unit(text: str) -> str | None:
    respelt = "/".join(_SPELLINGS.get(part.lower(), part) for part in text.replace(" ", "").split("/"))
    for form in (text, respelt):
        with suppress(TypeError, ValueError), quiet():
            if form:
                return str(units.Unit(form))
    return None


@contextmanager
def _first_image(path: Path) -> Iterator[tuple[Any, Any]]:
    try:
        with quiet(), path.open("rb") as file, fits.open(file, memmap=False) as opened:
            for image in opened:
                if image.is_image and len(image.shape) >= 2:
                    yield opened, image
                    return
            raise BadTable(f"{path.name} has no image", "an image of two axes at least")
    except SameSkyError:
        raise
    except SingularMatrixError as error:
        wrong = f"{path.name} has a WCS without an inverse: a scale is nought, or two axes run the same way"
        raise BadTable(wrong, "axes that span the sky", "mend the header") from error
    except (WcsError, *UNREADABLE) as error:
        reason = f"{one_line(error):.300}"
        raise BadTable(f"{path.name} cannot be read: {reason}", "a whole FITS image", "write it again") from error


def _look(file: str, opened: Any, image: Any, unit: str | None) -> ImageHeader:
    # Notes are the most of many headers, and WCS would read them all.
    header = fits.Header([card for card in image.header.cards if card.keyword not in ("COMMENT", "HISTORY", "")])
    found = _unit(file, header, unit)
    wcs = WCS(header, fobj=opened)
    _check_axes(file, header, wcs, image.shape)
    _check_scale(file, header, wcs)
    try:
        celestial = wcs.celestial
        scale = math.sqrt(proj_plane_pixel_area(celestial)) * 3600.0
    except InvalidSubimageSpecificationError as error:
        raise BadTable(f"{file}: its axes on the sky are mixed with others", "two axes of their own") from error
    height, width = (length for length in image.shape if length > 1)
    centre = pixel_to_skycoord((width - 1) / 2, (height - 1) / 2, celestial).icrs
    ra, dec = float(centre.ra.deg), float(centre.dec.deg)
    if not (math.isfinite(ra) and math.isfinite(dec) and math.isfinite(scale) and scale > 0):
        raise NotFinite(f"{file}: the WCS gives no position or scale at the centre", "a WCS that holds there")
    return ImageHeader(ra, dec, scale, found, (height, width), celestial)


def _unit(file: str, header: Any, given: str | None) -> str:
    said = str(header.get("BUNIT", "")).strip()
    if not said and given is None:
        raise MissingColumn(
            f"{file} does not say the unit of its pixels: it has no BUNIT",
            "BUNIT in the header",
            "give --left-unit or --right-unit",
        )
    unit = parse_unit(said or str(given), file)
    if said and given is not None and parse_unit(given, "the option") != unit:
        raise BadInput(f"{file} has the unit {unit}, not {given}", "an option for images that do not say it")
    return unit


def _check_axes(file: str, header: Any, wcs: WCS, shape: tuple[int, ...]) -> None:
    if not wcs.has_celestial:
        kinds = ", ".join(str(header.get(f"CTYPE{axis + 1}", "none")) for axis in range(len(shape)))
        raise MissingColumn(f"{file} has no axes on the sky: its CTYPEs are {kinds:.200}", "such as RA---TAN, DEC--TAN")
    long_axes = [len(shape) - 1 - place for place, length in enumerate(shape) if length > 1]
    if len(long_axes) != 2:
        raise BadTable(
            f"{file} has an image of shape {shape}, which is not of two axes", "one plane", "write one file of each"
        )
    if set(long_axes) != {wcs.wcs.lng, wcs.wcs.lat}:
        raise BadTable(f"{file} has an image of shape {shape}, whose two long axes are not on the sky", "RA and Dec")


def _check_scale(file: str, header: Any, wcs: WCS) -> None:
    """wcslib takes one degree per pixel where a header says nothing."""
    for axis in (wcs.wcs.lng + 1, wcs.wcs.lat + 1):
        steps = [header.get(f"CDELT{axis}")]
        steps += [header.get(f"CD{axis}_{other}") for other in range(1, wcs.naxis + 1)]
        if not any(isinstance(step, int | float) and math.isfinite(step) and step != 0 for step in steps):
            raise MissingColumn(
                f"{file} does not say how large its pixels are: axis {axis} has neither CDELT nor CD",
                "a WCS with a scale",
                "mend the header",
            )
