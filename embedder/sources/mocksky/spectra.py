"""The spectrum of a simulated galaxy as a DESI fibre would record it.

The templates of the galaxy's own stars, redshifted, as much of each component as falls into the fibre, with sky-limited
noise. Their resolution is the templates' own, about 300 km/s per sample, so lines are broader than DESI's.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from embedder.sources.mocksky.photometry import Reals, distance_modulus, load_templates
from embedder.sources.mocksky.population import Galaxy
from embedder.sources.mocksky.structure import Structure, sersic_share

SAMPLES = 7781
FLUX_UNIT = 1e-17  # erg/s/cm2/Angstrom
FIBRE_RADIUS = 0.75  # arcsec

_STREAM = 4
_SEEING_HALF_LIGHT = 0.55  # arcsec
_SKY_FLUX = 3.0  # of the sky in the fibre, in FLUX_UNIT: how much the galaxy's own photons add to the noise
_LOST_SAMPLES = 0.001
_LINE_WIDTH = 0.9  # Angstrom

# Noise of one sample between the night-sky lines, for about two dark exposures of 1000 s: (Angstrom, FLUX_UNIT).
_NOISE_KNOTS = np.array([
    (3600, 1.80), (3800, 1.05), (4100, 0.66), (4800, 0.45), (5600, 0.42), (5780, 0.32), (6500, 0.28), (7400, 0.29),
    (7560, 0.27), (8400, 0.29), (9000, 0.35), (9500, 0.50), (9824, 0.80),
])  # fmt: skip

# Strong night-sky lines: (Angstrom, factor on the noise). Rounded from the atlas of Hanuschik 2003, A&A 407, 1157.
_SKY_LINES = np.array([
    (5577.3, 8), (5890.0, 3), (6300.3, 5), (6363.8, 3), (6498.7, 1), (6533.0, 1), (6863.9, 1.5), (6923.2, 1.5),
    (7276.4, 3), (7316.3, 3), (7340.9, 3), (7369.2, 1.5), (7401.7, 2), (7524.1, 1), (7712.2, 1.5), (7750.6, 4),
    (7794.1, 4), (7821.5, 4), (7853.3, 2), (7913.7, 5), (7964.7, 4), (7993.3, 5), (8025.8, 3), (8344.6, 5),
    (8382.4, 2), (8399.2, 6), (8430.2, 6), (8465.4, 5), (8493.4, 3), (8504.6, 2), (8778.3, 5), (8791.2, 2),
    (8827.1, 7), (8850.0, 2), (8885.9, 7), (8919.6, 6), (8943.4, 3), (8958.1, 4), (9001.3, 2), (9037.9, 2),
    (9313.0, 4), (9337.9, 4), (9375.9, 6), (9419.7, 5), (9439.7, 5), (9476.8, 3), (9502.8, 4), (9567.6, 3),
    (9699.3, 2), (9720.3, 3), (9791.3, 5), (9800.3, 4),
])  # fmt: skip


@dataclass(frozen=True, slots=True)
class Recorded:
    """flux in 1e-17 erg/s/cm2/A, ivar its inverse variance, mask True where clean: each `(7781,)`."""

    flux: npt.NDArray[np.float32]
    ivar: npt.NDArray[np.float32]
    mask: npt.NDArray[np.bool_]


def wavelength() -> Reals:
    """DESI's common grid, `(7781,)` Angstrom: 3600 to 9824 in steps of 0.8."""
    return 3600.0 + 0.8 * np.arange(SAMPLES, dtype=np.float64)


def record(galaxy: Galaxy, seed: int) -> Recorded:
    """The spectrum with noise, which depends on seed and number only. Lost samples have no weight and are not clean."""
    clean = clean_spectrum(galaxy)
    deviation = sky_noise() * np.sqrt(1.0 + clean / _SKY_FLUX)
    random = np.random.default_rng([seed, galaxy.number, _STREAM])
    flux = clean + deviation * random.standard_normal(SAMPLES)
    mask = random.random(SAMPLES) >= _LOST_SAMPLES
    ivar = np.where(mask, deviation**-2.0, 0.0)
    return Recorded(flux.astype(np.float32), ivar.astype(np.float32), mask)


def clean_spectrum(galaxy: Galaxy) -> Reals:
    """Flux density in the fibre without noise, `(7781,)` in 1e-17 erg/s/cm2/A."""
    templates = load_templates()
    masses = np.sum(fibre_shares(galaxy.structure)[:, None] * galaxy.masses, axis=0)
    rest = np.sum(masses[:, None] * templates.flux, axis=0)
    stretch = 1.0 + galaxy.redshift
    dimming = 10.0 ** (-0.4 * distance_modulus(galaxy.redshift)) / stretch / FLUX_UNIT
    return np.asarray(np.interp(wavelength() / stretch, templates.wave, rest) * dimming, np.float64)


def fibre_shares(structure: Structure) -> Reals:
    """Share of each component's light that falls into the fibre, `(component,)`.

    The seeing is added to the circularised half-light radius in quadrature.
    """
    bulge = np.hypot(structure.bulge_radius * np.sqrt(structure.bulge_ratio), _SEEING_HALF_LIGHT)
    disc = np.hypot(structure.disc_radius * np.sqrt(structure.disc_ratio), _SEEING_HALF_LIGHT)
    within_disc = sersic_share(FIBRE_RADIUS / disc, 1.0)
    return np.array([sersic_share(FIBRE_RADIUS / bulge, structure.bulge_index), within_disc, within_disc])


@cache
def sky_noise() -> Reals:
    """Standard deviation of one sample of an empty fibre, `(7781,)` in 1e-17 erg/s/cm2/A."""
    grid = wavelength()
    factor = np.ones(SAMPLES)
    for line, strength in _SKY_LINES:
        factor += strength * np.exp(-((grid - line) ** 2) / (2.0 * _LINE_WIDTH**2))
    return np.asarray(np.interp(grid, _NOISE_KNOTS[:, 0], _NOISE_KNOTS[:, 1]) * factor, np.float64)
