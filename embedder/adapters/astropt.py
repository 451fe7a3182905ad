"""AstroPT (arXiv 2405.14930): a transformer that was taught to foretell the next patch of a galaxy, along a spiral.

The network is that of the package `astropt` (2.0), which is imported when such a model is loaded. Its public
checkpoints keep settings in classes of that package; they are read as plain records, and nothing of theirs runs. The
package's own loader would run whatever a file says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from embedder.adapters.base import ModelInput, as_array
from embedder.adapters.batches import TorchAdapter, run_batch
from embedder.adapters.blocks import pool_layers
from embedder.adapters.extras import import_extra
from embedder.adapters.files import find_file
from embedder.adapters.patches import cut_patches
from embedder.adapters.records import NUMPY_NUMBERS, read_records
from embedder.recipes import Values
from embedder.samples import Floats
from shared.contracts import ModelRef
from shared.errors import CheckpointUnavailable, one_line

_EXTRA = ("astropt", "constraints-astropt.txt")
_IMAGES = "images"
_SETTINGS = ("astropt.model.ModalityRegistry", "astropt.model.ModalityConfig")
_COMPILED = "_orig_mod."  # what torch.compile puts before the names of parameters


class AstroptAdapter(TorchAdapter):
    """One AstroPT of images; a vector is the mean over patches, `final` what its `generate_embeddings` gives.

    That is the output of block n // 2 of n, not of the last one: the middle of the network is where the package draws
    embeddings from.
    """

    def __init__(self, network: Any, side: int, device: torch.device, dtype: torch.dtype = torch.float32) -> None:
        self._network = network.to(device, dtype).eval()
        self._side = side
        super().__init__(list(network.transformer.h), device, dtype)

    def prepare(self, values: Values) -> ModelInput:
        """Its patches along the spiral, `(patch, pixel) float32`, and their places, `(patch,) int64`.

        Raises CheckpointUnavailable for a picture that is not a whole number of patches, or has too many.
        """
        picture, most = as_array(values), self._network.config.block_size
        if len(picture) % self._side or (len(picture) // self._side) ** 2 > most:
            raise CheckpointUnavailable(
                f"a picture of {len(picture)} pixels on a side is not cut into at most {most} patches of {self._side}",
                "a model of patches that fit",
            )
        patches = cut_patches(picture, self._side)
        return {_IMAGES: patches, f"{_IMAGES}_positions": np.arange(len(patches))}

    def encode(self, batch: Sequence[ModelInput], layers: Sequence[str]) -> tuple[Floats, ...]:
        """The vectors of each layer, `(n, d) float32`. Raises OutOfMemory."""

        def run(inputs: Mapping[str, torch.Tensor]) -> tuple[torch.Tensor, ...]:
            return pool_layers(
                lambda: self._network.generate_embeddings(inputs, reduction="none")[_IMAGES],
                self._blocks,
                layers,
                lambda states: states.mean(dim=1),
            )

        return run_batch(run, batch, self._device, self._dtype)


def load_astropt(model: ModelRef, folder: Path | None, device: torch.device, dtype: torch.dtype) -> AstroptAdapter:
    """The network of the file that the option `file` names, such as `astropt/095M/ckpt.pt`.

    Raises CheckpointUnavailable for a package, a file, or a fitting tensor that is not there, HubUnavailable.
    """
    astropt = import_extra("astropt.model", *_EXTRA)
    found = read_records(
        find_file(model, folder, str(model.options.get("file", "ckpt.pt"))), (*_SETTINGS, *NUMPY_NUMBERS)
    )
    try:
        seen = [astropt.ModalityConfig(**vars(kind)) for kind in found["modality_registry"].modalities.values()]
        settings = astropt.GPTConfig(**{**found["model_args"], "modalities": seen})
        network = astropt.GPT(settings, astropt.ModalityRegistry(seen), master_process=False)
        weights = {name.removeprefix(_COMPILED): tensor for name, tensor in found["model"].items()}
        network.load_state_dict(weights, strict=True)
    except (KeyError, TypeError, AttributeError, ValueError, RuntimeError, AssertionError) as error:
        raise CheckpointUnavailable(
            f"{model.name} does not fit the package astropt: {one_line(error):.300}",
            "the settings and tensors of an AstroPT 2.0",
            "choose another revision",
        ) from error
    return AstroptAdapter(network, _side_of_patches(seen, model), device, dtype)


def _side_of_patches(seen: Sequence[Any], model: ModelRef) -> int:
    """Pixels on a side. Raises CheckpointUnavailable unless the network takes images of three colours and no more."""
    names = sorted(kind.name for kind in seen)
    side = int(seen[0].patch_size) if names == [_IMAGES] else 0
    if side < 1 or seen[0].input_size != side * side * 3 or not seen[0].embed_pos:
        raise CheckpointUnavailable(
            f"{model.name} takes {', '.join(names) or 'nothing'}, in patches that pictures here cannot be cut into",
            "images alone, in square patches of three colours",
        )
    return side
