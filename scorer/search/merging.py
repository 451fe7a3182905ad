"""The best of what two searches found for the same queries among different candidates. Pure."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from scorer.neighbours import Found

_BLOCK = 4096


def merge(ours: Found, theirs: Found, k: int, lot: npt.NDArray[np.int64]) -> Found:
    """The k best for each query, or all there are: by decreasing similarity, of equals that of the lower lot first.

    lot: `(n,)`, all different, by row. In whatever order searches are merged, the same bits come of it: similarity and
    lot order all candidates, and the best of all are among the best of each.
    """
    found = [
        _merge(ours, theirs, slice(start, start + _BLOCK), k, lot) for start in range(0, max(1, len(ours.rows)), _BLOCK)
    ]
    return Found(np.concatenate([each.similarities for each in found]), np.concatenate([each.rows for each in found]))


def _merge(ours: Found, theirs: Found, some: slice, k: int, lot: npt.NDArray[np.int64]) -> Found:
    similarities = np.concatenate([ours.similarities[some], theirs.similarities[some]], axis=1)
    rows = np.concatenate([ours.rows[some], theirs.rows[some]], axis=1)
    order = np.lexsort((lot[rows], -similarities), axis=-1)[:, :k]
    return Found(np.take_along_axis(similarities, order, axis=1), np.take_along_axis(rows, order, axis=1))
