"""Vision models of the transformers library: ViT, DINOv2 with registers, ConvNeXt V2, I-JEPA, and their like.

Weights are read from safetensors only, and no code that comes with a checkpoint is run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image as Picture
from transformers import AutoImageProcessor

from embedder.adapters.base import ModelInput, as_array
from embedder.adapters.batches import run_batch
from embedder.adapters.blocks import find_blocks, pool_layers
from embedder.adapters.checkpoints import load_checkpoint
from embedder.recipes import Values
from embedder.samples import Floats
from shared.contracts import ModelRef
from shared.errors import UnknownName


class HfVisionAdapter:
    """One vision model and its own image processor; a vector is its last hidden state, pooled."""

    def __init__(
        self, network: Any, processor: Any, pooling: str, device: torch.device, dtype: torch.dtype = torch.float32
    ) -> None:
        self._network, self._processor = network.to(device).eval(), processor
        if pooling not in _POOLINGS:
            raise UnknownName.of("pooling of a vision model", pooling, _POOLINGS)
        self._pool = _POOLINGS[pooling]
        self._device, self._dtype = device, dtype
        stages = getattr(network.config, "hidden_sizes", None)  # of a convolutional network, in place of blocks
        self._blocks = find_blocks(network, len(stages) if stages else int(network.config.num_hidden_layers))

    @property
    def device(self) -> str:
        """Where the model runs."""
        return str(self._device)

    @property
    def blocks(self) -> int:
        """The number of its blocks."""
        return len(self._blocks)

    def prepare(self, values: Values) -> ModelInput:
        """`(3, y, x) float32`: resized, rescaled and normalised by the model's own processor."""
        picture = Picture.fromarray(as_array(values))
        pixels: npt.NDArray[np.float32] = self._processor(picture, return_tensors="np")["pixel_values"][0]
        return pixels

    def encode(self, batch: Sequence[ModelInput], layers: Sequence[str]) -> tuple[Floats, ...]:
        """The vectors of each layer, `(n, d) float32`. Raises OutOfMemory."""

        def run(pixels: torch.Tensor) -> tuple[torch.Tensor, ...]:
            return pool_layers(
                lambda: self._network(pixel_values=pixels).last_hidden_state,
                self._blocks,
                layers,
                lambda states: self._pool(states, self._network.config),
            )

        return run_batch(run, batch, self._device, self._dtype)


def load_hf_vision(model: ModelRef, folder: Path | None, device: torch.device, dtype: torch.dtype) -> HfVisionAdapter:
    """The model at its commit of the hub, or from the local `folder` that stands in for it.

    Raises CheckpointUnavailable for a gated, missing or unfitting checkpoint, HubUnavailable when the hub does
    not answer, UnknownName for a pooling that is not known here.
    """
    network, processor = load_checkpoint(model, folder, dtype, AutoImageProcessor, backend="pil")
    return HfVisionAdapter(network, processor, model.pooling, device, dtype)


def _pool_cls(states: torch.Tensor, config: Any) -> torch.Tensor:
    del config
    return states[:, 0]


def _pool_mean(states: torch.Tensor, config: Any) -> torch.Tensor:
    del config
    return states.mean(dim=1)


def _pool_patches(states: torch.Tensor, config: Any) -> torch.Tensor:
    """The mean of patch tokens: the CLS token and the registers after it are left out."""
    return states[:, 1 + getattr(config, "num_register_tokens", 0) :].mean(dim=1)


def _pool_space(states: torch.Tensor, config: Any) -> torch.Tensor:
    del config
    return states.mean(dim=(2, 3))


_POOLINGS: Mapping[str, Callable[[torch.Tensor, Any], torch.Tensor]] = MappingProxyType(
    {"cls": _pool_cls, "mean": _pool_mean, "patch-mean": _pool_patches, "spatial-mean": _pool_space}
)
