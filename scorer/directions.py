"""Whether vectors have directions that differ, without which nothing is nearer than anything else. Imports numpy."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from shared.errors import DegenerateEmbedding, ZeroVector

_SAME = 1e-12  # as ties among neighbours
_ROWS = 4096
Floats = npt.NDArray[np.float32]


def point_apart(first: Floats, matrix: Floats) -> bool:
    """Whether a cosine of `first` `(d,)` with a row of `matrix` `(n, d)`, none of them zero, is not 1 to 12 places."""
    unit = first / np.linalg.norm(first.astype(np.float64))
    for start in range(0, len(matrix), _ROWS):  # the first few tell, but where all are alike
        block = matrix[start : start + _ROWS].astype(np.float64)
        if (block @ unit < np.linalg.norm(block, axis=1) * (1 - _SAME)).any():
            return True
    return False


def one_direction(label: str) -> DegenerateEmbedding:
    """The error of an embedding in which no two directions differ."""
    return DegenerateEmbedding(
        f"all vectors of {label} have the same direction: no object is nearer than another",
        "vectors that differ in direction",
        "look at the layer the vectors are taken from, and at what the model was shown",
    )


def zero_vector(object_id: str, count: int) -> ZeroVector:
    """The error of vectors without a direction. object_id: of the first of them; count: of all."""
    return ZeroVector(
        f"the vector of object {object_id!r} is zero ({count} such objects)",
        "vectors with a direction",
        "look at this object's pixels or samples, and at the layer the vector is taken from",
    )
