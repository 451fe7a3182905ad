"""A stand-in, plain and in float64, until the search has its own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    similarities: Doubles
    rows: Rows


def nearest_among(queries: Floats, database: Floats, k: int, *, lot: Rows, own: Rows) -> Found:
    a, b = (each.astype(np.float64) for each in (queries, database))
    a, b = (each / np.linalg.norm(each, axis=1)[:, None] for each in (a, b))
    s = (a @ b.T).round(12)
    s[np.flatnonzero(own >= 0), own[own >= 0]] = -np.inf
    k = min(k, len(b) - int((own >= 0).any()))
    order = np.lexsort((np.broadcast_to(lot, s.shape), -s), axis=-1)[:, :k]
    return Found(np.take_along_axis(s, order, axis=1), order)
