"""Rendered images keep flux, place, sharpness and noise, and show the same galaxy in every survey."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from embedder.sources.mocksky import MockSky
from embedder.sources.mocksky.images import component_maps, render, render_clean, sky_per_pixel
from embedder.sources.mocksky.photometry import NJY_PER_MAGGIE
from embedder.sources.mocksky.population import Galaxy
from embedder.sources.mocksky.surveys import HSC, JWST, LEGACY, SURVEYS, Survey

from .conftest import modality

ALL = list(SURVEYS.values())


def as_round(galaxy: Galaxy, radius: float, offset: tuple[float, float] = (0.0, 0.0)) -> Galaxy:
    round_ = {"bulge_radius": radius, "disc_radius": radius, "bulge_ratio": 1.0, "disc_ratio": 1.0, "bulge_index": 1.0}
    return replace(galaxy, structure=replace(galaxy.structure, offset=offset, clumps=(), contrast=0.0, **round_))


def moments(image: np.ndarray, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """Centroid (x, y) in arcsec from the middle, and second moments about it."""
    line = (np.arange(image.shape[-1]) - (image.shape[-1] - 1) / 2) * scale
    y, x = np.meshgrid(line, line, indexing="ij")
    weight = image / image.sum()
    centre = np.array([(weight * x).sum(), (weight * y).sum()])
    x, y = x - centre[0], y - centre[1]
    cross = (weight * x * y).sum()
    return centre, np.array([[(weight * x * x).sum(), cross], [cross, (weight * y * y).sum()]])


@pytest.mark.parametrize("survey", [HSC, LEGACY], ids=lambda survey: survey.name)
def test_total_flux_is_the_catalogues(galaxies: list[Galaxy], survey: Survey) -> None:
    for galaxy in galaxies[:12]:
        catalogue = galaxy.maggies(survey.filters).sum(axis=1) * NJY_PER_MAGGIE / survey.unit
        clean = render_clean(galaxy, survey)
        np.testing.assert_allclose(clean.sum(axis=(1, 2)), catalogue, rtol=0.02)
        seen = render(galaxy, survey, seed=0).sum(axis=(1, 2), dtype=float)
        noise = np.array([band.noise for band in survey.bands]) * survey.pixels
        sky = np.array([sky_per_pixel(survey, band) for band in range(len(survey.bands))])
        own = np.array([band.noise for band in survey.bands]) * np.sqrt(catalogue / sky)
        assert (np.abs(seen - catalogue) < 5 * np.hypot(noise, own) + 0.02 * catalogue).all()


def test_jwst_and_hsc_see_the_same_flux_in_the_same_patch(galaxies: list[Galaxy]) -> None:
    for galaxy in galaxies[:12]:
        patch = render_clean(galaxy, JWST)[0].sum() * JWST.unit
        whole = galaxy.maggies(("jwst_f090w",)).sum() * NJY_PER_MAGGIE
        assert 0.25 < patch / whole < 1.02
        inner = slice(80 - 11, 80 + 11)  # 3.7 arcsec of HSC's z band, close to f090w
        ground = render_clean(galaxy, HSC)[3, inner, inner].sum() * HSC.unit
        assert 0.6 < ground / patch < 1.15


@pytest.mark.parametrize("survey", ALL, ids=lambda survey: survey.name)
def test_a_point_source_is_as_wide_as_the_point_spread_function(galaxies: list[Galaxy], survey: Survey) -> None:
    widest = int(np.argmax([band.fwhm for band in survey.bands]))
    image = render_clean(as_round(galaxies[0], 0.01), survey)[widest]
    above = (image > image.max() / 2).sum() * survey.scale**2
    assert 2 * np.sqrt(above / np.pi) == pytest.approx(survey.bands[widest].fwhm, rel=0.15)


@pytest.mark.parametrize("survey", ALL, ids=lambda survey: survey.name)
def test_a_small_galaxy_lies_where_it_should(galaxies: list[Galaxy], survey: Survey) -> None:
    image = render_clean(as_round(galaxies[0], 0.2, offset=(0.05, -0.04)), survey)[-1]
    centre, _ = moments(image, survey.scale)
    assert centre == pytest.approx((0.05, -0.04), abs=0.02)


def test_component_maps_hold_unit_flux(galaxies: list[Galaxy]) -> None:
    for galaxy in galaxies[:12]:
        assert component_maps(galaxy.structure, LEGACY).sum(axis=(1, 2)) == pytest.approx(1.0, abs=0.03)


def test_every_survey_shows_the_same_position_angle(galaxies: list[Galaxy]) -> None:
    flat = [galaxy for galaxy in galaxies if galaxy.structure.disc_ratio < 0.5 and galaxy.bulge_to_total < 0.4][:5]
    for galaxy in flat:
        for survey in ALL:
            image = render_clean(galaxy, survey)[-1]
            side = int(3.8 / survey.scale) // 2
            inner = slice(survey.pixels // 2 - side, survey.pixels // 2 + side)
            _, second = moments(image[inner, inner], survey.scale)
            angle = 0.5 * np.arctan2(2 * second[0, 1], second[0, 0] - second[1, 1])
            assert abs(np.sin(angle - galaxy.structure.angle)) < 0.25


def test_noise_is_as_stated_and_independent_between_surveys(galaxies: list[Galaxy]) -> None:
    galaxy, noises = galaxies[3], []
    for survey in ALL:
        noise = render(galaxy, survey, seed=0) - render_clean(galaxy, survey)
        edge = noise[:, :12] / np.array([band.noise for band in survey.bands])[:, None, None]
        assert np.std(edge) == pytest.approx(1.0, abs=0.15)
        noises.append((noise / noise.std(axis=(1, 2), keepdims=True)).ravel()[:60000])
    correlation = np.corrcoef(noises) - np.eye(len(noises))
    assert np.abs(correlation).max() < 0.02


def test_young_discs_are_bluer_towards_their_arms(galaxies: list[Galaxy]) -> None:
    active = (galaxy for galaxy in galaxies if galaxy.log_ssfr > -10.3 and galaxy.structure.contrast > 1)
    spiral = next(galaxy for galaxy in active if galaxy.structure.disc_ratio > 0.6)
    image = render_clean(spiral, JWST)
    roughness = [np.abs(np.diff(np.log(np.maximum(band, 1e-6)), axis=0))[20:76, 20:76].mean() for band in image]
    assert roughness[0] > roughness[-1]


def _features(sky: MockSky, name: str, side: int, bands: tuple[int, int, int]) -> np.ndarray:
    """Central 3.8 arcsec in 8 x 8 blocks and three bands, arcsinh-stretched, standardised over galaxies."""
    rows, noise = [], np.array([SURVEYS[name].bands[band].noise for band in bands])[:, None, None]
    for sample in sky.read(modality(name), 0, sky.rows):
        middle = sample.observation.flux.shape[-1] // 2
        inner = slice(middle - side // 2, middle + side // 2)
        patch = sample.observation.flux[list(bands), inner, inner]
        blocks = patch.reshape(3, 8, side // 8, 8, side // 8).mean(axis=(2, 4))
        rows.append(np.arcsinh(blocks / noise))
    table = np.array(rows).reshape(sky.rows, -1)
    table = (table - table.mean(axis=0)) / table.std(axis=0)
    return table / np.linalg.norm(table, axis=1, keepdims=True)


def test_neighbours_in_hsc_are_neighbours_in_jwst(sky: MockSky) -> None:
    tables = [_features(sky, "hsc", 24, (0, 1, 3)), _features(sky, "jwst", 96, (0, 4, 6))]
    neighbours = []
    for table in tables:
        similarity = table @ table.T
        np.fill_diagonal(similarity, -np.inf)
        neighbours.append(np.argsort(-similarity, axis=1)[:, :10])
    overlap = np.mean([len(np.intersect1d(a, b)) / 10 for a, b in zip(*neighbours, strict=True)])
    assert overlap > 3 * 10 / (sky.rows - 1)
