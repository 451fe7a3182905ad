"""Template spectra through real filter curves: stars in, AB fluxes out.

Reads the data files of the package kcorrect (Blanton & Roweis 2007, AJ 133, 734): five v4 template spectra with their
star-formation histories, and measured filter curves. The package itself is never imported: it would load pyplot.
Sums are plain loops, never BLAS, so that a flux does not depend on the number of threads.
"""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
from astropy.cosmology import Planck18
from astropy.io import fits
from astropy.utils.exceptions import AstropyUserWarning

from shared.errors import BadTable, one_line

Reals = npt.NDArray[np.float64]

NJY_PER_MAGGIE = 3.631e12
AB_FLUX_DENSITY = 3.631e-20  # erg/s/cm2/Hz at AB magnitude zero
LIGHT_SPEED = 2.99792458e18  # Angstrom/s
MAX_REDSHIFT = 1.5

_STEP = 2.5e-4  # of the grid in ln(wavelength): 75 km/s, a quarter of the templates' own sampling
_STRIDE = 4  # wavelength steps per redshift step
_LOG_REDSHIFT = np.arange(0.0, np.log1p(MAX_REDSHIFT) + _STRIDE * _STEP, _STRIDE * _STEP)
_LOG_WAVE = np.arange(np.log(1150.0), np.log(53000.0), _STEP)


@dataclass(frozen=True, slots=True)
class Templates:
    """The five v4 templates, each of one solar mass of stars ever formed.

    wave `(w,)` Angstrom, rest frame; flux `(template, w)` erg/s/cm2/A at 10 pc; the others `(template,)`:
    remaining: mass still in stars and remnants; recent: mass formed in the last Gyr.
    """

    wave: Reals
    flux: Reals
    remaining: Reals
    recent: Reals


@dataclass(frozen=True, slots=True)
class Filter:
    """A filter curve. wave `(w,)` Angstrom, increasing; throughput `(w,)` per photon, any scale."""

    wave: Reals
    throughput: Reals


def data_folder() -> Path:
    """Where the package kcorrect keeps its data. Raises ModuleNotFoundError when it is not installed."""
    spec = importlib.util.find_spec("kcorrect")
    if spec is None or not spec.submodule_search_locations:
        remedy = "mocksky needs the package kcorrect: in this repository, pip install '.[embedder]'"
        raise ModuleNotFoundError(remedy, name="kcorrect")
    return Path(spec.submodule_search_locations[0]) / "data"


