"""The fake model: a seeded random projection of a coarse image; no weights, no model library. Imports numpy only.

It is registered like any other, so that the whole system runs in tests without weights. Its vectors say what
the picture roughly looks like, so two modalities of the same objects agree above chance; nothing more should be
read from them. Each object is projected by itself, so its vector is the same bits in any batch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from embedder.adapters.base import ModelInput
from embedder.recipes import Values
from embedder.samples import Floats
from shared.contracts import ModelRef
from shared.errors import CheckpointUnavailable

_CELLS = 12
_DIMENSIONS = {"fake-small": 32, "fake-large": 128}


class FakeAdapter:
    """A projection of 12 x 12 cells of each colour, and a constant, to 32 or 128 numbers."""

    def __init__(self, checkpoint: str) -> None:
        seed = int.from_bytes(hashlib.sha256(checkpoint.encode()).digest()[:8], "big")
        self._dimension = _DIMENSIONS[checkpoint]
        inputs = _CELLS * _CELLS * 3 + 1
        self._projection = np.random.default_rng(seed).standard_normal((inputs, self._dimension)) / np.sqrt(inputs)

    @property
    def dimension(self) -> int:
        """The length d of a vector."""
        return self._dimension

    @property
    def device(self) -> str:
        """Where the model runs."""
        return "cpu"

    def prepare(self, values: Values) -> ModelInput:
        """The mean of each cell and colour, 0 to 1, and a one, so that a black image has a direction too."""
        side = values.shape[0] // _CELLS
        cells = values.reshape(_CELLS, side, _CELLS, side, 3).mean(axis=(1, 3), dtype=np.float64) / 255
        return np.append(cells.ravel(), 1.0)

    def encode(self, batch: Sequence[ModelInput]) -> Floats:
        """The projections, `(n, d) float32`."""
        return np.stack([np.einsum("i,id->d", cells, self._projection) for cells in batch]).astype(np.float32)


def load_fake(model: ModelRef) -> FakeAdapter:
    """The fake model of that name. Raises CheckpointUnavailable."""
    if model.checkpoint not in _DIMENSIONS or model.revision != "1":
        raise CheckpointUnavailable(
            f"there is no fake {model.checkpoint} at revision {model.revision}", f"{', '.join(_DIMENSIONS)} at 1"
        )
    return FakeAdapter(model.checkpoint)
