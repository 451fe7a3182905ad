"""The simulated surveys as data rows: bands, filter curves, pixels, point-spread functions, noise. No code but units.

HSC: depth and seeing of the Wide layer (Aihara et al. 2022, PDR3), Suprime-Cam curves, DECam's for y. Legacy: DECam,
at the depth that DR10 reaches inside the DES footprint, seeing of Dey et al. 2019. JWST: NIRCam, noise that agrees with
the published 1st percentiles of cut-outs, and the diffraction limit of a 6.5 m mirror.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Band:
    """One band. filter: kcorrect's name of the curve; fwhm: of the point-spread function, arcsec;
    noise: standard deviation of the empty sky in one pixel, in the survey's unit; sky: its brightness, AB mag/arcsec2,
    which sets how much the galaxy's own photons add."""

    name: str
    filter: str
    fwhm: float
    noise: float
    sky: float


@dataclass(frozen=True, slots=True)
class Survey:
    """One imaging survey. pixels: of a square image's side; scale: arcsec per pixel; unit: nJy in one unit of flux;
    oversampling: rendered pixels along one image pixel; margin: image pixels rendered beyond each edge;
    zooms: (side, samples) of ever smaller central squares, in image pixels and samples along one image pixel;
    stream: number of the noise's own random stream, never to be used twice."""

    name: str
    bands: tuple[Band, ...]
    pixels: int
    scale: float
    unit: float
    psf: Literal["moffat", "airy"]
    oversampling: int
    margin: int
    zooms: tuple[tuple[int, int], ...]
    stream: int

    @property
    def filters(self) -> tuple[str, ...]:
        """The filter curves, in band order."""
        return tuple(band.filter for band in self.bands)

    @property
    def band_names(self) -> tuple[str, ...]:
        """The bands, blue to red."""
        return tuple(band.name for band in self.bands)


HSC = Survey(
    name="hsc",
    bands=(
        Band("hsc-g", "subaru_suprimecam_g", 0.79, 0.045, 22.0),
        Band("hsc-r", "subaru_suprimecam_r", 0.75, 0.047, 21.1),
        Band("hsc-i", "subaru_suprimecam_i", 0.61, 0.076, 19.9),
        Band("hsc-z", "subaru_suprimecam_z", 0.68, 0.172, 18.7),
        Band("hsc-y", "decam_Y", 0.68, 0.360, 17.9),
    ),
    pixels=160, scale=0.168, unit=57.54399, psf="moffat", oversampling=2, margin=0,
    zooms=((160, 1), (64, 2), (24, 4), (8, 8), (2, 32)), stream=1,
)  # fmt: skip

JWST = Survey(
    name="jwst",
    bands=(
        Band("f090w", "jwst_f090w", 0.033, 0.050, 22.2),
        Band("f115w", "jwst_f115w", 0.040, 0.045, 22.2),
        Band("f150w", "jwst_f150w", 0.050, 0.040, 22.3),
        Band("f200w", "jwst_f200w", 0.066, 0.035, 22.4),
        Band("f277w", "jwst_f277w", 0.092, 0.018, 22.5),
        Band("f356w", "jwst_f356w", 0.116, 0.018, 22.3),
        Band("f444w", "jwst_f444w", 0.145, 0.025, 21.6),
    ),
    pixels=96, scale=0.04, unit=10.0, psf="airy", oversampling=2, margin=8,
    zooms=((112, 1), (64, 2), (16, 4), (4, 16), (2, 32)), stream=2,
)  # fmt: skip

LEGACY = Survey(
    name="legacysurvey",
    bands=(
        Band("des-g", "decam_g", 1.29, 0.0022, 22.0),
        Band("des-r", "decam_r", 1.18, 0.0036, 21.0),
        Band("des-i", "decam_i", 1.15, 0.0055, 19.9),
        Band("des-z", "decam_z", 1.11, 0.0095, 18.7),
    ),
    pixels=160, scale=0.262, unit=3631.0, psf="moffat", oversampling=2, margin=0,
    zooms=((160, 1), (48, 2), (20, 6), (8, 12), (2, 48)), stream=3,
)  # fmt: skip

SURVEYS = {survey.name: survey for survey in (HSC, JWST, LEGACY)}
