"""FITS images and tables of a small piece of sky, written by astropy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from astropy.io import fits
from astropy.wcs import WCS

WriteImage = Callable[..., Path]


def make_wcs(ra: float, dec: float, side: int, scale: float, turn: float = 0.0) -> WCS:
    """A tangent projection centred on a position, turned by some degrees."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.radesys = "ICRS"
    wcs.wcs.crval = [ra, dec]
    wcs.wcs.crpix = [(side + 1) / 2] * 2
    wcs.wcs.lonpole = 180.0
    cosine, sine = np.cos(np.radians(turn)), np.sin(np.radians(turn))
    wcs.wcs.cd = scale / 3600 * np.array([[-cosine, sine], [sine, cosine]])
    return wcs


@pytest.fixture
def write_image() -> WriteImage:
    """Write one FITS image, and return its path. header: cards to set, or None to take out."""

    def write(
        path: Path,
        ra: float = 150.0,
        dec: float = 2.0,
        *,
        values: npt.NDArray[Any] | None = None,
        scale: float = 1.0,
        turn: float = 0.0,
        **header: Any,
    ) -> Path:
        made = np.random.default_rng(0).normal(size=(40, 40)) if values is None else values
        cards = make_wcs(ra, dec, made.shape[-1], scale, turn).to_header()
        cards["BUNIT"] = "Jy/beam"
        for name, value in header.items():
            if value is None:
                cards.remove(name, ignore_missing=True)
            else:
                cards[name] = value
        path.parent.mkdir(parents=True, exist_ok=True)
        fits.PrimaryHDU(np.asarray(made, np.float32), cards).writeto(path)
        return path

    return write
