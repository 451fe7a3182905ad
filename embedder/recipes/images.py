"""Recipes of images: fluxes in bands, or pictures in colours already, to what a model is shown. Imports numpy.

**Pixels that are not finite** are treated alike by every recipe: each is set to the median of the finite pixels
of its band within the patch shown, and counted as `nonfinite-pixels`; an object of which more than half of the
patch is not finite in some shown band is dropped as `mostly-nonfinite`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from embedder.framing import cut_patch, resize_picture, zoom_patch
from embedder.recipes.shown import Dropped, Prepared, count_bad
from embedder.samples import Image, Observation, Picture
from shared.modalities import Modality

Numbers = npt.NDArray[np.float64]

# Survey percentiles 1 and 99, each in the survey's own flux unit (HSC: ADU at zero point 27; Legacy: nanomaggies;
# JWST: 10 nJy), as the reference of arXiv 2509.19453 published them.
PERCENTILES: Mapping[str, tuple[float, float]] = MappingProxyType(
    {
        "hsc-g": (-0.011503, 2.438539),
        "hsc-r": (-0.009395, 5.197094),
        "hsc-z": (-0.014416, 10.599110),
        "des-g": (-0.001625, 0.084145),
        "des-r": (-0.002162, 0.199578),
        "des-z": (-0.005664, 0.384348),
        "f090w": (-0.125416, 2.447436),
        "f277w": (-0.037787, 5.846490),
        "f444w": (-0.057082, 4.091786),
    }
)
_SOFTENING = 20.0
_PICTURE_SIDE = 224


def show_by_survey(observation: Observation, modality: Modality) -> Prepared | Dropped:
    """`arcsinh-match-v1`: the survey's own percentiles set black and white (arXiv 2509.19453).

    The centre patch, zoomed to 96 x 96; per band t = (flux - p1)/(p99 - p1), shown as
    arcsinh(20 t)/arcsinh(20), clipped to 0..1, times 255 and cut to uint8. The reddest band is the R channel.

    An object is dropped as `empty-image` when a shown band has equal 5th and 99th percentiles over the patch. The
    reference tests the fourth JWST band alone, by its position, and says no more; here it is each band that is
    shown, by name, so that it does not rest on the order of a table, and holds for every survey.
    """
    patch = cut_patch(_as_image(observation), modality)
    repaired = _repair(patch.flux)
    if isinstance(repaired, Dropped):
        return repaired
    low, high = np.percentile(patch.flux, (5, 99), axis=(1, 2))
    if (low == high).any():
        return Dropped("empty-image")
    limits = np.array([PERCENTILES[band] for band in modality.bands])
    return Prepared(_show(zoom_patch(patch), limits[:, 0], limits[:, 1]), repaired)


def show_by_image(observation: Observation, modality: Modality) -> Prepared | Dropped:
    """`arcsinh-image-v1`: the image's own percentiles set black and white, for surveys without published ones.

    As `arcsinh-match-v1`, but p1 and p99 are those of the object's own patch, band by band, so the result does not
    depend on the flux unit. An object is dropped as `constant-image` when a shown band has p1 = p99.
    """
    patch = cut_patch(_as_image(observation), modality)
    repaired = _repair(patch.flux)
    if isinstance(repaired, Dropped):
        return repaired
    low, high = np.percentile(patch.flux, (1, 99), axis=(1, 2))
    if (low == high).any():
        return Dropped("constant-image")
    return Prepared(_show(zoom_patch(patch), low, high), repaired)


def give_flux(observation: Observation, modality: Modality) -> Prepared | Dropped:
    """`flux-v1`: the fluxes as observed, `(band, y, x) float32`, in the survey's unit, for models that take them raw.

    Every band of the table, not only those the modality shows, and the whole image on its own pixels: what a model
    takes of them is its own affair, and its patch of sky is not the modality's. An object with a band in which nothing
    differs is dropped as `constant-image`.
    """
    del modality
    image = _as_image(observation)
    flux = image.flux.astype(np.float64)
    repaired = _repair(flux)
    if isinstance(repaired, Dropped):
        return repaired
    if (flux.min(axis=(1, 2)) == flux.max(axis=(1, 2))).any():
        return Dropped("constant-image")
    return Prepared(replace(image, flux=flux.astype(np.float32)), repaired)


def show_picture(observation: Observation, modality: Modality) -> Prepared | Dropped:
    """`picture-v1`: a picture that is in colours already: its centred square, `(224, 224, 3)`, by linear zoom.

    224 pixels are what most models look at. An object is dropped as `constant-image` when all pixels are alike.
    """
    if not isinstance(observation, Picture):
        raise TypeError(f"a recipe of pictures was given {modality.name}, a {type(observation).__name__}")
    height, width = observation.pixels.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = observation.pixels[top : top + side, left : left + side]
    if square.min() == square.max():
        return Dropped("constant-image")
    return Prepared(resize_picture(square, _PICTURE_SIDE))


def _show(zoomed: Numbers, black: Numbers, white: Numbers) -> npt.NDArray[np.uint8]:
    t = (zoomed - black[:, None, None]) / (white - black)[:, None, None]
    shown = np.clip(np.arcsinh(_SOFTENING * t) / np.arcsinh(_SOFTENING), 0, 1)
    red_first = (shown * 255).astype(np.uint8)[::-1].transpose(1, 2, 0)
    return np.ascontiguousarray(np.broadcast_to(red_first, (*red_first.shape[:2], 3)))


def _repair(flux: Numbers) -> Mapping[str, int] | Dropped:
    """Mend the patch in place, and count; or drop it."""
    finite = np.isfinite(flux)
    if finite.all():
        return {}
    if (finite.mean(axis=(1, 2)) < 0.5).any():
        return Dropped("mostly-nonfinite")
    for band, good in zip(flux, finite, strict=True):
        band[~good] = np.median(band[good])
    return count_bad("nonfinite-pixels", finite)


def _as_image(observation: Observation) -> Image:
    if not isinstance(observation, Image):
        raise TypeError(f"an image recipe was given a {type(observation).__name__}")
    return observation
