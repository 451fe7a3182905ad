"""Pictures as AstroPT sees them: square patches along a spiral, each standardised by itself. Imports numpy only.

The order and the standardisation are those of AstroPT (arXiv 2405.14930).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_EPSILON = 1e-8  # beside the deviation: a patch of one value becomes nought


def spiral_order(side: int) -> npt.NDArray[np.intp]:
    """Where the patches of a spiral stand among side x side, counted row by row: `(side * side,)`, the centre first.

    The spiral ends at patch 0. Followed backwards it goes along the first row, down the last column, back along the
    last row and up the first column, and so on inwards.
    """
    places = np.arange(side * side).reshape(side, side)
    inwards = []
    while places.size:
        inwards.append(places[0])
        places = np.rot90(places[1:])  # the last column comes to be the first row
    return np.concatenate(inwards)[::-1]


def cut_patches(picture: npt.NDArray[np.uint8], side: int) -> npt.NDArray[np.float32]:
    """The patches of a square picture `(y, x, colour)` along the spiral: `(patch, side * side * colour) float32`.

    Patches are counted, and their pixels listed, column by column of the picture: AstroPT was trained on transposed
    pictures. Each has mean 0 and standard deviation 1 (of n - 1) over its pixels and colours.
    """
    across = len(picture) // side
    columns = picture.swapaxes(0, 1).astype(np.float64)
    cells = columns.reshape(across, side, across, side, -1).transpose(0, 2, 1, 3, 4).reshape(across * across, -1)
    centred = cells - cells.mean(axis=1, keepdims=True)
    patches: npt.NDArray[np.float64] = centred / (cells.std(axis=1, ddof=1, keepdims=True) + _EPSILON)
    return patches[spiral_order(across)].astype(np.float32)