@contextmanager
def open_tables(*path: str) -> Iterator[fits.HDUList]:
    """The FITS tables at `path` in the package's data, whole. Raises BadTable, naming the file."""
    file = data_folder().joinpath(*path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", AstropyUserWarning)  # a file cut short is opened with a warning alone
            with file.open("rb") as stream, fits.open(stream, memmap=False) as tables:
                yield tables
    except (OSError, ValueError, TypeError, LookupError, AstropyUserWarning) as error:
        raise _unreadable(file, error) from error


def _unreadable(file: Path, error: Exception) -> BadTable:
    return BadTable(
        f"{file.name} of the package kcorrect cannot be read: {one_line(error)}",
        "the tables the package came with",
        "install kcorrect again",
    )


@cache
def load_templates() -> Templates:
    """The default v4 template set. Raises BadTable."""
    with open_tables("templates", "kcorrect-default-v4.fits") as tables:
        row = tables["FLUX"].data[0]
        remaining, recent = (np.asarray(tables[name].data, float) for name in ("MREMAIN", "M1000"))
        return Templates(np.asarray(row["wave"], float), np.asarray(row["flux"], float), remaining, recent)


@cache
def load_filter(name: str) -> Filter:
    """The filter curve kcorrect calls `name`, as `decam_g`. Raises BadTable."""
    file = data_folder() / "responses" / f"{name}.dat"
    try:
        return _parse_filter(file.read_text())
    except (OSError, ValueError, LookupError) as error:
        raise _unreadable(file, error) from error


def _parse_filter(text: str) -> Filter:
    rows = [line.strip().strip("|").split("|") for line in text.splitlines() if line.startswith("|")]
    header = [cell.strip() for cell in rows[0]]
    table = np.array([[float(cell) for cell in row] for row in rows[1:]])
    table = table[np.argsort(table[:, header.index("lambda")], kind="stable")]
    return Filter(table[:, header.index("lambda")].copy(), table[:, header.index("pass")].copy())


@cache
def _templates_on_grid() -> Reals:
    templates = load_templates()
    return np.stack([np.interp(_LOG_WAVE, np.log(templates.wave), flux) for flux in templates.flux])


@cache
def _project(name: str) -> Reals:
    """AB maggies of one template mass at 10 pc through filter `name`: `(redshift step, template)`.

    On a grid in ln(wavelength) a redshift is a shift, so the integral over the filter is a sliding sum.
    """
    band, steps = load_filter(name), len(_LOG_REDSHIFT)
    first, last = np.searchsorted(_LOG_WAVE, np.log(band.wave[[0, -1]]))
    wave = np.exp(_LOG_WAVE[first:last])
    weight = np.interp(wave, band.wave, band.throughput) * wave**2
    weight /= np.sum(weight * AB_FLUX_DENSITY * LIGHT_SPEED / wave**2)
    reach = _STRIDE * (steps - 1)
    if first < reach:
        raise ValueError(f"filter {name} reaches blueward of the template grid at redshift {MAX_REDSHIFT}")
    seen = _templates_on_grid()[:, first - reach : last]
    shifted = np.lib.stride_tricks.sliding_window_view(seen, last - first, axis=1)[:, ::-_STRIDE]
    flux: Reals = np.einsum("tsw,w->st", shifted, weight) * np.exp(-_LOG_REDSHIFT)[:, None]
    return flux


@cache
def _distance_moduli() -> Reals:
    moduli = np.full(len(_LOG_REDSHIFT), -np.inf)
    moduli[1:] = Planck18.distmod(np.expm1(_LOG_REDSHIFT[1:])).value
    return moduli


def distance_modulus(redshift: float) -> float:
    """In magnitudes, for the Planck 2018 cosmology; good to 0.001 mag above redshift 0.02."""
    return float(np.interp(np.log1p(redshift), _LOG_REDSHIFT, _distance_moduli()))


def kpc_per_arcsec(redshift: float) -> float:
    """Proper transverse size of one arcsec."""
    luminosity_distance_kpc = 10.0 ** (0.2 * distance_modulus(redshift) + 1.0 - 3.0)
    return float(luminosity_distance_kpc / (1.0 + redshift) ** 2 * np.pi / 180.0 / 3600.0)


def maggies_per_mass(filters: Sequence[str], redshift: float) -> Reals:
    """AB maggies at Earth of one solar mass of each template: `(filter, template)`. Redshift from 0.02 to 1.5."""
    if not 0.0 < redshift <= MAX_REDSHIFT:
        raise ValueError(f"redshift {redshift} is outside the photometric table, which ends at {MAX_REDSHIFT}")
    position = np.log1p(redshift) / (_STRIDE * _STEP)
    low = min(int(position), len(_LOG_REDSHIFT) - 2)
    share = position - low
    tables = [_project(name) for name in filters]
    at_ten_parsec: Reals = np.stack([(1.0 - share) * table[low] + share * table[low + 1] for table in tables])
    return np.asarray(at_ten_parsec * 10.0 ** (-0.4 * distance_modulus(redshift)))


def magnitudes_with_redshift(name: str, masses: Reals) -> tuple[Reals, Reals]:
    """The AB magnitude through one filter of stars of `masses (template,)`, were they at each redshift of the table.

    Returns redshifts and magnitudes, both `(step,)`, the first step at redshift 0.001.
    """
    flux = np.sum(_project(name) * masses, axis=1)[1:]
    return np.expm1(_LOG_REDSHIFT[1:]), -2.5 * np.log10(flux) + _distance_moduli()[1:]
