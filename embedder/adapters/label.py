"""The model of labels: what is known of an object is its vector, of one number. Imports numpy only.

So a label is made, kept, resumed and found like any embedding, and a probe is a pair of an embedding and a label. It
is built in, belongs to no family that is compared, and has no parameters.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from embedder.adapters.base import ModelInput, as_array, refuse_block
from embedder.catalogue.rows import block_of
from embedder.recipes import Values
from embedder.samples import Floats
from shared.contracts import ModelRef
from shared.errors import CheckpointUnavailable

_REVISION = "1"


class LabelAdapter:
    """The identity: `(n, 1) float32`, each row the label of its object."""

    def at(self, layer: str) -> LabelAdapter:
        """Itself: a label has no blocks. Raises CheckpointUnavailable for one."""
        if block_of(layer) is not None:
            raise refuse_block("label", layer, 0)
        return self

    @property
    def dimension(self) -> int:
        """The length d of a vector."""
        return 1

    @property
    def device(self) -> str:
        """Where the model runs."""
        return "cpu"

    def prepare(self, values: Values) -> ModelInput:
        """`(1,) float32`: the label."""
        return as_array(values)

    def encode(self, batch: Sequence[ModelInput]) -> Floats:
        """The labels, `(n, 1) float32`."""
        return np.stack(batch)


def load_label(model: ModelRef) -> LabelAdapter:
    """The model of labels. Raises CheckpointUnavailable for another version of it."""
    if model.revision != _REVISION:
        raise CheckpointUnavailable(f"there is no {model.name} at revision {model.revision}", _REVISION)
    return LabelAdapter()
