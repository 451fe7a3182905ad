"""The simulated population is plausible, and its labels, colours and shapes hang together."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr

from embedder.sources.mocksky.donors import FILTERS, load_donors
from embedder.sources.mocksky.photometry import load_templates, maggies_per_mass
from embedder.sources.mocksky.population import REFERENCE_FILTER, Galaxy, frosted, split_stars
from embedder.sources.mocksky.structure import sersic_share

Labels = dict[str, np.ndarray]

RANGES = {
    "redshift": (0.03, 1.2),
    "log_stellar_mass": (7.5, 12.3),
    "log_ssfr": (-13.5, -8.5),
    "bulge_to_total": (0.01, 0.97),
    "effective_radius": (0.05, 10.0),
    "inclination": (0.0, 90.0),
    "magnitude_i": (18.9, 21.6),
    "colour_g_r": (-0.5, 3.0),
}


@pytest.mark.parametrize("name", RANGES)
def test_labels_lie_in_plausible_ranges(labels: Labels, name: str) -> None:
    low, high = RANGES[name]
    assert np.isfinite(labels[name]).all()
    assert labels[name].min() >= low
    assert labels[name].max() <= high
    assert labels[name].std() > 0


def test_most_galaxies_fit_the_patch_that_is_shown(labels: Labels) -> None:
    low, high = np.percentile(labels["effective_radius"], [10, 80])
    assert 0.25 < low < high < 1.3


@pytest.mark.parametrize(
    ("one", "other", "least"),
    [
        ("colour_g_r", "log_ssfr", -0.5),
        ("bulge_to_total", "log_ssfr", -0.6),
        ("bulge_to_total", "log_stellar_mass", 0.4),
        ("log_stellar_mass", "log_ssfr", -0.3),
        ("redshift", "log_stellar_mass", 0.5),
    ],
)
def test_physics_hangs_together(labels: Labels, one: str, other: str, least: float) -> None:
    correlation = spearmanr(labels[one], labels[other]).statistic
    assert correlation * np.sign(least) > abs(least)


def test_larger_mass_means_larger_size_at_fixed_redshift(labels: Labels) -> None:
    near = np.abs(labels["redshift"] - np.median(labels["redshift"])) < 0.08
    assert spearmanr(labels["log_stellar_mass"][near], labels["effective_radius"][near]).statistic > 0.2


def test_inclinations_are_uniform_in_their_cosine(labels: Labels) -> None:
    cosine = np.sort(np.cos(np.radians(labels["inclination"])))
    assert np.abs(cosine - (np.arange(1000) + 0.5) / 1000).max() < 0.06  # Kolmogorov-Smirnov, p = 0.001


def test_inclination_and_angle_know_nothing_of_physics(labels: Labels) -> None:
    for name in ("redshift", "log_ssfr", "log_stellar_mass"):
        assert abs(spearmanr(labels["inclination"], labels[name]).statistic) < 0.1


def test_both_star_forming_and_quiescent_galaxies_occur(labels: Labels) -> None:
    forming = np.mean(labels["log_ssfr"] > -11)
    assert 0.3 < forming < 0.8


def test_the_fit_gives_back_the_real_galaxys_photometry() -> None:
    donors = load_donors()
    assert len(donors) > 9000
    rows = range(0, len(donors), 60)
    fitted = [maggies_per_mass(FILTERS, float(donors.redshift[row])) @ donors.stars(row) for row in rows]
    residual = -2.5 * np.log10(np.array(fitted) / donors.flux[::60])
    assert np.abs(np.median(residual, axis=0)).max() < 0.1
    assert np.all(np.std(residual[:, 1:5], axis=0) < 0.15)


def test_stars_are_shared_out_without_loss(galaxies: list[Galaxy]) -> None:
    remaining = load_templates().remaining
    for galaxy in galaxies[:50]:
        mass = np.sum(galaxy.masses * remaining)
        assert np.log10(mass) == pytest.approx(galaxy.log_stellar_mass, abs=1e-9)
        assert np.sum(galaxy.masses[0] * remaining) / mass == pytest.approx(galaxy.bulge_to_total, abs=1e-9)
        assert (galaxy.masses >= 0).all()


def test_the_bulge_is_older_than_the_disc(galaxies: list[Galaxy]) -> None:
    red, blue = "subaru_suprimecam_i", "subaru_suprimecam_g"
    for galaxy in galaxies[:50]:
        flux = galaxy.maggies((blue, red))
        disc = flux[:, 1] + flux[:, 2]
        assert flux[1, 0] / flux[0, 0] >= disc[1] / disc[0] - 1e-9


def test_split_stars_fills_the_bulge_with_the_oldest_first() -> None:
    masses = split_stars(np.array([0.0, 0.0, 1.0, 9.0, 0.0]), 0.5)
    assert masses[0, 2] == 0
    assert masses[2, 2] == 1
    assert masses.sum() == pytest.approx(10)


def test_frosting_reaches_the_rate_and_leaves_the_active_alone() -> None:
    templates = load_templates()
    dead = np.array([0.0, 0.0, 0.0, 1e11, 0.0])
    rate = np.sum(frosted(dead, 1e-12) * templates.recent) / 1e9 / np.sum(dead * templates.remaining)
    assert rate == pytest.approx(1e-12, rel=1e-6)
    active = np.array([0.0, 1e10, 0.0, 1e10, 0.0])
    np.testing.assert_array_equal(frosted(active, 1e-12), active)


def test_half_the_mass_lies_within_the_effective_radius(galaxies: list[Galaxy]) -> None:
    for galaxy in galaxies[:50]:
        shape, bulge = galaxy.structure, galaxy.bulge_to_total
        inner = bulge * sersic_share(shape.effective_radius / shape.bulge_radius, shape.bulge_index)
        outer = (1 - bulge) * sersic_share(shape.effective_radius / shape.disc_radius, 1.0)
        assert inner + outer == pytest.approx(0.5, abs=1e-6)


def test_a_galaxy_has_the_magnitude_it_was_placed_for(galaxies: list[Galaxy]) -> None:
    magnitude = np.array([-2.5 * np.log10(galaxy.maggies((REFERENCE_FILTER,)).sum()) for galaxy in galaxies])
    assert magnitude.min() > 18.95
    assert np.mean(magnitude < 21.55) > 0.99
