"""Real galaxies as donors of stars: SDSS and 2MASS photometry fitted by template spectra.

The 10,000 galaxies are kcorrect's own test table (SDSS main sample with 2MASS magnitudes). A non-negative fit of the
templates to eight bands gives the stars each one is made of, hence its colours, stellar mass and star formation
(Blanton & Roweis 2007). Four of the five templates are used: the heavily reddened one serves fits mainly as a filler in
the near infrared, and its recent stars would then call the reddest galaxies star-forming (without it, rank correlation
of u - r with specific star-formation rate is -0.93, with it -0.05). Nothing is fitted before a galaxy is drawn.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls

from embedder.sources.mocksky.photometry import Reals, maggies_per_mass, open_tables

FILTERS = (
    "sdss_u0", "sdss_g0", "sdss_r0", "sdss_i0", "sdss_z0", "twomass_J", "twomass_H", "twomass_Ks",
)  # fmt: skip
REDDENED = 0  # the template left out
_SDSS_TO_AB = np.array([-0.036, 0.012, 0.010, 0.028, 0.040])  # mag; Eisenstein, as in kcorrect
_VEGA_TO_AB = np.array([0.91, 1.39, 1.85])  # mag; Blanton & Roweis 2007
_ERROR_FLOOR = np.array([0.05, 0.02, 0.02, 0.02, 0.03, 0.05, 0.05, 0.05])  # fractional
_POGSON = 2.5 / np.log(10.0)
_REDSHIFTS = (0.02, 0.35)
_COLOURS = (0.0, 1.8)  # plausible observed g - r; outside it the photometry has failed


@dataclass(frozen=True, slots=True)
class Donors:
    """Photometry of real galaxies: redshift `(n,)`; flux and error `(n, 8)` in AB maggies, bands as `FILTERS`;
    chance `(n,)`: cumulative weight of being drawn."""

    redshift: Reals
    flux: Reals
    error: Reals
    chance: Reals

    def __len__(self) -> int:
        return len(self.redshift)

    def draw(self, random: np.random.Generator) -> int:
        """A row. Near and blue galaxies are drawn more often: a bright flux-limited sample abounds in luminous red
        ones, a deeper survey looks back to bluer times."""
        return int(np.searchsorted(self.chance, random.uniform(0.0, self.chance[-1]), side="right"))

    def stars(self, row: int) -> Reals:
        """Solar masses ever formed in each template, `(template,)`, by a non-negative least-squares fit."""
        design = maggies_per_mass(FILTERS, float(self.redshift[row])) / self.error[row][:, None]
        design[:, REDDENED] = 0.0
        length = np.sqrt(np.sum(design**2, axis=0)) + (design[0] == 0)  # nnls can cycle on badly scaled columns
        shares, _ = nnls(design / length, self.flux[row] / self.error[row])
        return np.asarray(shares / length, float)


def load_donors() -> Donors:
    """The usable galaxies of the table, in table order. Raises BadTable."""
    with open_tables("test", "gst_tests_small.fits") as tables:
        table = tables["GSTTEST"].data
        columns = {name: np.asarray(table[name], float) for name in table.columns.names}
        near_infrared = np.stack([columns[f"{band}_M_EXT"] for band in "JHK"], axis=1)
        near_infrared_error = np.stack([columns[f"{band}_MSIG_EXT"] for band in "JHK"], axis=1)
        sdss, weight, redshift = columns["MODELFLUX"], columns["MODELFLUX_IVAR"], columns["Z"]

    measured = np.all(sdss > 0, axis=1) & np.all(weight > 0, axis=1)
    measured &= np.all(near_infrared > 0, axis=1) & np.all(near_infrared_error > 0, axis=1)
    measured &= (redshift > _REDSHIFTS[0]) & (redshift < _REDSHIFTS[1])
    brighter = columns["EXTINCTION"][measured] - _SDSS_TO_AB
    optical = sdss[measured] * 1e-9 * 10.0 ** (0.4 * brighter)
    optical_error = optical / (sdss[measured] * np.sqrt(weight[measured]))
    infrared = 10.0 ** (-0.4 * (near_infrared[measured] + _VEGA_TO_AB))
    infrared_error = infrared * near_infrared_error[measured] / _POGSON

    flux = np.hstack([optical, infrared])
    error = np.hypot(np.hstack([optical_error, infrared_error]), _ERROR_FLOOR * flux)
    colour = -2.5 * np.log10(flux[:, 1] / flux[:, 2])
    plausible = (colour > _COLOURS[0]) & (colour < _COLOURS[1])
    redshift = redshift[measured][plausible]
    chance = np.cumsum(redshift**-1.5 * 10.0 ** -colour[plausible])
    return Donors(redshift, flux[plausible], error[plausible], chance)
