"""What every adapter does: turn prepared objects into model input, one at a time, and batches of it into vectors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy.typing as npt

from embedder.catalogue.rows import block_of
from embedder.recipes import Dropped, Values
from embedder.samples import Floats, Image, Spectrum
from shared.errors import CheckpointUnavailable

ModelInput = npt.NDArray[Any] | Mapping[str, npt.NDArray[Any]]


class Adapter(Protocol):
    """One loaded model. An object's vector depends on that object alone, not on its batch-mates."""

    @property
    def device(self) -> str:
        """Where the model runs, for the record: `cpu`, `cuda:0`."""
        ...

    @property
    def blocks(self) -> int:
        """The number of blocks after which vectors may be taken: `block-00` and so on."""
        ...

    def prepare(self, values: Values) -> ModelInput | Dropped:
        """The model's input for one object, from what the recipe shows; only its own `encode` looks into it.

        What the model cannot take whole is dropped, never cut.
        """
        ...

    def encode(self, batch: Sequence[ModelInput], layers: Sequence[str]) -> tuple[Floats, ...]:
        """The vectors of n prepared objects, n > 0, in their order: `(n, d) float32` for each layer, of one pass.

        `final` is the model's own output, `block-NN` that of one block, pooled by the model's own rule, without the
        norm that may follow the last block. Raises OutOfMemory, and CheckpointUnavailable for a block that the
        checkpoint does not have.
        """
        ...


def find_block(layer: str, blocks: int) -> int | None:
    """The number of the block that `layer` names, of so many; None for `final`. Raises CheckpointUnavailable."""
    block = block_of(layer)
    if block is not None and block >= blocks:
        known = f"block-00 to block-{blocks - 1:02d}, or final" if blocks else "final"
        raise CheckpointUnavailable(f"the model has no {layer}: it has {blocks} blocks", known)
    return block


def as_array(values: Values) -> npt.NDArray[Any]:
    """What a recipe shows to a model of numbers. Raises TypeError for anything else: its row is wrong."""
    if isinstance(values, str | Image | Spectrum):
        given = "text" if isinstance(values, str) else type(values).__name__
        raise TypeError(f"a model of numbers was given a {given}")
    return values
