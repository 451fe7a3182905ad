"""From fluxes and catalogue entries to model input: registered recipes, each a function of one object and its modality.

Imports numpy only. A recipe sees one object and never its batch-mates, so an embedding depends on its object
alone. An object that cannot be shown is `Dropped` with a reason, which is counted and reported; that is an
expected end, not an error.

**Pixels that are not finite** are treated alike by every recipe: each is set to the median of the finite pixels
of its band within the patch shown, and counted as `nonfinite-pixels`; an object of which more than half of the
patch is not finite in some shown band is dropped as `mostly-nonfinite`.

**What a catalogue does not know** is left out of a sentence, and counted as `unknown-values`; an object of which it
knows nothing that is told is dropped as `empty-entry`. An object whose label is unknown is dropped as
`missing-label`, and never given one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from embedder.extensions import Registry
from embedder.framing import cut_patch, resize_picture, zoom_patch
from embedder.light_curves import show_light_curve
from embedder.samples import Entry, Image, Observation, Picture, Spectrum, Value, Vector
from embedder.shown import Dropped, Prepared, Values
from shared.errors import BadStudy
from shared.modalities import Kind, Modality

__all__ = ["PERCENTILES", "RECIPES", "Dropped", "Prepared", "Recipe", "Values", "check_recipe", "find_recipe"]

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
_DIGITS = 4  # significant ones, of a number in a sentence


@dataclass(frozen=True, slots=True)
class Recipe:
    """One way from flux to model input.

    bands: the only bands it knows, or None where any will do. of_pictures: whether it takes images that are in colours
    already, and so have no bands.
    """

    name: str
    kind: Kind
    prepare: Callable[[Observation, Modality], Prepared | Dropped]
    bands: frozenset[str] | None = None
    of_pictures: bool = False


def find_recipe(name: str) -> Recipe:
    """The recipe of that name. Raises UnknownName, with near names."""
    return RECIPES.find(name)


def check_recipe(modality: Modality) -> None:
    """Refuse a modality whose recipe is unknown, or cannot show it. Raises UnknownName or BadStudy."""
    recipe = find_recipe(modality.recipe)
    if recipe.kind != modality.kind:
        fitting = sorted(name for name in RECIPES.names() if RECIPES.find(name).kind == modality.kind)
        raise BadStudy(
            f"recipe {recipe.name} of modality {modality.name} is for {recipe.kind} data, not {modality.kind}",
            f"one of {', '.join(fitting)}",
        )
    if modality.kind == "image" and recipe.of_pictures == bool(modality.bands):
        raise BadStudy(
            f"recipe {recipe.name} of modality {modality.name} with {len(modality.bands)} bands",
            "bands for fluxes, and none for pictures that are in colours already",
            "name the bands, or take recipe picture-v1 without any",
        )
    unknown = set() if recipe.bands is None else set(modality.bands) - recipe.bands
    if unknown:
        raise BadStudy(
            f"recipe {recipe.name} of {modality.name} has no survey percentiles for {', '.join(sorted(unknown))}",
            f"bands {', '.join(sorted(recipe.bands or ()))}",
            "use recipe arcsinh-image-v1, which takes any band",
        )


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


def show_spectrum(observation: Observation, modality: Modality) -> Prepared | Dropped:
    """`spectrum-v1`: the flux density as observed, in the survey's unit; scaling is left to the model.

    Samples that are not finite are set to the median of the others and counted as `nonfinite-samples`; more than
    half of them, and the object is dropped as `mostly-nonfinite`; a flat line is dropped as `constant-spectrum`.
    """
    if not isinstance(observation, Spectrum):
        raise TypeError(f"a spectrum recipe was given {modality.name}, a {type(observation).__name__}")
    flux = observation.flux.astype(np.float32)
    finite = np.isfinite(flux)
    if 2 * np.count_nonzero(finite) < flux.size or not flux.size:
        return Dropped("mostly-nonfinite")
    flux[~finite] = np.median(flux[finite])
    if flux.min() == flux.max():
        return Dropped("constant-spectrum")
    return Prepared(flux, _count("nonfinite-samples", finite))


def give_spectrum(observation: Observation, modality: Modality) -> Prepared | Dropped:
    """`spectrum-flux-v1`: as `spectrum-v1`, with wavelengths, mask and inverse variance, for models that take them too.

    A sample that was mended, or whose inverse variance is not finite, has an inverse variance of nought.
    """
    shown = show_spectrum(observation, modality)
    if isinstance(shown, Dropped) or not isinstance(observation, Spectrum):
        return shown
    known = np.isfinite(observation.flux) & np.isfinite(observation.ivar)
    ivar = np.where(known, observation.ivar, np.float32(0))
    return Prepared(replace(observation, flux=np.asarray(shown.values), ivar=ivar), shown.repaired)


def tell_entry(observation: Observation, modality: Modality) -> Prepared | Dropped:
    """`sentence-v1`: the columns of a catalogue in one sentence, in the order of the modality.

    Each is told as title, value and unit, as in `r flux 132.6 nanomaggies, J magnitude 15.36 mag.` A number has four
    significant digits, ending noughts too, so that the length of a text says nothing of its object; a whole number
    stands as it is, and words with single spaces. What is unknown, or infinite, is left out and counted.
    """
    values = _as_entry(observation).values
    told = [
        " ".join(f"{column.title or column.name} {words} {column.unit}".split())
        for column in modality.columns
        if (words := _tell(values[column.name]))
    ]
    if not told:
        return Dropped("empty-entry")
    unknown = len(modality.columns) - len(told)
    return Prepared(f"{', '.join(told)}.", {"unknown-values": unknown} if unknown else {})


def give_numbers(observation: Observation, modality: Modality) -> Prepared | Dropped:
    """`numbers-v1`: each column of a catalogue as (x - centre)/scale, `(column,) float32`, in the modality's order.

    Centre and scale stand in the modality, so an object's numbers are its own. An object is dropped as `unknown-number`
    when one of them is unknown or infinite: there is no number that says so.
    """
    values = _as_entry(observation).values
    numbers = np.array([_as_number(values[column.name]) for column in modality.columns])
    given = (numbers - [column.centre for column in modality.columns]) / [column.scale for column in modality.columns]
    with np.errstate(over="ignore"):
        narrow = given.astype(np.float32)
    return Prepared(narrow) if np.isfinite(narrow).all() else Dropped("unknown-number")


def give_vector(observation: Observation, modality: Modality) -> Prepared | Dropped:
    """`vector-v1`: a published vector as the table has it, in single precision, `(d,) float32`.

    One that double precision alone could hold is rounded to the nearest, and counted as `rounded-vectors`.
    """
    if not isinstance(observation, Vector):
        raise TypeError(f"a recipe of vectors was given {modality.name}, a {type(observation).__name__}")
    return Prepared(observation.values, {"rounded-vectors": 1} if observation.rounded else {})


def read_label(observation: Observation, modality: Modality) -> Prepared | Dropped:
    """`label-v1`: the value itself, in single precision; of a word, its place among the classes, from 0.

    Besides an unknown label, one that is infinite, or too large for single precision, is dropped: as `infinite-label`.
    """
    value = _as_entry(observation).values[modality.column]
    if value is None:
        return Dropped("missing-label")
    number = modality.classes.index(str(value)) if modality.classes else value
    with np.errstate(over="ignore"):
        label = np.array([number], np.float32)
    return Prepared(label) if np.isfinite(label).all() else Dropped("infinite-label")


def _as_number(value: Value) -> float:
    return np.nan if value is None or isinstance(value, str) else float(value)


def _tell(value: Value) -> str:
    """Empty for what is unknown, or infinite."""
    if value is None or (isinstance(value, float) and not np.isfinite(value)):
        return ""
    if isinstance(value, float):
        return f"{value + 0.0:#.{_DIGITS}g}".rstrip(".")  # plus nought: -0 is 0
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


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
    return _count("nonfinite-pixels", finite)


def _count(kind: str, finite: npt.NDArray[np.bool_]) -> dict[str, int]:
    bad = int(np.count_nonzero(~finite))
    return {kind: bad} if bad else {}


def _as_image(observation: Observation) -> Image:
    if not isinstance(observation, Image):
        raise TypeError(f"an image recipe was given a {type(observation).__name__}")
    return observation


def _as_entry(observation: Observation) -> Entry:
    if not isinstance(observation, Entry):
        raise TypeError(f"a recipe of catalogues was given a {type(observation).__name__}")
    return observation


RECIPES = Registry[Recipe](
    "recipe",
    {
        recipe.name: recipe
        for recipe in (
            Recipe("arcsinh-match-v1", "image", show_by_survey, frozenset(PERCENTILES)),
            Recipe("arcsinh-image-v1", "image", show_by_image),
            Recipe("flux-v1", "image", give_flux),
            Recipe("picture-v1", "image", show_picture, of_pictures=True),
            Recipe("spectrum-v1", "spectrum", show_spectrum),
            Recipe("spectrum-flux-v1", "spectrum", give_spectrum),
            Recipe("light-curve-v1", "light-curve", show_light_curve),
            Recipe("sentence-v1", "text", tell_entry),
            Recipe("numbers-v1", "numbers", give_numbers),
            Recipe("vector-v1", "vector", give_vector),
            Recipe("label-v1", "label", read_label),
        )
    },
    lambda extension: extension.recipes,
)
