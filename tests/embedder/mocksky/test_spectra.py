"""Simulated DESI spectra: lines and breaks at the redshift, flux that agrees with the images, honest noise."""

from __future__ import annotations

import numpy as np
import pytest

from embedder.sources.mocksky.photometry import load_filter
from embedder.sources.mocksky.population import Galaxy
from embedder.sources.mocksky.spectra import clean_spectrum, fibre_shares, record, sky_noise, wavelength


def test_h_alpha_stands_at_its_redshift(galaxies: list[Galaxy]) -> None:
    grid, tried = wavelength(), 0
    for galaxy in galaxies:
        centre = 6564.6 * (1 + galaxy.redshift)
        if galaxy.log_ssfr < -10 or centre > 9700:
            continue
        near = np.abs(grid - centre) < 80 * (1 + galaxy.redshift)
        peak = grid[near][np.argmax(clean_spectrum(galaxy)[near])]
        assert abs(peak / centre - 1) < 0.0015  # half a template sample, and [N II] beside it
        tried += 1
    assert tried > 20


def test_old_galaxies_break_at_4000_angstrom(galaxies: list[Galaxy]) -> None:
    def break_at(galaxy: Galaxy, assumed: float) -> float:
        rest, flux = wavelength() / (1 + assumed), clean_spectrum(galaxy)
        return float(flux[(rest > 4050) & (rest < 4250)].mean() / flux[(rest > 3750) & (rest < 3950)].mean())

    old = [galaxy for galaxy in galaxies if galaxy.log_ssfr < -11.8][:30]
    young = [galaxy for galaxy in galaxies if galaxy.log_ssfr > -10][:30]
    assert np.median([break_at(g, g.redshift) for g in old]) > 1.4
    assert np.median([break_at(g, g.redshift) for g in old]) > np.median([break_at(g, g.redshift) for g in young]) + 0.2
    assert np.mean([break_at(g, g.redshift) > break_at(g, g.redshift + 0.1) for g in old]) > 0.8


def test_the_spectrum_has_the_flux_that_falls_into_the_fibre(galaxies: list[Galaxy]) -> None:
    curve, grid = load_filter("decam_r"), wavelength()
    weight = np.interp(grid, curve.wave, curve.throughput, left=0, right=0) * grid
    zero_point = 3.631e-20 * 2.99792458e18 / grid**2
    for galaxy in galaxies[:20]:
        from_spectrum = np.sum(clean_spectrum(galaxy) * 1e-17 * weight) / np.sum(zero_point * weight)
        from_catalogue = np.sum(galaxy.maggies(("decam_r",))[0] * fibre_shares(galaxy.structure))
        assert from_spectrum == pytest.approx(from_catalogue, rel=0.01)


def test_the_fibre_catches_part_of_the_light(galaxies: list[Galaxy]) -> None:
    shares = np.array([fibre_shares(galaxy.structure) for galaxy in galaxies])
    assert (shares > 0).all()
    assert (shares < 1).all()
    assert 0.2 < np.median(shares) < 0.7


def test_inverse_variance_tells_the_noise(galaxies: list[Galaxy]) -> None:
    for galaxy in galaxies[:5]:
        recorded = record(galaxy, seed=0)
        assert recorded.flux.dtype == recorded.ivar.dtype == np.float32
        pull = (recorded.flux - clean_spectrum(galaxy)) * np.sqrt(recorded.ivar)
        assert np.std(pull[recorded.mask]) == pytest.approx(1.0, abs=0.04)
        assert 0.99 < recorded.mask.mean() <= 1.0


def test_night_sky_lines_are_noisy() -> None:
    grid, noise = wavelength(), sky_noise()
    assert noise[np.argmin(np.abs(grid - 5577.3))] > 5 * noise[np.argmin(np.abs(grid - 5600))]


def test_most_spectra_can_be_read(galaxies: list[Galaxy]) -> None:
    ratio = [np.median(clean_spectrum(galaxy) / sky_noise()) for galaxy in galaxies[:100]]
    assert 1 < np.median(ratio) < 20
