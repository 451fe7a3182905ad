"""Our photometry against kcorrect's own code, and distances against astropy's."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.cosmology import Planck18
from astropy.io import fits

from embedder.sources.mocksky.photometry import (
    data_folder,
    distance_modulus,
    kpc_per_arcsec,
    load_filter,
    load_templates,
    maggies_per_mass,
    magnitudes_with_redshift,
)
from embedder.sources.mocksky.surveys import SURVEYS


@pytest.fixture(scope="module")
def kcorrect() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import kcorrect.response
        import kcorrect.template

        return kcorrect


@pytest.mark.parametrize("name", ["subaru_suprimecam_g", "decam_z", "decam_Y", "jwst_f090w", "jwst_f444w", "twomass_J"])
@pytest.mark.parametrize("redshift", [0.0517, 0.4033, 0.9])
def test_fluxes_agree_with_kcorrects_own_projection(kcorrect: Any, name: str, redshift: float) -> None:
    with fits.open(data_folder() / "templates" / "kcorrect-default-v4.fits", memmap=False) as tables:
        row = tables["FLUX"].data[0]
    templates = kcorrect.template.SED(wave=row["wave"], flux=row["flux"], interpolate=False)
    templates.set_redshift(redshift)
    responses = kcorrect.response.ResponseDict()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        responses.load_response(name)
    theirs = responses[name].project(wave=templates.wave, flux=templates.flux)
    ours = maggies_per_mass([name], redshift)[0] * 10 ** (0.4 * distance_modulus(redshift))
    np.testing.assert_allclose(ours, theirs, rtol=6e-3)


def test_every_survey_filter_is_there_and_increasing() -> None:
    for survey in SURVEYS.values():
        for name in survey.filters:
            curve = load_filter(name)
            assert (np.diff(curve.wave) >= 0).all()
            assert curve.throughput.max() > 0


def test_bands_run_from_blue_to_red() -> None:
    for survey in SURVEYS.values():
        curves = [load_filter(name) for name in survey.filters]
        centres = [np.average(curve.wave, weights=np.clip(curve.throughput, 0, None)) for curve in curves]
        assert centres == sorted(centres)


@pytest.mark.parametrize("redshift", [0.03, 0.2, 0.77, 1.2])
def test_distances_agree_with_astropy(redshift: float) -> None:
    assert distance_modulus(redshift) == pytest.approx(Planck18.distmod(redshift).value, abs=2e-3)
    assert kpc_per_arcsec(redshift) == pytest.approx(1 / Planck18.arcsec_per_kpc_proper(redshift).value, rel=2e-3)


def test_magnitudes_with_redshift_agree_with_the_fluxes() -> None:
    stars = np.array([0.0, 1e7, 1e9, 3e10, 1e8])
    redshifts, magnitudes = magnitudes_with_redshift("subaru_suprimecam_i", stars)
    flux = maggies_per_mass(["subaru_suprimecam_i"], 0.4321) @ stars
    assert np.interp(0.4321, redshifts, magnitudes) == pytest.approx(-2.5 * np.log10(flux[0]), abs=1e-3)


@pytest.mark.parametrize("redshift", [0.0, -0.1, 1.6])
def test_a_redshift_off_the_table_is_refused(redshift: float) -> None:
    with pytest.raises(ValueError, match="outside the photometric table"):
        maggies_per_mass(["decam_g"], redshift)


def test_templates_cover_jwst_at_redshift_zero_and_hsc_g_at_the_highest() -> None:
    wave = load_templates().wave
    assert wave[0] < 3400 / 2.5
    assert wave[-1] > 51000


def test_mocksky_does_not_import_kcorrect_or_pyplot() -> None:
    program = "import sys, embedder.sources.mocksky; print([m for m in ('kcorrect', 'matplotlib') if m in sys.modules])"
    root = Path(__file__).parents[3]
    output = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True)
    assert output.stdout.strip() == "[]"
