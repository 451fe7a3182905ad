"""CLIP, of the transformers library: pictures as the model holds them against texts. Its half for texts is not loaded.

A vector is the image feature of the paper (arXiv 2103.00020): the class token of the last block, through a norm and a
projection into the space that texts share. A block's vector is its class token, before both.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoImageProcessor, CLIPVisionModelWithProjection

from embedder.adapters.base import ModelInput
from embedder.adapters.batches import TorchAdapter, run_batch
from embedder.adapters.blocks import find_blocks, pool_layers
from embedder.adapters.checkpoints import load_checkpoint
from embedder.adapters.vision_inputs import to_pixels
from embedder.recipes import Values
from embedder.samples import Floats
from shared.contracts import ModelRef
from shared.errors import UnknownName

_POOLING = "projected"


class HfClipAdapter(TorchAdapter):
    """The half of a CLIP that sees, with its projection, and its own image processor."""

    def __init__(self, network: Any, processor: Any, device: torch.device, dtype: torch.dtype = torch.float32) -> None:
        self._network, self._processor = network.to(device).eval(), processor
        super().__init__(find_blocks(network, int(network.config.num_hidden_layers)), device, dtype)

    def prepare(self, values: Values) -> ModelInput:
        """`(3, y, x) float32`: resized, cropped, rescaled and normalised by the model's own processor."""
        return to_pixels(self._processor, values)

    def encode(self, batch: Sequence[ModelInput], layers: Sequence[str]) -> tuple[Floats, ...]:
        """The vectors of each layer, `(n, d) float32`; those of blocks are of another d. Raises OutOfMemory."""

        def run(pixels: torch.Tensor) -> tuple[torch.Tensor, ...]:
            # The image features stand where blocks have their class token: the first, and only, token.
            return pool_layers(
                lambda: self._network(pixel_values=pixels).image_embeds[:, None],
                self._blocks,
                layers,
                lambda states: states[:, 0],
            )

        return run_batch(run, batch, self._device, self._dtype)


def load_hf_clip(model: ModelRef, folder: Path | None, device: torch.device, dtype: torch.dtype) -> HfClipAdapter:
    """The model at its commit of the hub, or from the local `folder` that stands in for it.

    Raises CheckpointUnavailable for a gated, missing or unfitting checkpoint, HubUnavailable when the hub does
    not answer, UnknownName for a pooling or an option that is not known here.
    """
    if model.pooling != _POOLING:
        raise UnknownName.of("pooling of CLIP", model.pooling, [_POOLING])
    for option in model.options:
        raise UnknownName.of("option of CLIP", option, [])
    network, processor = load_checkpoint(
        model, folder, dtype, AutoImageProcessor, CLIPVisionModelWithProjection, backend="pil"
    )
    return HfClipAdapter(network, processor, device, dtype)
