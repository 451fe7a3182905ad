"""Render a simulated galaxy as a survey would see it: components, point-spread function, pixels, noise.

Each component (bulge, smooth disc, young disc) is drawn once per survey as a map of unit flux; a band is the sum of
the maps, weighted by the component's flux in that band and convolved by that band's point-spread function. Lengths are
arcsec, axis order is (band, y, x). Everything is done per galaxy, so no image knows of another.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt
from astropy.modeling.functional_models import AiryDisk2D, Moffat2D, Sersic2D
from scipy import fft
from scipy.special import gamma, gammaincinv

from embedder.sources.mocksky.photometry import NJY_PER_MAGGIE, Reals
from embedder.sources.mocksky.population import Galaxy
from embedder.sources.mocksky.structure import Structure
from embedder.sources.mocksky.surveys import Survey

Floats = npt.NDArray[np.float32]

_MOFFAT_BETA = 3.5
_AIRY_RADIUS_PER_FWHM = 1.22 / 1.029  # first dark ring over full width at half maximum
_BESSEL_I0 = (1.0, 3.5156229, 3.0899424, 1.2067492, 0.2659732, 0.0360768, 0.0045813)


def render(galaxy: Galaxy, survey: Survey, seed: int) -> Floats:
    """The image with noise, `(band, y, x) float32` in the survey's unit; noise depends on seed, number, survey only."""
    image = render_clean(galaxy, survey)
    noise = np.array([band.noise for band in survey.bands])[:, None, None]
    sky = np.array([sky_per_pixel(survey, index) for index in range(len(survey.bands))])[:, None, None]
    deviation = (noise * np.sqrt(1.0 + np.maximum(image, 0.0) / sky)).astype(np.float32)
    random = np.random.default_rng([seed, galaxy.number, survey.stream])
    return np.asarray(image + deviation * random.standard_normal(image.shape, dtype=np.float32))


def render_clean(galaxy: Galaxy, survey: Survey) -> Floats:
    """The image without noise, `(band, y, x) float32` in the survey's unit."""
    maps = component_maps(galaxy.structure, survey)
    spectra = fft.rfft2(maps)
    fluxes = (galaxy.maggies(survey.filters) * NJY_PER_MAGGIE / survey.unit).astype(np.float32)
    size = maps.shape[-1]
    inner = slice(survey.margin, survey.margin + survey.pixels)
    image = np.empty((len(survey.bands), survey.pixels, survey.pixels), np.float32)
    for index, (weights, transfer) in enumerate(zip(fluxes, _transfer_functions(survey), strict=True)):
        blended = sum(weight * spectrum for weight, spectrum in zip(weights, spectra, strict=True)) * transfer
        fine = fft.irfft2(blended, s=(size, size))
        image[index] = _bin(fine, survey.oversampling)[inner, inner]
    return image


def sky_per_pixel(survey: Survey, band: int) -> float:
    """Flux of the empty sky in one pixel, in the survey's unit."""
    return float(10.0 ** (-0.4 * survey.bands[band].sky) * NJY_PER_MAGGIE / survey.unit * survey.scale**2)


