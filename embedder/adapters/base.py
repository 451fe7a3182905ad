"""What every adapter does: turn prepared objects into model input, one at a time, and batches of it into vectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy.typing as npt

from embedder.recipes import Dropped, Values
from embedder.samples import Floats
from shared.errors import CheckpointUnavailable

ModelInput = npt.NDArray[Any]


def refuse_block(name: str, layer: str, blocks: int) -> CheckpointUnavailable:
    """The error of a checkpoint that has too few blocks."""
    known = f"block-00 to block-{blocks - 1:02d}, or final" if blocks else "final"
    return CheckpointUnavailable(f"{name} has no {layer}: it has {blocks} blocks", known)


class Adapter(Protocol):
    """One loaded model. An object's vector depends on that object alone, not on its batch-mates."""

    @property
    def dimension(self) -> int:
        """The length d of a vector."""
        ...

    @property
    def device(self) -> str:
        """Where the model runs, for the record: `cpu`, `cuda:0`."""
        ...

    def at(self, layer: str) -> Adapter:
        """The same loaded model, its vectors taken at another of the layers its row names, pooled by its own rule.

        Raises CheckpointUnavailable for a block that the checkpoint does not have.
        """
        ...

    def prepare(self, values: Values) -> ModelInput | Dropped:
        """The model's input for one object, from what the recipe shows: the same shape for every object, but for texts.

        What the model cannot take whole is dropped, never cut.
        """
        ...

    def encode(self, batch: Sequence[ModelInput]) -> Floats:
        """The vectors `(n, d) float32` of n prepared objects, in their order, n > 0. Raises OutOfMemory."""
        ...


def as_array(values: Values) -> npt.NDArray[Any]:
    """What a recipe shows to a model of numbers. Raises TypeError for a text: `takes` of its row is wrong."""
    if isinstance(values, str):
        raise TypeError("a model of numbers was given a text")
    return values
