"""Embeddings with a label, in memory."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from scorer.comparison import Neighbours
from scorer.neighbours import nearest
from scorer.probes.probing import Probing
from shared.contracts import Scoring
from shared.vectors import Vectors


class Held:
    """One side, searched by FAISS."""

    def __init__(self, vectors: Vectors) -> None:
        self._vectors = vectors

    def vectors(self) -> Vectors:
        return self._vectors

    def neighbours(self, k: int) -> Neighbours:
        return nearest(self._vectors, k)


@pytest.fixture(scope="session")
def make_probing() -> Callable[..., Probing]:
    """A maker of probings: a matrix `(n, d)`, a label `(n,)`, its classes, and what else is to be scored otherwise."""

    def make(
        matrix: npt.ArrayLike,
        values: npt.ArrayLike,
        classes: tuple[str, ...] = (),
        *,
        k: int = 5,
        label_digest: str = "cd" * 16,
        **scoring: float,
    ) -> Probing:
        numbers = np.asarray(matrix, dtype=np.float32)
        ids = tuple(f"o{row:05d}" for row in range(len(numbers)))
        return Probing(
            object_ids=ids,
            side=Held(Vectors(ids, numbers)),
            values=np.asarray(values, dtype=np.float64),
            classes=classes,
            scoring=Scoring(**{"k": k, "permutations": 99, "slow_permutations": 99, "resamples": 99, **scoring}),
            pair_digest="ab" * 16,
            label_digest=label_digest,
            k=k,
        )

    return make
