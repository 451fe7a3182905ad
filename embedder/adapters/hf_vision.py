"""Vision models of the transformers library: ViT, DINOv2 with registers, ConvNeXt V2, I-JEPA, and their like.

Weights are read from safetensors only, and no code that comes with a checkpoint is run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from PIL import Image as Picture
from transformers import AutoImageProcessor

from embedder.adapters.base import ModelInput, as_array, refuse_block
from embedder.adapters.batches import run_batch
from embedder.adapters.checkpoints import load_checkpoint
from embedder.catalogue.rows import block_of
from embedder.recipes import Values
from embedder.samples import Floats
from shared.contracts import ModelRef


class HfVisionAdapter:
    """One vision model and its own image processor; a vector is its last hidden state, pooled.

    block: the block, or stage, whose output is pooled instead, without the norm that may follow the last one.
    """

    def __init__(
        self, network: Any, processor: Any, pooling: str, device: torch.device, block: int | None = None
    ) -> None:
        self._network, self._processor = network.to(device).eval(), processor
        self._pooling, self._pool = pooling, _POOLINGS[pooling]
        self._device, self._block = device, block

    def at(self, layer: str) -> HfVisionAdapter:
        """The same network, its states taken after one block. Raises CheckpointUnavailable."""
        block, config = block_of(layer), self._network.config
        blocks = len(config.hidden_sizes) if hasattr(config, "hidden_sizes") else int(config.num_hidden_layers)
        if block is not None and block >= blocks:
            raise refuse_block(str(config.model_type), layer, blocks)
        return HfVisionAdapter(self._network, self._processor, self._pooling, self._device, block)

    @property
    def dimension(self) -> int:
        """The length d of a vector."""
        config = self._network.config
        sizes = getattr(config, "hidden_sizes", None)
        return int(sizes[-1 if self._block is None else self._block] if sizes else config.hidden_size)

    @property
    def device(self) -> str:
        """Where the model runs."""
        return str(self._device)

    def prepare(self, values: Values) -> ModelInput:
        """`(3, y, x) float32`: resized, rescaled and normalised by the model's own processor."""
        picture = Picture.fromarray(as_array(values))
        pixels: ModelInput = self._processor(picture, return_tensors="np")["pixel_values"][0]
        return pixels

    def encode(self, batch: Sequence[ModelInput]) -> Floats:
        """The vectors, `(n, d) float32`. Raises OutOfMemory."""
        return run_batch(self._vectors, batch, self._device)

    def _vectors(self, pixels: torch.Tensor) -> torch.Tensor:
        if self._block is None:
            return self._pool(self._network(pixel_values=pixels).last_hidden_state, self._network.config)
        states = self._network(pixel_values=pixels, output_hidden_states=True).hidden_states
        return self._pool(states[self._block + 1], self._network.config)  # the first are the embedded patches


def load_hf_vision(model: ModelRef, folder: Path | None, device: torch.device) -> HfVisionAdapter:
    """The model at its commit of the hub, or from the local `folder` that stands in for it.

    Raises CheckpointUnavailable for a gated, missing or unfitting checkpoint, HubUnavailable when the hub does
    not answer.
    """
    network, processor = load_checkpoint(model, folder, AutoImageProcessor, backend="pil")
    return HfVisionAdapter(network, processor, model.pooling, device)


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
