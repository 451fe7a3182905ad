"""Objects dealt to folds by their label, and relabellings that leave the folds what they are. Imports numpy only."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Folds = npt.NDArray[np.int8]


def deal_folds(values: Floats, folds: int, stream: np.random.Generator) -> Folds:
    """The fold of each object, `(n,)`, 0 to folds - 1: objects in order of their label, ties drawn, are dealt in turn.

    So folds differ by at most one object in size, and in the objects of each class, and the label is spread over all
    of them alike (stratified by class, or by quantile). folds: at most 127.
    """
    order = np.lexsort((stream.random(len(values)), values))
    dealt = np.empty(len(values), dtype=np.int8)
    dealt[order] = np.arange(len(values)) % folds
    return dealt


def keep_folds(permutation: Ints, folds: Folds) -> Ints:
    """The relabelling `(n,)` that exchanges objects of the same fold alone, in the order the given one has them.

    Folds were dealt by label, and a label exchanged within folds would have been dealt the same ones: so what is
    computed of the folds is exchangeable under the null hypothesis, and its p-value is exact.
    """
    kept = np.empty_like(permutation)
    kept[np.argsort(folds, kind="stable")] = permutation[np.argsort(folds[permutation], kind="stable")]
    return kept
