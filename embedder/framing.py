"""Which patch of sky is shown, and its linear zoom to the size a recipe yields. Imports numpy; Pillow for pictures.

A patch is centred, square, and given by its angular size, so that two surveys of different pixels show the
same sky.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from embedder.samples import Image
from shared.errors import BadInput, MissingBand
from shared.modalities import Modality

SIDE = 96
# A field is a whole number of pixels when it is within this much of one: scales are stored as float32.
_PIXEL_TOLERANCE = 1e-3


@dataclass(frozen=True, slots=True)
class Patch:
    """The centre of an image: the pixels that carry it, and where on them the zoom takes its samples.

    flux: `(band, y, x) float64`, the bands of the modality, blue to red; rows, columns: `(SIDE,)`, positions in
    pixels of `flux`.
    """

    flux: npt.NDArray[np.float64]
    rows: npt.NDArray[np.float64]
    columns: npt.NDArray[np.float64]


def cut_patch(image: Image, modality: Modality) -> Patch:
    """The centre patch of `image` that `modality` shows.

    `field_arcsec / scale` pixels on a side; the largest centred square where the modality names no field. A
    whole number of pixels is cut exactly where it can be centred. Raises MissingBand, and BadInput when the
    image covers less sky than the field.
    """
    height, width = image.flux.shape[1:]
    side = float(min(height, width))
    if modality.field_arcsec is not None:
        side = _pixels(modality.field_arcsec, image.scale, side)
    y_cut, rows = _window(height, side)
    x_cut, columns = _window(width, side)
    flux = image.flux[find_bands(image.bands, modality)][:, y_cut, x_cut]
    return Patch(flux.astype(np.float64), rows, columns)


def zoom_patch(patch: Patch) -> npt.NDArray[np.float64]:
    """The patch on `(band, SIDE, SIDE)` pixels, by linear interpolation; the outermost pixels' centres stay so."""
    columns_zoomed = _interpolate(patch.flux, patch.columns)
    return _interpolate(columns_zoomed.swapaxes(1, 2), patch.rows).swapaxes(1, 2)


def resize_picture(pixels: npt.NDArray[np.uint8], side: int) -> npt.NDArray[np.uint8]:
    """A square picture, `(y, x, 3)`, on `(side, side, 3)` pixels: linear, and without aliasing when it shrinks."""
    from PIL import Image as Pillow

    resized = Pillow.fromarray(np.ascontiguousarray(pixels)).resize((side, side), Pillow.Resampling.BILINEAR)
    return np.asarray(resized)


def find_bands(bands: tuple[str, ...], modality: Modality) -> list[int]:
    """Where the modality's bands stand among `bands`. Raises MissingBand."""
    missing = [band for band in modality.bands if band not in bands]
    if missing:
        raise MissingBand(
            f"the {modality.name} image has no band {', '.join(missing)}; it has {', '.join(bands) or 'none'}",
            f"the bands {', '.join(modality.bands)}",
            "name bands of the table in the modality",
        )
    return [bands.index(band) for band in modality.bands]


def _pixels(field_arcsec: float, scale: float, available: float) -> float:
    pixels = field_arcsec / scale
    if math.isfinite(pixels) and abs(pixels - round(pixels)) < _PIXEL_TOLERANCE:
        pixels = float(round(pixels))
    if not 2 <= pixels <= available:
        raise BadInput(
            f"a field of {field_arcsec:g} arcsec is {pixels:g} pixels of {scale:g} arcsec; the image has {available:g}",
            f"2 to {available:g} pixels",
            f"choose a field_arcsec from {2 * scale:g} to {available * scale:g}",
        )
    return pixels


def _window(length: int, side: float) -> tuple[slice, npt.NDArray[np.float64]]:
    first = (length - side) / 2
    start, stop = math.floor(first), math.ceil(first + side - 1) + 1
    return slice(start, stop), np.linspace(first - start, first - start + side - 1, SIDE)


def _interpolate(flux: npt.NDArray[np.float64], positions: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Linear interpolation along the last axis."""
    below = np.clip(np.floor(positions).astype(np.intp), 0, flux.shape[-1] - 2)
    above = positions - below
    between: npt.NDArray[np.float64] = flux[..., below] * (1 - above) + flux[..., below + 1] * above
    return between
