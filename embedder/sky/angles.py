"""Angles as people write them. Imports numpy and astropy."""

from __future__ import annotations

import math

from astropy import units

from shared.errors import BadInput

ARCSEC_PER_DEGREE = 3600.0


def parse_angle(text: str, option: str) -> float:
    """`1arcsec`, `4 arcmin`, `0.1deg`: the angle in arcsec. Raises BadInput for what is none, or is not positive."""
    expected = "a positive number and a unit of angle, such as 1arcsec or 4arcmin"
    try:
        value = float(units.Quantity(text).to_value(units.arcsec))
    except (TypeError, ValueError) as error:  # UnitsError is a ValueError; a bare number has no unit of angle
        raise BadInput(f"{option} {text!r:.80} is no angle", expected) from error
    if not (math.isfinite(value) and value > 0):
        raise BadInput(f"{option} {text!r:.80}", expected)
    return value
