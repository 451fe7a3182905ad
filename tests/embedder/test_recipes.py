"""Laws of the recipes, on arbitrary images, and the numbers of the reference on one."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedder.framing import SIDE, cut_patch, zoom_patch
from embedder.recipes import PERCENTILES, Dropped, Prepared, check_recipe, find_recipe
from embedder.samples import Image, Spectrum
from shared.errors import BadInput, BadStudy, MissingBand, UnknownName
from shared.modalities import Modality

BANDS = ("hsc-g", "hsc-r", "hsc-i", "hsc-z", "hsc-y")
SURVEY, OWN = "arcsinh-match-v1", "arcsinh-image-v1"
SEEDS = st.integers(0, 2**32 - 1)


def modality(recipe: str = SURVEY, **given: Any) -> Modality:
    plain = {"name": "hsc", "kind": "image", "column": "hsc_image", "field_arcsec": 4.704}
    return Modality.model_validate({**plain, "recipe": recipe, "bands": ("hsc-g", "hsc-r", "hsc-z"), **given})


def galaxy(seed: int, side: int = 160) -> Image:
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    blob = np.exp(-np.hypot(x / rng.uniform(2, 9), y / rng.uniform(2, 9)))
    flux = rng.normal(0, 0.05, (len(BANDS), side, side)) + blob * rng.uniform(0.5, 9, (len(BANDS), 1, 1))
    return Image(BANDS, flux.astype(np.float32), 0.168)


def show(image: Image, shown: Modality) -> npt.NDArray[np.int16]:
    prepared = find_recipe(shown.recipe).prepare(image, shown)
    assert isinstance(prepared, Prepared)
    assert prepared.values.dtype == np.uint8
    assert prepared.values.shape == (SIDE, SIDE, 3)
    return prepared.values.astype(np.int16)


def with_flux(image: Image, flux: npt.ArrayLike) -> Image:
    return Image(image.bands, np.asarray(flux, np.float32), image.scale)


@pytest.mark.parametrize("recipe", [SURVEY, OWN])
@given(seed=SEEDS, turns=st.integers(1, 3))
def test_a_turned_galaxy_gives_a_turned_picture(recipe: str, seed: int, turns: int) -> None:
    image, shown = galaxy(seed, 40), modality(recipe)
    turned = with_flux(image, np.rot90(image.flux, turns, axes=(1, 2)))
    # One level of 255: interpolation along x, then y, rounds otherwise than along y, then x.
    assert np.abs(show(turned, shown) - np.rot90(show(image, shown), turns)).max() <= 1


@given(seed=SEEDS, gain=st.floats(1e-3, 1e3), offset=st.floats(-5, 5))
def test_the_per_image_recipe_knows_no_unit(seed: int, gain: float, offset: float) -> None:
    image, shown = galaxy(seed, 40), modality(OWN)
    scaled = Image(BANDS, ((image.flux.astype(np.float64) + offset) * gain).astype(np.float32), 0.168)
    assert np.abs(show(scaled, shown) - show(image, shown)).max() <= 1


@given(seed=SEEDS, more=st.floats(0, 3))
def test_more_flux_is_never_darker(seed: int, more: float) -> None:
    image, shown = galaxy(seed, 40), modality()
    added = np.random.default_rng(seed + 1).random(image.flux.shape) * more
    assert (show(with_flux(image, image.flux + added), shown) >= show(image, shown)).all()


@given(seed=SEEDS)
def test_what_is_outside_the_field_or_not_a_shown_band_changes_nothing(seed: int) -> None:
    image, shown = galaxy(seed, 60), modality(OWN)
    other = np.full_like(image.flux, np.nan)
    other[:, 16:44, 16:44] = image.flux[:, 16:44, 16:44]
    other[[2, 4]] = 1e9
    assert (show(with_flux(image, other), shown) == show(image, shown)).all()


def test_the_survey_recipe_is_the_published_formula() -> None:
    image, shown = galaxy(3), modality()
    picture = show(image, shown)
    for channel, band in ((0, "hsc-z"), (1, "hsc-r"), (2, "hsc-g")):
        patch = image.flux[BANDS.index(band), 66:94, 66:94].astype(np.float64)
        low, high = PERCENTILES[band]
        for row, column in ((0, 0), (0, -1), (-1, 0), (-1, -1)):  # corners are whole pixels
            t = (patch[row, column] - low) / (high - low)
            expected = np.clip(np.arcsinh(20 * t) / np.arcsinh(20), 0, 1) * 255
            assert picture[row, column, channel] == int(expected)


def test_white_is_the_99th_percentile_and_black_the_first() -> None:
    flux = np.zeros((5, 160, 160), np.float32)
    for index, band in enumerate(BANDS):
        low, high = PERCENTILES.get(band, (0.0, 1.0))
        flux[index, :, :80], flux[index, :, 80:] = low - 1, high + 1
    picture = show(Image(BANDS, flux, 0.168), modality())
    assert (picture[:, :40] == 0).all()
    assert (picture[:, 56:] == 255).all()


def test_one_band_is_shown_grey() -> None:
    picture = show(galaxy(5), modality(OWN, bands=("hsc-i",)))
    assert (picture == picture[..., :1]).all()
    assert np.ptp(picture) > 100


def test_a_field_of_whole_pixels_is_cut_exactly() -> None:
    image = galaxy(7)
    patch = cut_patch(image, modality())
    assert (patch.flux == image.flux[[0, 1, 3], 66:94, 66:94]).all()
    assert patch.rows[[0, -1]].tolist() == [0, 27]


@pytest.mark.parametrize(("side", "field"), [(40, 15.36), (41, 15.36), (41, 16.0), (40, 39.5)])
def test_any_field_is_centred_and_linear_in_position(side: int, field: float) -> None:
    ramp = np.broadcast_to(np.arange(side, dtype=np.float32), (1, side, side))
    patch = cut_patch(Image(("b",), ramp, 1.0), modality(OWN, bands=("b",), field_arcsec=field))
    zoomed = zoom_patch(patch)[0]
    centre = (side - 1) / 2
    expected = np.linspace(centre - (field - 1) / 2, centre + (field - 1) / 2, SIDE)
    assert np.abs(zoomed - expected).max() < 1e-9


def test_without_a_field_the_whole_image_is_shown() -> None:
    patch = cut_patch(galaxy(1, 96), modality(field_arcsec=None))
    assert patch.flux.shape == (3, 96, 96)
    assert (zoom_patch(patch) == patch.flux).all()


def test_a_field_larger_than_the_image_is_refused() -> None:
    with pytest.raises(BadInput, match=r"choose a field_arcsec from 0.336 to 6.72"):
        cut_patch(galaxy(1, 40), modality(field_arcsec=10))


def test_a_missing_band_is_named_with_those_that_are_there() -> None:
    with pytest.raises(MissingBand, match="no band hsc-q; it has hsc-g, hsc-r"):
        cut_patch(galaxy(1), modality(OWN, bands=("hsc-g", "hsc-r", "hsc-q")))


@pytest.mark.parametrize("recipe", [SURVEY, OWN])
def test_pixels_that_are_not_finite_become_the_median_and_are_counted(recipe: str) -> None:
    image, shown = galaxy(11), modality(recipe)
    holed = image.flux.copy()
    holed[0, 70:72, 70] = np.nan, np.inf
    holed[3, 0, 0] = np.nan  # outside the field
    holed[2, 80, 80] = np.nan  # in a band that is not shown
    prepared = find_recipe(recipe).prepare(with_flux(image, holed), shown)
    assert isinstance(prepared, Prepared)
    assert prepared.repaired == {"nonfinite-pixels": 2}
    filled = holed.copy()
    patch = holed[0, 66:94, 66:94]
    filled[0, 70:72, 70] = np.median(patch[np.isfinite(patch)])
    assert (prepared.values == show(with_flux(image, filled), shown)).all()


@pytest.mark.parametrize("recipe", [SURVEY, OWN])
def test_mostly_nonfinite_images_are_dropped(recipe: str) -> None:
    holed = galaxy(11).flux.copy()
    holed[0, :81] = np.nan
    dropped = find_recipe(recipe).prepare(Image(BANDS, holed, 0.168), modality(recipe))
    assert dropped == Dropped("mostly-nonfinite")


@pytest.mark.parametrize(("recipe", "reason"), [(SURVEY, "empty-image"), (OWN, "constant-image")])
@pytest.mark.parametrize("band", [0, 1, 3])
def test_a_constant_band_that_is_shown_drops_the_object(recipe: str, reason: str, band: int) -> None:
    flux = galaxy(11).flux.copy()
    flux[band] = 0.25
    assert find_recipe(recipe).prepare(Image(BANDS, flux, 0.168), modality(recipe)) == Dropped(reason)


def test_a_spectrum_is_mended_and_counted() -> None:
    flux = np.random.default_rng(0).normal(3, 1, 781).astype(np.float32)
    holed = flux.copy()
    holed[:3] = np.nan
    recipe = find_recipe("spectrum-v1")
    desi = Modality(name="desi", kind="spectrum", column="spectrum", recipe="spectrum-v1")

    def observe(values: npt.NDArray[np.float32]) -> Spectrum:
        return Spectrum(values, np.ones_like(values), np.linspace(3600, 9824, 781, dtype=np.float32), values > -99)

    prepared = recipe.prepare(observe(holed), desi)
    assert isinstance(prepared, Prepared)
    assert prepared.repaired == {"nonfinite-samples": 3}
    assert (prepared.values[3:] == flux[3:]).all()
    assert (prepared.values[:3] == np.median(flux[3:])).all()
    assert recipe.prepare(observe(np.full(781, np.nan, np.float32)), desi) == Dropped("mostly-nonfinite")
    assert recipe.prepare(observe(np.ones(781, np.float32)), desi) == Dropped("constant-spectrum")


def test_recipes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(UnknownName, match="arcsinh-match-v1"):
        check_recipe(modality("arcsinh-match-v2"))
    with pytest.raises(BadStudy, match="no survey percentiles for hsc-i"):
        check_recipe(modality(bands=("hsc-i",)))
    with pytest.raises(BadStudy, match="is for spectrum data, not image; expected one of arcsinh-image-v1"):
        check_recipe(modality("spectrum-v1"))
