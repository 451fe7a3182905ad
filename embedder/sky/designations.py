"""Names of objects from where they are: `J123456.78-012345.6`. Imports numpy."""

from __future__ import annotations

import numpy as np

from embedder.sky.frames import Reals

# A position that stands exactly on a digit may be a rounding error below it.
_NOISE_DIGITS = 6


def designate(ra: Reals, dec: Reals) -> list[str]:
    """The designation of each position in degrees, ICRS, `(n,)`.

    Right ascension to 0.01 s of time, declination to 0.1 arcsec; cut off, not rounded, as the IAU asks of designations
    (Dickel, Lortet & de Boer 1987; https://cds.unistra.fr/Dic/iau-spec.html).
    """
    centiseconds = np.floor(np.round(np.mod(ra, 360.0) * 24000.0, _NOISE_DIGITS)).astype(np.int64) % 8640000
    tenths = np.floor(np.round(np.abs(dec) * 36000.0, _NOISE_DIGITS)).astype(np.int64)
    return [
        f"J{c // 360000:02d}{c // 6000 % 60:02d}{c // 100 % 60:02d}.{c % 100:02d}"
        f"{'-' if south else '+'}{t // 36000:02d}{t // 600 % 60:02d}{t // 10 % 60:02d}.{t % 10}"
        for c, t, south in zip(centiseconds.tolist(), tenths.tolist(), (dec < 0).tolist(), strict=True)
    ]
