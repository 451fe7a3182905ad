"""Frames of the sky, and positions of each brought to ICRS. Imports numpy and astropy.

FK5 is of equinox J2000 and FK4 of B1950, observed at its equinox (so without proper motion); galactic coordinates are
those of the IAU, 1958. An image has its own equinox in its header; a table of another is to be converted first.
"""

from __future__ import annotations

from enum import StrEnum

import numpy as np
import numpy.typing as npt
from astropy import units
from astropy.coordinates import FK4, FK5, ICRS, BaseCoordinateFrame, Galactic, SkyCoord

from shared.errors import UnknownName

Reals = npt.NDArray[np.float64]


class Frame(StrEnum):
    """A frame that the positions of a table may be in."""

    ICRS = "icrs"
    FK5 = "fk5"
    FK4 = "fk4"
    GALACTIC = "galactic"


def find_frame(name: str) -> Frame:
    """The frame of that name, in letters of any case. Raises UnknownName."""
    known = {frame.value: frame for frame in Frame}
    if name.lower() not in known:
        raise UnknownName.of("frame", name[:80], known)
    return known[name.lower()]


def to_icrs(longitude: Reals, latitude: Reals, frame: Frame) -> tuple[Reals, Reals]:
    """Right ascension and declination in degrees, ICRS, of positions in degrees, `(n,)`; ICRS stays to the bit."""
    if frame is Frame.ICRS:
        return longitude, latitude
    kinds: dict[Frame, BaseCoordinateFrame] = {
        Frame.FK5: FK5(equinox="J2000"),
        Frame.FK4: FK4(equinox="B1950"),
        Frame.GALACTIC: Galactic(),
    }
    there = SkyCoord(longitude, latitude, unit=units.deg, frame=kinds[frame]).transform_to(ICRS())
    return np.asarray(there.ra.deg, np.float64), np.asarray(there.dec.deg, np.float64)


def to_vectors(ra: Reals, dec: Reals) -> Reals:
    """Unit vectors `(n, 3)` of positions in degrees."""
    alpha, delta = np.radians(ra), np.radians(dec)
    return np.stack([np.cos(delta) * np.cos(alpha), np.cos(delta) * np.sin(alpha), np.sin(delta)], axis=-1)


def tangent_offsets(ra: Reals, dec: Reals, to_ra: Reals, to_dec: Reals) -> tuple[Reals, Reals]:
    """East and north offset in arcsec, `(n,)`, of the second positions from the first, on the tangent plane there."""
    alpha, delta = np.radians(ra), np.radians(dec)
    there = to_vectors(to_ra, to_dec)
    none = np.zeros_like(alpha)
    east = np.stack([-np.sin(alpha), np.cos(alpha), none], axis=-1)
    north = np.stack([-np.sin(delta) * np.cos(alpha), -np.sin(delta) * np.sin(alpha), np.cos(delta)], axis=-1)
    along = np.einsum("ij,ij->i", there, to_vectors(ra, dec))
    offsets = [np.degrees(np.einsum("ij,ij->i", there, axis) / along) * 3600.0 for axis in (east, north)]
    return offsets[0], offsets[1]
