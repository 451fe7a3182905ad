"""The simulated population: a galaxy's number and the seed in, its physical properties out.

Simulated, yet anchored: the stars of each galaxy are those fitted to a real one (`donors`), moved along the line of
sight to the apparent magnitude of a deeper survey, without evolution of the stars. Structure follows from mass and
star formation by published relations. A galaxy depends on its own number and the seed alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from embedder.sources.mocksky.donors import load_donors
from embedder.sources.mocksky.photometry import (
    Reals,
    load_templates,
    maggies_per_mass,
    magnitudes_with_redshift,
)
from embedder.sources.mocksky.structure import Structure, draw_bulge, draw_structure

REFERENCE_FILTER = "subaru_suprimecam_i"
COMPONENTS = ("bulge", "disc", "young")

_MAGNITUDES = (19.0, 21.5)  # AB, in the reference filter
_COUNT_SLOPE = 0.25  # d log10 N / d magnitude, flatter than the sky's so that bright galaxies are not rare
_REDSHIFTS = (0.03, 1.2)
_RECENT_YEARS = 1e9
_FROSTING_TEMPLATE = 2  # dusty, star-forming, with emission lines
_FROSTING = (-12.1, 0.25)  # mean and scatter, log10 1/yr, of the star formation that photometry cannot see


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
        return np.asarray(np.sum(per_mass[:, None, :] * self.masses[None, :, :], axis=2))


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
        bulge = draw_bulge(random, log_mass, log_ssfr)
        structure = draw_structure(random, log_mass, log_ssfr, bulge, redshift)
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


def _draw_magnitude(random: np.random.Generator) -> float:
    bright, faint = (10.0 ** (_COUNT_SLOPE * magnitude) for magnitude in _MAGNITUDES)
    return float(np.log10(random.uniform(bright, faint)) / _COUNT_SLOPE)


def _redshift_at(stars: Reals, magnitude: float) -> float:
    """The least redshift at which the stars are as faint as `magnitude` in the reference filter, kept within bounds."""
    redshifts, magnitudes = magnitudes_with_redshift(REFERENCE_FILTER, stars)
    beyond = int(np.argmax(magnitudes > magnitude)) if magnitudes[-1] > magnitude else len(redshifts) - 1
    pair = slice(max(beyond - 1, 0), beyond + 1)
    return float(np.clip(np.interp(magnitude, magnitudes[pair], redshifts[pair]), *_REDSHIFTS))
