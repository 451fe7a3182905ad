"""The patch of sky around one position, on a grid that all surveys share. Imports numpy and astropy.

The grid is the tangent plane at the position: north up (rows run north, as in FITS), east to the left (columns run
west), square pixels. Every survey is cut around the same point and covers the same angle, each in pixels of its own
size, so its sharpness is its own.

Values between pixels are interpolated linearly. Where pixels of the grid are larger than those of the image, each is
the mean over its area, of at least one point for each pixel of the image. A brightness (per beam, per solid angle) is
kept; a flux per pixel is multiplied by the ratio of the pixels' areas, so that a sum over a patch is kept. What lies
beyond the outermost pixels, or next to one without a value, is NaN.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from astropy.wcs import WCS
from astropy.wcs.utils import pixel_to_skycoord, skycoord_to_pixel

from embedder.sky.fits_images import SkyImage, is_per_area
from embedder.sky.frames import Reals
from shared.errors import BadInput

_WHOLE = 1e-3  # of a pixel: so near to a whole number of them, a size is one; scales are rounded in headers
_ALIGNED = 6  # digits of a pixel: the two grids' rounding, so that a grid laid on itself gives the same bits
_MOST_PIXELS = 4096


@dataclass(frozen=True, slots=True)
class Cutout:
    """flux: `(y, x) float32`; scale: arcsec per pixel; outside: how many pixels have no value."""

    flux: npt.NDArray[np.float32]
    scale: float
    outside: int


def cut_out(image: SkyImage, ra: float, dec: float, size_arcsec: float, scale_arcsec: float | None = None) -> Cutout:
    """The square patch around a position in degrees, ICRS, that covers `size_arcsec`, in whole pixels.

    scale_arcsec: of the pixels; None: the image's own. Raises BadInput for fewer than 2 pixels, or more than 4096.
    """
    scale = scale_arcsec or image.header.scale
    side = count_pixels(size_arcsec, scale)
    finer = max(1, math.ceil(scale / image.header.scale - _WHOLE))
    grid = _grid(ra, dec, side * finer, scale / finer)
    rows, columns = np.mgrid[: side * finer, : side * finer]
    sky = pixel_to_skycoord(columns, rows, grid)
    x, y = skycoord_to_pixel(sky, image.header.wcs, mode="all")
    values = _interpolate(image.values, np.round(y, _ALIGNED), np.round(x, _ALIGNED))
    values = values.reshape(side, finer, side, finer).mean(axis=(1, 3))
    if not is_per_area(image.header.unit):
        values *= (scale / image.header.scale) ** 2
    with np.errstate(over="ignore"):  # beyond single precision is infinite, which a recipe repairs and counts
        flux = values.astype(np.float32)
    return Cutout(flux, scale, int(np.count_nonzero(~np.isfinite(flux))))


def count_pixels(size_arcsec: float, scale: float) -> int:
    """Pixels on a side. Raises BadInput where that is no image."""
    side = math.ceil(size_arcsec / scale - _WHOLE)
    if not 2 <= side <= _MOST_PIXELS:
        raise BadInput(
            f"--size of {size_arcsec:g} arcsec is {side} pixels of {scale:g} arcsec",
            f"2 to {_MOST_PIXELS} pixels",
            f"choose a size from {2 * scale:g} to {_MOST_PIXELS * scale:g} arcsec",
        )
    return side


def _grid(ra: float, dec: float, side: int, scale: float) -> WCS:
    grid = WCS(naxis=2)
    grid.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    grid.wcs.radesys = "ICRS"
    grid.wcs.crval = [ra, dec]
    grid.wcs.crpix = [(side + 1) / 2] * 2
    grid.wcs.cdelt = [-scale / 3600.0, scale / 3600.0]
    grid.wcs.lonpole = 180.0  # at the very pole wcslib would take 0, and turn the patch round
    return grid


def _interpolate(values: Reals, y: Reals, x: Reals) -> Reals:
    """Values at positions in pixels; half a pixel beyond the outermost centres is still theirs, then comes NaN."""
    height, width = values.shape
    with np.errstate(invalid="ignore"):
        inside = (y >= -0.5) & (y <= height - 0.5) & (x >= -0.5) & (x <= width - 0.5)  # NaN: behind the sky
    y, x = (np.clip(np.where(inside, at, 0.0), 0, length - 1) for at, length in ((y, height), (x, width)))
    low_y = np.minimum(y.astype(np.intp), height - 2)
    low_x = np.minimum(x.astype(np.intp), width - 2)
    up, right = y - low_y, x - low_x
    total = np.zeros(y.shape)
    for dy, dx, weight in (
        (0, 0, (1 - up) * (1 - right)),
        (0, 1, (1 - up) * right),
        (1, 0, up * (1 - right)),
        (1, 1, up * right),
    ):
        total += np.where(weight == 0, 0.0, weight * values[low_y + dy, low_x + dx])  # a NaN without weight is none
    total[~inside] = np.nan
    return total