def component_maps(structure: Structure, survey: Survey) -> Floats:
    """Bulge, disc and young disc, each of unit flux over all space: `(component, y, x) float32`, flux per fine pixel.

    Pixels hold integrals, not samples, near the centre, where profiles are steeper than a pixel.
    """
    size = survey.zooms[0][0] * survey.oversampling
    maps = np.empty((3, size, size), np.float32)
    for side, samples in survey.zooms:
        drawn = _profiles(structure, *_grid(side * samples, survey.scale / samples))
        window = slice((size - side * survey.oversampling) // 2, (size + side * survey.oversampling) // 2)
        maps[:, window, window] = _resample(drawn, samples, survey.oversampling)
    return maps * np.float32((survey.scale / survey.oversampling) ** 2)


def _grid(pixels: int, step: float) -> tuple[Reals, Reals]:
    """Pixel centres around the middle of the image: x `(1, pixels)` and y `(pixels, 1)`."""
    line = (np.arange(pixels, dtype=np.float64) - 0.5 * (pixels - 1)) * step
    return line[None, :], line[:, None]


def _resample(drawn: Reals, samples: int, oversampling: int) -> Reals:
    """From `samples` to `oversampling` values along an image pixel, by repeating or by averaging."""
    if samples < oversampling:
        return drawn.repeat(oversampling // samples, axis=-1).repeat(oversampling // samples, axis=-2)
    factor = samples // oversampling
    *rest, height, width = drawn.shape
    blocks = drawn.reshape(*rest, height // factor, factor, width // factor, factor)
    return np.asarray(blocks.mean(axis=-1).mean(axis=-2))


def _bin(fine: Floats, factor: int) -> Floats:
    """Sum squares of `factor` pixels."""
    rows = np.sum([fine[offset::factor] for offset in range(factor)], axis=0)
    return np.asarray(np.sum([rows[:, offset::factor] for offset in range(factor)], axis=0))


def _profiles(structure: Structure, x: Reals, y: Reals) -> Reals:
    """Surface brightness of bulge, disc and young disc, unit flux per arcsec2: `(component, y, x)`."""
    x, y = x - structure.offset[0], y - structure.offset[1]
    bulge_radii = structure.bulge_radius, structure.bulge_radius * structure.bulge_ratio
    bulge = _sersic(x, y, bulge_radii, structure.bulge_index, structure.angle)
    disc = _sersic(x, y, (structure.disc_radius, structure.disc_radius * structure.disc_ratio), 1.0, structure.angle)
    cosine, sine = np.cos(structure.angle), np.sin(structure.angle)
    along = np.asarray(x * cosine + y * sine, np.float32)
    across = np.asarray((y * cosine - x * sine) / structure.disc_ratio, np.float32)
    spread = 1.0 - sum(clump.share for clump in structure.clumps)
    young = disc * _arms(structure, along, across) * spread
    for clump in structure.clumps:
        height = clump.share / (2.0 * np.pi * clump.sigma**2 * structure.disc_ratio)
        distance = np.square(along - clump.x) + np.square(across - clump.y)
        young += height * np.exp(distance / (-2.0 * clump.sigma**2))
    return np.stack([bulge, disc, young])


def _sersic(x: Reals, y: Reals, radii: tuple[float, float], index: float, angle: float) -> Reals:
    """A Sersic profile of unit flux, per arcsec2; radii: half-light, major and minor (Graham & Driver 2005, eq. 4)."""
    major, minor = radii
    slope = float(gammaincinv(2.0 * index, 0.5))
    total = 2.0 * np.pi * index * np.exp(slope) * slope ** (-2.0 * index) * gamma(2.0 * index) * major * minor
    return np.asarray(Sersic2D.evaluate(x, y, 1.0 / total, major, index, 0.0, 0.0, 1.0 - minor / major, angle))


def _arms(structure: Structure, along: Floats, across: Floats) -> Floats:
    """Logarithmic spiral arms: a factor whose mean over azimuth is one at every radius (von Mises in azimuth)."""
    radius: Floats = np.hypot(along, across) * np.float32(1.0 / structure.disc_radius)
    winding = structure.winding * np.log(np.maximum(radius, 0.05))
    angle = structure.arms * (np.arctan2(across, along) - winding) - structure.phase
    contrast: Floats = np.float32(structure.contrast) * radius / (radius + np.float32(0.3))  # arms fade into the centre
    return np.asarray(np.exp(contrast * np.cos(angle)) / _bessel_i0(contrast))


def _bessel_i0(x: Floats) -> Floats:
    """Modified Bessel function of order 0 for |x| < 3.75, to 2e-7 (Abramowitz & Stegun 9.8.1), faster than scipy's."""
    square = np.square(x / np.float32(3.75))
    value = np.full_like(square, _BESSEL_I0[-1])
    for coefficient in _BESSEL_I0[-2::-1]:
        value *= square
        value += np.float32(coefficient)
    return np.asarray(value)


@cache
def _transfer_functions(survey: Survey) -> npt.NDArray[np.complex64]:
    """Fourier transforms of the point-spread functions, centred on pixel (0, 0): `(band, y, x/2 + 1)`."""
    step = survey.scale / survey.oversampling
    pixels = survey.zooms[0][0] * survey.oversampling
    offsets = fft.fftfreq(pixels, 1.0 / (pixels * step))
    x, y = offsets[None, :], offsets[:, None]
    transfers = []
    for band in survey.bands:
        psf = _point_spread(survey, band.fwhm, x, y)
        transfers.append(fft.rfft2(psf / psf.sum()))
    return np.asarray(transfers, np.complex64)


def _point_spread(survey: Survey, fwhm: float, x: Reals, y: Reals) -> Reals:
    if survey.psf == "airy":
        return np.asarray(AiryDisk2D.evaluate(x, y, 1.0, 0.0, 0.0, fwhm * _AIRY_RADIUS_PER_FWHM))
    core = fwhm / (2.0 * np.sqrt(2.0 ** (1.0 / _MOFFAT_BETA) - 1.0))
    return np.asarray(Moffat2D.evaluate(x, y, 1.0, 0.0, 0.0, core, _MOFFAT_BETA))
