"""Two embeddings that share something, and a comparison of them without a store."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pytest

from scorer.comparison import Comparison, Neighbours
from shared.contracts import Scoring
from shared.vectors import Vectors

Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True)
class KeptSide:
    """A side whose vectors are at hand."""

    kept: Vectors

    def vectors(self) -> Vectors:
        return self.kept

    def neighbours(self, k: int) -> Neighbours:
        raise AssertionError("a metric of whole embeddings asks for no neighbours")


@pytest.fixture(scope="session")
def make_pair() -> Callable[..., tuple[Doubles, Doubles]]:
    """A maker of two embeddings `(n, d_left)`, `(n, d_right)`: shared causes, noise of their own, some offset."""

    def make(
        seed: int, n: int, d_left: int, d_right: int, *, signal: float = 1.0, causes: int = 3
    ) -> tuple[Doubles, Doubles]:
        stream = np.random.default_rng(seed)
        shared = stream.standard_normal((n, causes))
        sides = []
        for d in (d_left, d_right):
            own = stream.standard_normal((n, d)) * np.arange(1, d + 1) ** -0.5
            sides.append(signal * shared @ stream.standard_normal((causes, d)) + own + 3 * stream.standard_normal(d))
        return sides[0], sides[1]

    return make


@pytest.fixture(scope="session")
def compare() -> Callable[..., Comparison]:
    """A maker of comparisons of two arrays, whose rows are objects in the order of their ids."""

    def make(left: Doubles, right: Doubles, **scoring: object) -> Comparison:
        ids = tuple(f"g{row:05d}" for row in range(len(left)))
        sides = [KeptSide(Vectors(ids, side.astype(np.float32))) for side in (left, right)]
        chosen = Scoring.model_validate({"slow_permutations": 99, "resamples": 199, **scoring})
        return Comparison(ids, sides[0], sides[1], chosen, "5e" * 16, chosen.k[0])

    return make
