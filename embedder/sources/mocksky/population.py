"""The simulated population: a galaxy's number and the seed in, its physical properties out.

Simulated, yet anchored: the stars of each galaxy are those fitted to a real one (`donors`), moved along the line of
sight to the apparent magnitude of a deeper survey, without evolution of the stars. Structure follows from mass and
star formation by published relations. A galaxy depends on its own number and the seed alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.special import gammainc, gammaincinv

from embedder.sources.mocksky.donors import load_donors
from embedder.sources.mocksky.photometry import (
    Reals,
    kpc_per_arcsec,
    load_templates,
    magnitudes_with_redshift,
    maggies_per_mass,
)

REFERENCE_FILTER = "subaru_suprimecam_i"
COMPONENTS = ("bulge", "disc", "young")

_MAGNITUDES = (19.0, 21.5)  # AB, in the reference filter
_COUNT_SLOPE = 0.25  # d log10 N / d magnitude, flatter than the sky's so that bright galaxies are not rare
_REDSHIFTS = (0.03, 1.2)
_RECENT_YEARS = 1e9
_FROSTING_TEMPLATE = 2  # dusty, star-forming, with emission lines
_FROSTING = (-12.1, 0.25)  # mean and scatter, log10 1/yr, of the star formation that photometry cannot see
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


@dataclass(frozen=True, slots=True)
class Galaxy:
    """One simulated galaxy. masses `(component, template)`: solar masses ever formed, components as `COMPONENTS`."""

    number: int
    redshift: float
    log_stellar_mass: float
    log_ssfr: float
    bulge_to_total: float
    masses: Reals
    structure: Structure

    def maggies(self, filters: tuple[str, ...]) -> Reals:
        """AB maggies of each component through each filter: `(filter, component)`."""
        per_mass = maggies_per_mass(filters, self.redshift)
        return np.sum(per_mass[:, None, :] * self.masses[None, :, :], axis=2)


class Population:
    """The galaxies of one seed. Opening it reads the real galaxies' table; a galaxy is made when asked for."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._donors = load_donors()

    def galaxy(self, number: int) -> Galaxy:
        """Galaxy `number` of this seed, always the same to the last bit."""
        random = np.random.default_rng([self.seed, number, 0])
        templates = load_templates()
        stars = self._donors.stars(self._donors.draw(random))
        stars = frosted(stars, 10.0 ** random.normal(*_FROSTING))
        mass = float(np.sum(stars * templates.remaining))
        log_mass = float(np.log10(mass))
        log_ssfr = float(np.log10(np.sum(stars * templates.recent) / _RECENT_YEARS / mass))
        redshift = _redshift_at(stars, _draw_magnitude(random))
        bulge = _draw_bulge(random, log_mass, log_ssfr)
        structure = _draw_structure(random, log_mass, log_ssfr, bulge, redshift)
        return Galaxy(number, redshift, log_mass, log_ssfr, bulge, split_stars(stars, bulge), structure)


def frosted(stars: Reals, ssfr: float) -> Reals:
    """`stars (template,)` with young stars added until the specific star-formation rate is at least `ssfr` in 1/yr.

    A fit to broad bands calls many red galaxies exactly dead; real ones form a few stars. A star-forming template makes
    up the difference, so that spectrum, colours and label keep to one story; u brightens by a few per cent.
    """
    templates = load_templates()
    needed = ssfr * _RECENT_YEARS * np.sum(stars * templates.remaining) - np.sum(stars * templates.recent)
    added = stars.copy()
    added[_FROSTING_TEMPLATE] += max(0.0, float(needed)) / templates.recent[_FROSTING_TEMPLATE]
    return added


def split_stars(stars: Reals, bulge_to_total: float) -> Reals:
    """Share `stars (template,)` out to bulge, smooth disc and young disc: `(component, template)`, same sum.

    The bulge holds `bulge_to_total` of the present stellar mass, filled with the oldest templates first.
    """
    templates = load_templates()
    masses = np.zeros((len(COMPONENTS), len(stars)))
    present = stars * templates.remaining
    wanted = bulge_to_total * np.sum(present)
    for template in np.argsort(templates.recent, kind="stable"):
        taken = min(wanted, present[template])
        share = taken / present[template] if present[template] > 0 else 0.0
        masses[0, template] = share * stars[template]
        disc = 2 if templates.recent[template] > 0.1 else 1
        masses[disc, template] = (1.0 - share) * stars[template]
        wanted -= taken
    return masses


def sersic_share(radius: float, index: float) -> float:
    """Share of a Sersic profile's light within `radius`, in units of its half-light radius (Graham & Driver 2005)."""
    return float(gammainc(2.0 * index, gammaincinv(2.0 * index, 0.5) * radius ** (1.0 / index)))


def _draw_magnitude(random: np.random.Generator) -> float:
    bright, faint = (10.0 ** (_COUNT_SLOPE * magnitude) for magnitude in _MAGNITUDES)
    return float(np.log10(random.uniform(bright, faint)) / _COUNT_SLOPE)


def _redshift_at(stars: Reals, magnitude: float) -> float:
    """The least redshift at which the stars are as faint as `magnitude` in the reference filter, kept within bounds."""
    redshifts, magnitudes = magnitudes_with_redshift(REFERENCE_FILTER, stars)
    beyond = int(np.argmax(magnitudes > magnitude)) if magnitudes[-1] > magnitude else len(redshifts) - 1
    pair = slice(max(beyond - 1, 0), beyond + 1)
    return float(np.clip(np.interp(magnitude, magnitudes[pair], redshifts[pair]), *_REDSHIFTS))


def _draw_bulge(random: np.random.Generator, log_mass: float, log_ssfr: float) -> float:
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


def _draw_structure(
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
    """Knots along the arms, spread as the disc's light, holding up to half of the young stars."""
    arms, winding, phase = spiral
    count = int(random.poisson(2.0 + 10.0 * activity))
    length = disc / 1.678  # exponential scale length: half-light radius is 1.678 of it
    radii = np.minimum(random.gamma(2.0, length, count), 4.0 * length)
    crest = winding * np.log(np.maximum(radii, 1e-3) / disc) + (phase + 2.0 * np.pi * random.integers(0, arms, count)) / arms
    azimuth = crest + random.normal(0.0, 0.25, count)
    shares = random.dirichlet(np.ones(count)) * random.uniform(0.2, 0.5) if count else np.zeros(0)
    widths = np.maximum(sigma * random.uniform(0.6, 1.6, count), 0.02)
    knots = zip(radii * np.cos(azimuth), radii * np.sin(azimuth), widths, shares, strict=True)
    return tuple(Clump(*(float(value) for value in knot)) for knot in knots)
