"""Ridge regression (Hoerl & Kennard 1970) of many labels on the same features at once. Imports numpy only.

All that is costly depends on the features alone, and is done once: each label then costs two matrix products, and each
strength of the penalty next to nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from shared.errors import DegenerateEmbedding

Single = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

LADDER = 10.0 ** np.arange(-8, 2.5, 0.5)
"""Strengths that are tried: the penalty, over the sum of squares of all standardised features."""

_MOST_FREEDOM = 0.9  # of the objects' degrees of freedom, taken up by effective parameters
_BLOCK_NUMBERS = 1 << 22  # 32 MiB of float64
_ROUNDING = float(np.finfo(np.float32).eps)


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """m regressions. weights: `(r, m)`, on the ridge's axes. means: `(m,)`, of the labels.

    strengths: `(m / together,)`, of `LADDER`, chosen for each label. freedom: `(m,)`, effective parameters over
    objects. explained: `(m,)`, the inner product of each label, less its mean, with what is fitted to it.
    """

    weights: Floats
    means: Floats
    strengths: Floats
    freedom: Floats
    explained: Floats


class Ridge:
    """Ridge regressions fitted to some rows of a matrix `(n, d)`, standardised by those rows alone.

    Features that do not vary among them are left out. O(t d^2) for t rows and d features where t > d, else
    O(t^2 d); memory O(min(t, d) d). Raises DegenerateEmbedding when no feature varies.
    """

    def __init__(self, matrix: Single, rows: Ints) -> None:
        self._matrix, self._rows = matrix, rows
        self._mean, deviation = self._moments()
        self._varied = deviation > _ROUNDING * np.abs(self._mean)  # less is a float32 that is not quite constant
        if not self._varied.any():
            raise DegenerateEmbedding(
                "all vectors of the embedding are equal",
                "vectors that differ",
                "look at the layer the vectors are taken from, and at what the model was shown",
            )
        self._scale = 1 / deviation[self._varied]
        self._squares, self._axes = self._decompose()

    def fit(self, labels: Floats, together: int = 1) -> Fitted:
        """Regressions of m labels, `(t, m)`, each with the strength that generalised cross-validation chooses for it.

        V = (RSS/t) / (1 - f/t)^2, where f counts the effective parameters, the mean among them (Golub, Heath & Wahba
        1979). Where f is nearly t both sides of V come to nothing, and it says nothing of what is predicted: strengths
        that leave less than a tenth of the objects' freedom are not chosen. together: that many labels, side by side,
        are to have one strength, by the sum of their V.
        """
        t, squares = len(self._rows), self._squares[:, None]
        means = labels.mean(axis=0)
        centred = labels - means
        parts = self._project(centred)  # of each label, along the axes
        beyond = np.zeros(len(means)) if len(squares) == t - 1 else _beyond(centred, parts)
        penalties = LADDER * t * len(self._scale)
        shrunk = penalties / (squares + penalties)  # (r, strengths): what the penalty takes of each axis
        left = (shrunk.T**2 @ parts**2 + beyond) / ((t - 1 - len(squares) + shrunk.sum(axis=0)) ** 2)[:, None]
        taken_up = (1 + (1 - shrunk).sum(axis=0)) / t
        left[taken_up > _MOST_FREEDOM] = np.inf
        chosen = left.reshape(len(LADDER), -1, together).sum(axis=2).argmin(axis=0)
        taken = shrunk[:, np.repeat(chosen, together)]
        return Fitted(
            weights=parts * (1 - taken) / np.sqrt(squares),
            means=means,
            strengths=LADDER[chosen],
            freedom=taken_up[np.repeat(chosen, together)],
            explained=(parts**2 * (1 - taken)).sum(axis=0),
        )

    def predict(self, fitted: Fitted, rows: Ints) -> Floats:
        """What is predicted for these rows of the matrix, `(len(rows), m)`."""
        predicted = np.empty((len(rows), len(fitted.means)))
        slopes = self._axes @ fitted.weights
        for block, features in self._standardised(rows):
            predicted[block] = features @ slopes + fitted.means
        return predicted

    def _decompose(self) -> tuple[Floats, Floats]:
        """Squared singular values `(r,)` of the standardised features, and their right singular vectors `(d, r)`."""
        if len(self._rows) > len(self._scale):
            products = sum(features.T @ features for _, features in self._standardised(self._rows))
            squares, axes = _eigh(np.asarray(products))
            kept = _above_rounding(squares, len(self._rows))
            return squares[kept], axes[:, kept]
        features = np.concatenate([block for _, block in self._standardised(self._rows)])
        squares, objects = _eigh(features @ features.T)
        kept = _above_rounding(squares, len(self._rows))
        return squares[kept], features.T @ (objects[:, kept] / np.sqrt(squares[kept]))

    def _project(self, centred: Floats) -> Floats:
        products = sum(features.T @ centred[block] for block, features in self._standardised(self._rows))
        return np.asarray(self._axes.T @ products / np.sqrt(self._squares)[:, None])

    def _moments(self) -> tuple[Floats, Floats]:
        rows = self._rows
        total = sum(self._matrix[rows[block]].sum(axis=0, dtype=np.float64) for block in self._blocks(len(rows)))
        mean = np.asarray(total / len(rows))
        squares = sum(((self._matrix[rows[block]] - mean) ** 2).sum(axis=0) for block in self._blocks(len(rows)))
        return mean, np.sqrt(np.asarray(squares / len(rows)))

    def _standardised(self, rows: Ints) -> Iterator[tuple[slice, Floats]]:
        """These rows' features less their mean, over their standard deviation, a block at a time."""
        for block in self._blocks(len(rows)):
            yield block, (self._matrix[rows[block]] - self._mean)[:, self._varied] * self._scale

    def _blocks(self, rows: int) -> list[slice]:
        size = max(1, _BLOCK_NUMBERS // self._matrix.shape[1])
        return [slice(start, min(start + size, rows)) for start in range(0, rows, size)]


def _eigh(products: Floats) -> tuple[Floats, Floats]:
    """Eigenvalues, in increasing order, and eigenvectors of a symmetric matrix, found by one thread.

    OpenBLAS (0.3) makes its threads meet thousands of times here: on a machine with other work to do, two of them took
    ten times as long as one.
    """
    with _thread_pools().limit(limits=1):
        values, vectors = np.linalg.eigh(products)
    return np.asarray(values), np.asarray(vectors)


@cache
def _thread_pools() -> Any:
    from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]  # the api has none

    return ThreadpoolController()


def _above_rounding(squares: Floats, rows: int) -> npt.NDArray[np.bool_]:
    return np.asarray(squares > squares[-1] * rows * np.finfo(np.float64).eps)


def _beyond(centred: Floats, parts: Floats) -> Floats:
    """Of each label, the sum of squares that no combination of the features reaches: `(m,)`."""
    return np.asarray(np.maximum(0.0, (centred**2).sum(axis=0) - (parts**2).sum(axis=0)))
