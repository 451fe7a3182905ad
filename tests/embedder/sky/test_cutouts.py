"""Patches of sky: against the gnomonic projection written out, and what a common frame promises."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from astropy.io import fits
from hypothesis import example, given, settings
from hypothesis import strategies as some

from embedder.sky.cutouts import count_pixels, cut_out
from embedder.sky.fits_images import ImageHeader, SkyImage, is_per_area, parse_unit, read_header, read_image
from shared.errors import BadInput, BadTable
from tests.embedder.sky.conftest import make_wcs

Reals = npt.NDArray[np.float64]
WriteImage = Callable[..., Path]


def image_of(
    values: Reals, scale: float, ra: float, dec: float, turn: float = 0.0, unit: str = "Jy / beam"
) -> SkyImage:
    side = len(values)
    return SkyImage(ImageHeader(ra, dec, scale, unit, (side, side), make_wcs(ra, dec, side, scale, turn)), values)


def unproject(x: Reals, y: Reals, ra: float, dec: float) -> tuple[Reals, Reals]:
    """Degrees of points at x west and y north, in arcsec, on the tangent plane at a position."""
    xi, eta = -np.radians(x / 3600), np.radians(y / 3600)
    alpha, delta = np.radians(ra), np.radians(dec)
    below = np.cos(delta) - eta * np.sin(delta)
    out_ra = alpha + np.arctan2(xi, below)
    out_dec = np.arctan2(np.sin(delta) + eta * np.cos(delta), np.hypot(xi, below))
    return np.degrees(out_ra), np.degrees(out_dec)


def project(ra: Reals, dec: Reals, at_ra: float, at_dec: float) -> tuple[Reals, Reals]:
    """Arcsec west and north on the tangent plane at a position."""
    da, d, e = np.radians(ra - at_ra), np.radians(dec), np.radians(at_dec)
    depth = np.sin(e) * np.sin(d) + np.cos(e) * np.cos(d) * np.cos(da)
    xi = np.cos(d) * np.sin(da) / depth
    eta = (np.cos(e) * np.sin(d) - np.sin(e) * np.cos(d) * np.cos(da)) / depth
    return -np.degrees(xi) * 3600, np.degrees(eta) * 3600


def test_an_image_cut_on_its_own_grid_keeps_every_bit() -> None:
    values = np.random.default_rng(1).normal(size=(31, 31)).astype(np.float32).astype(np.float64)
    values[4, 7] = np.nan
    cutout = cut_out(image_of(values, 2.0, 359.99, 89.0), 359.99, 89.0, 62.0)
    assert np.array_equal(cutout.flux, values.astype(np.float32), equal_nan=True)
    assert (cutout.scale, cutout.outside) == (2.0, 1)
    inner = cut_out(image_of(values, 2.0, 10.0, 0.0), 10.0, 0.0, 18.0)
    assert np.array_equal(inner.flux, values[11:20, 11:20].astype(np.float32))


@settings(max_examples=20, deadline=None)
@given(
    some.floats(0, 360), some.floats(-90, 90), some.floats(0, 360), some.floats(-30, 30), some.sampled_from([0.5, 1.0])
)
@example(0.0, 90.0, 0.0, 5.0, 1.0)
@example(77.0, -90.0, 10.0, -5.0, 1.0)
def test_a_plane_is_cut_as_the_projection_says(ra: float, dec: float, turn: float, shift: float, scale: float) -> None:
    """Brightness that grows linearly over a turned image is linear on the grid too, whatever the pole."""
    side, own = 101, 1.0
    rows, columns = np.mgrid[:side, :side].astype(np.float64)
    image = image_of(3.0 * columns - 2.0 * rows, own, ra, dec, turn)
    to_ra, to_dec = (float(v) for v in unproject(np.array(shift), np.array(shift / 2), ra, dec))
    cutout = cut_out(image, to_ra, to_dec, 20.0, scale)
    y, x = (np.mgrid[: len(cutout.flux), : len(cutout.flux)] - (len(cutout.flux) - 1) / 2) * scale
    west, north = project(*unproject(x, y, to_ra, to_dec), ra, dec)
    c, s = np.cos(np.radians(turn)), np.sin(np.radians(turn))
    expected = 3.0 * (c * west + s * north + 50) - 2.0 * (-s * west + c * north + 50)
    assert cutout.outside == 0
    assert np.allclose(cutout.flux, expected, atol=1e-3)


def test_two_surveys_show_the_same_patch_north_up_and_east_left(tmp_path: Path, write_image: WriteImage) -> None:
    """One source to the north-east, in pixels of 1 and of 3 arcsec; the second image is upside down."""
    stars = {}
    for name, scale, turn, side in (("fine", 1.0, 0.0, 60), ("coarse", 3.0, 180.0, 30)):
        rows, columns = np.mgrid[:side, :side] - (side - 1) / 2
        sign = -1 if turn else 1
        x, y = sign * columns * scale, sign * rows * scale  # west, north
        values = np.exp(-((x + 8) ** 2 + (y - 10) ** 2) / 2 / 4.0**2)
        path = write_image(tmp_path / f"{name}.fits", 200.0, -45.0, values=values, scale=scale, turn=turn)
        cutout = cut_out(read_image(path, None), 200.0, -45.0, 54.0)
        assert len(cutout.flux) * cutout.scale == pytest.approx(54.0)
        weight = cutout.flux / cutout.flux.sum()
        at = (np.arange(len(weight)) - (len(weight) - 1) / 2) * cutout.scale
        stars[name] = float((weight.sum(axis=0) * at).sum()), float((weight.sum(axis=1) * at).sum())
    assert stars["fine"] == pytest.approx((-8, 10), abs=0.02)
    assert stars["coarse"] == pytest.approx((-8, 10), abs=0.02)


@pytest.mark.parametrize(
    ("unit", "kept"), [("Jy / beam", "mean"), ("MJy / sr", "mean"), ("nJy", "sum"), ("adu", "sum")]
)
def test_larger_pixels_keep_brightness_or_flux(unit: str, kept: str) -> None:
    values = np.random.default_rng(2).uniform(1, 2, (40, 40))
    cutout = cut_out(image_of(values, 1.0, 30.0, 10.0, unit=unit), 30.0, 10.0, 40.0, 4.0)
    blocks = values.reshape(10, 4, 10, 4)
    expected = blocks.mean(axis=(1, 3)) if kept == "mean" else blocks.sum(axis=(1, 3))
    assert np.allclose(cutout.flux, expected, rtol=1e-6)


def test_beyond_the_image_is_nan_and_counted() -> None:
    cutout = cut_out(image_of(np.ones((10, 10)), 1.0, 30.0, 10.0), 30.0, 10.0, 20.0)
    assert np.isnan(cutout.flux).sum() == cutout.outside == 300
    assert (cutout.flux[5:15, 5:15] == 1).all()
    away = cut_out(image_of(np.ones((10, 10)), 1.0, 30.0, 10.0), 210.0, -10.0, 20.0)  # the other side of the sky
    assert away.outside == 400


def test_a_field_is_covered_by_whole_pixels() -> None:
    assert [count_pixels(240.0, scale) for scale in (15.0, 15.000372, 1.8, 1.80000000001)] == [16, 16, 134, 134]
    for size, scale in ((1.0, 2.0), (1e6, 1.0)):
        with pytest.raises(BadInput, match="2 to 4096 pixels"):
            count_pixels(size, scale)


def test_axes_of_one_element_are_dropped_wherever_they_stand(tmp_path: Path, write_image: WriteImage) -> None:
    values = np.random.default_rng(3).normal(size=(1, 1, 12, 12))
    extra = {"CTYPE3": "FREQ", "CRVAL3": 1.4e9, "CDELT3": 1e6, "CRPIX3": 1.0, "CTYPE4": "STOKES", "CRVAL4": 1.0}
    path = write_image(tmp_path / "cube.fits", values=values, **extra, CDELT4=1.0, CRPIX4=1.0)
    image = read_image(path, None)
    assert image.header.shape == (12, 12)
    assert (image.header.ra, image.header.dec) == pytest.approx((150.0, 2.0))
    assert np.array_equal(image.values, values[0, 0].astype(np.float32))


def test_compressed_images_and_later_extensions_are_read(tmp_path: Path, write_image: WriteImage) -> None:
    values = np.random.default_rng(4).normal(size=(12, 12)).astype(np.float32)
    plain = write_image(tmp_path / "plain.fits", values=values)
    header = fits.getheader(plain)
    packed = fits.CompImageHDU(values, header, compression_type="GZIP_2", quantize_level=0)
    fits.HDUList([fits.PrimaryHDU(), packed]).writeto(tmp_path / "packed.fits.fz")
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(values, header)]).writeto(tmp_path / "later.fits.gz")
    for name in ("plain.fits", "packed.fits.fz", "later.fits.gz"):
        assert np.array_equal(read_image(tmp_path / name, None).values, values)


def test_distortions_of_a_camera_are_followed(tmp_path: Path, write_image: WriteImage) -> None:
    """SIP: 0.01 u² pixels to the east or west; the value that an image has at 10 pixels is shown at 11."""
    columns = np.broadcast_to(np.arange(41.0), (41, 41))
    sip = {"CTYPE1": "RA---TAN-SIP", "CTYPE2": "DEC--TAN-SIP", "A_ORDER": 2, "B_ORDER": 2, "A_2_0": 0.01}
    image = read_image(write_image(tmp_path / "sip.fits", values=columns, **sip), None)
    cutout = cut_out(image, 150.0, 2.0, 31.0)
    across = np.arange(31.0) - 15
    seen = cutout.flux[15] - 20
    assert np.allclose(seen + 0.01 * seen**2, across, atol=0.02)


def test_images_in_galactic_coordinates_and_of_b1950_are_placed(tmp_path: Path, write_image: WriteImage) -> None:
    """Centaurus A, by its catalogue positions: l 309.5159, b 19.4173; B1950 13 22 31.6 -42 45 30."""
    galactic = write_image(tmp_path / "g.fits", 309.5159, 19.4173, CTYPE1="GLON-TAN", CTYPE2="GLAT-TAN", RADESYS=None)
    old = write_image(tmp_path / "b.fits", 200.63167, -42.75833, RADESYS="FK4", EQUINOX=1950.0)
    for path in (galactic, old):
        header = read_header(path, None)
        assert (header.ra, header.dec) == pytest.approx((201.365, -43.019), abs=0.003)


UNITS = [
    ("JY/BEAM", "Jy / beam", True),
    ("mJy/beam", "mJy / beam", True),
    ("MJy/sr", "MJy / sr", True),
    ("Jy/arcsec2", "Jy / arcsec2", True),
    ("K", "K", True),
    ("nanomaggies", "nmgy", False),
    ("ADU", "adu", False),
    ("COUNTS/S", "ct / s", False),
    ("ELECTRONS/S", "electron / s", False),
    ("Jy/pixel", "Jy / pix", False),
]


@pytest.mark.parametrize(("text", "unit", "area"), UNITS)
def test_units_are_read_as_headers_spell_them(text: str, unit: str, area: bool) -> None:
    assert parse_unit(text, "x.fits") == unit
    assert is_per_area(unit) is area


@pytest.mark.parametrize("text", ["furlongs", "", "mag", "mag/arcsec2", "Jy/beem", "dex", "MJY/SR"])
def test_units_that_are_none_or_no_linear_flux_are_refused(text: str) -> None:
    with pytest.raises(BadTable, match="unit"):
        parse_unit(text, "x.fits")
