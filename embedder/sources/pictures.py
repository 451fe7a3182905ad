"""Encoded pictures, as the `datasets` library keeps them, to their pixels. Imports numpy; Pillow when one is met."""

from __future__ import annotations

import io
import math

import numpy as np

from embedder.samples import Picture
from shared.errors import BadTable, one_line

_FORMATS = ("PNG", "JPEG", "WEBP", "TIFF")
_MODES = ("1", "L", "P", "RGB")
_MOST_PIXELS = 1 << 26


def read_picture(data: object) -> Picture:
    """The pixels of an encoded picture, grey ones in three equal colours.

    Raises BadTable for what is no picture, and for one that 8 bits of three colours do not hold: nothing is bent.
    """
    from PIL import Image as Pillow

    if not isinstance(data, bytes):
        raise BadTable("a picture without bytes", "an encoded picture", "put its bytes into the table, not its path")
    try:
        with Pillow.open(io.BytesIO(data), formats=_FORMATS) as encoded:
            if encoded.mode not in _MODES or "transparency" in encoded.info or math.prod(encoded.size) > _MOST_PIXELS:
                raise BadTable(
                    f"a picture of {encoded.width} x {encoded.height} pixels in mode {encoded.mode}",
                    f"8 bits, grey or red, green and blue, opaque, {_MOST_PIXELS:,} pixels at most",
                    "encode it so",
                )
            return Picture(np.asarray(encoded.convert("RGB")))
    except (OSError, ValueError, SyntaxError, Pillow.DecompressionBombError) as error:
        raise BadTable(f"a picture that cannot be read: {one_line(error):.200}", ", ".join(_FORMATS)) from error
