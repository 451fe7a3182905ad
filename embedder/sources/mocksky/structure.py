"""The shape of a simulated galaxy: bulge, disc, spiral arms and knots, drawn from its mass and star formation.

Relations between structure and physics are published ones; what they leave open (angles, arms) is drawn freely.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.special import gammainc, gammaincinv

from embedder.sources.mocksky.photometry import kpc_per_arcsec

_DISC_THICKNESS = 0.22
_BULGE_THICKNESS = 0.65


@dataclass(frozen=True, slots=True)
class Clump:
    """A star-forming knot. x, y: arcsec from the galaxy's centre, in the plane of the disc, x along the major axis;
    sigma: Gaussian width in arcsec; share: of the young stars of the disc."""

    x: float
    y: float
    sigma: float
    share: float


@dataclass(frozen=True, slots=True)
class Structure:
    """Shape on the sky; lengths in arcsec along the major axis, angles in radians.

    effective_radius: holds half of the stellar mass, seen face-on. bulge_radius, disc_radius: half-mass radii of the
    Sersic bulge of index bulge_index and of the exponential disc. bulge_ratio, disc_ratio: minor over major axis.
    angle: of the major axis, from x towards y. offset: (x, y) of the centre from the middle of the image.
    arms, winding, contrast, phase: number of spiral arms, cotangent of their pitch, concentration, and phase.
    """

    effective_radius: float
    inclination: float
    bulge_radius: float
    bulge_index: float
    bulge_ratio: float
    disc_radius: float
    disc_ratio: float
    angle: float
    offset: tuple[float, float]
    arms: int
    winding: float
    contrast: float
    phase: float
    clumps: tuple[Clump, ...]


def sersic_share(radius: float, index: float) -> float:
    """Share of a Sersic profile's light within `radius`, in units of its half-light radius (Graham & Driver 2005)."""
    return float(gammainc(2.0 * index, gammaincinv(2.0 * index, 0.5) * radius ** (1.0 / index)))


def draw_bulge(random: np.random.Generator, log_mass: float, log_ssfr: float) -> float:
    """Bulge share of the stellar mass: larger in massive and in quiescent galaxies (as in Bluck et al. 2014)."""
    logit = -0.5 + 1.2 * (log_mass - 10.6) - 1.5 * (log_ssfr + 11.0) + random.normal(0.0, 0.7)
    return float(np.clip(1.0 / (1.0 + np.exp(-logit)), 0.01, 0.97))


def _draw_radius(random: np.random.Generator, log_mass: float, bulge: float, redshift: float) -> float:
    """Half-mass radius in kpc, along the major axis: van der Wel et al. 2014, late types to early types by bulge.

    Their half-light radii (5000 Angstrom) times 0.75, for mass (Suess et al. 2019); early types below 2e10 solar
    masses stay level.
    """
    mass = 10.0**log_mass / 5e10
    late = 8.9 * (1.0 + redshift) ** -0.75 * mass**0.22
    early = 5.6 * (1.0 + redshift) ** -1.48 * max(mass, 0.4) ** 0.75
    scatter = 0.17 - 0.06 * bulge
    mean = (1.0 - bulge) * np.log10(late) + bulge * np.log10(early)
    return float(0.75 * 10.0 ** (mean + random.normal(0.0, scatter)))


def _disc_radius(bulge: float, index: float, bulge_over_disc: float) -> float:
    """Half-mass radius of the disc, in units of the radius that holds half of bulge and disc together."""

    def excess(disc: float) -> float:
        inner = bulge * sersic_share(1.0 / (bulge_over_disc * disc), index)
        return inner + (1.0 - bulge) * sersic_share(1.0 / disc, 1.0) - 0.5

    return float(brentq(excess, 0.05, 50.0, xtol=1e-9))


def draw_structure(
    random: np.random.Generator, log_mass: float, log_ssfr: float, bulge: float, redshift: float
) -> Structure:
    scale = kpc_per_arcsec(redshift)
    radius = _draw_radius(random, log_mass, bulge, redshift) / scale
    index = float(np.clip(random.normal(1.6 + 2.0 * bulge, 0.4), 1.0, 4.5))
    bulge_over_disc = 0.3 + 0.5 * bulge
    disc = radius * _disc_radius(bulge, index, bulge_over_disc)
    cosine = random.uniform(0.0, 1.0)
    activity = float(np.clip((log_ssfr + 12.0) / 2.5, 0.0, 1.0))  # 0 when quiescent, 1 in a starburst
    arms = int(random.choice([2, 2, 2, 3, 4]))
    winding = float(1.0 / np.tan(np.radians(random.uniform(12.0, 32.0))))
    contrast = float(random.uniform(0.4, 1.0) * (0.5 + 3.0 * activity))
    phase = float(random.uniform(0.0, 2.0 * np.pi))
    return Structure(
        effective_radius=radius,
        inclination=float(np.arccos(cosine)),
        bulge_radius=bulge_over_disc * disc,
        bulge_index=index,
        bulge_ratio=_axis_ratio(cosine, _BULGE_THICKNESS),
        disc_radius=disc,
        disc_ratio=_axis_ratio(cosine, _DISC_THICKNESS),
        angle=float(random.uniform(0.0, np.pi)),
        offset=(float(random.uniform(-0.06, 0.06)), float(random.uniform(-0.06, 0.06))),
        arms=arms,
        winding=winding,
        contrast=contrast,
        phase=phase,
        clumps=_draw_clumps(random, activity, disc, (arms, winding, phase), 0.35 / scale),
    )


def _axis_ratio(cosine: float, thickness: float) -> float:
    """Apparent minor over major axis of an oblate spheroid of true ratio `thickness` (Hubble 1926)."""
    return float(np.sqrt(thickness**2 + (1.0 - thickness**2) * cosine**2))


def _draw_clumps(
    random: np.random.Generator, activity: float, disc: float, spiral: tuple[int, float, float], sigma: float
) -> tuple[Clump, ...]:
    """Knots along the arms, spread as the disc's light, holding up to a third of the young stars."""
    arms, winding, phase = spiral
    count = int(random.poisson(2.0 + 14.0 * activity))
    length = disc / 1.678  # exponential scale length: half-light radius is 1.678 of it
    radii = np.minimum(random.gamma(2.0, length, count), 4.0 * length)
    arm = (phase + 2.0 * np.pi * random.integers(0, arms, count)) / arms
    azimuth = arm + winding * np.log(np.maximum(radii, 1e-3) / disc) + random.normal(0.0, 0.25, count)
    shares = random.dirichlet(np.full(count, 2.0)) * random.uniform(0.1, 0.35) if count else np.zeros(0)
    widths = np.maximum(sigma * random.uniform(0.6, 1.6, count), 0.02)
    knots = zip(radii * np.cos(azimuth), radii * np.sin(azimuth), widths, shares, strict=True)
    return tuple(Clump(*(float(value) for value in knot)) for knot in knots)
