"""The models that compute nothing: what a recipe shows of an object is its vector. Imports numpy only.

So labels, the numbers of a catalogue and published vectors are made, kept, resumed and found like any embedding: a
probe is a pair of an embedding and a label. They are built in, and have no parameters.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from embedder.adapters.base import ModelInput, as_array, find_block
from embedder.recipes import Values
from embedder.samples import Floats

AS_PUBLISHED = "as-published"
"""In place of a model's revision and pooling, where its vectors were published: nothing says which they were."""


class GivenAdapter:
    """The identity: `(n, d) float32`, each row what is given of its object; of labels, d is 1."""

    @property
    def device(self) -> str:
        """Where the model runs."""
        return "cpu"

    @property
    def blocks(self) -> int:
        """The number of its blocks."""
        return 0

    def prepare(self, values: Values) -> ModelInput:
        """`(d,) float32`, as it is."""
        return as_array(values)

    def encode(self, batch: Sequence[ModelInput], layers: Sequence[str]) -> tuple[Floats, ...]:
        """What was given, `(n, d) float32`. There are no blocks: raises CheckpointUnavailable for one."""
        for layer in layers:
            find_block(layer, 0)
        vectors = np.stack([np.asarray(one) for one in batch])
        return tuple(vectors for _ in layers)


class PublishedAdapter(GivenAdapter):
    """The identity on vectors that somebody published. Of which layer they are, their publisher says."""

    def encode(self, batch: Sequence[ModelInput], layers: Sequence[str]) -> tuple[Floats, ...]:
        """What was published, `(n, d) float32`, for the one layer that it is of."""
        (_,) = layers
        return super().encode(batch, ("final",))
