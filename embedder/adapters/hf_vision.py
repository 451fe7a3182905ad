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
from safetensors import SafetensorError
from transformers import AutoImageProcessor, AutoModel

from embedder.adapters.base import ModelInput, refuse_block
from embedder.adapters.batches import run_batch
from embedder.catalogue.rows import block_of
from embedder.hub import translate_hub_errors
from embedder.recipes import Values
from embedder.samples import Floats
from shared.contracts import ModelRef
from shared.errors import CheckpointUnavailable

# What a checkpoint may lack: the pooling head, which none of our vectors is taken from.
_NOT_NEEDED = "pooler."


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
        pixels: ModelInput = self._processor(Picture.fromarray(values), return_tensors="np")["pixel_values"][0]
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
    where = str(folder or model.checkpoint)
    revision = "main" if folder else model.revision
    try:
        with translate_hub_errors("model", model.checkpoint, model.revision):
            network, report = AutoModel.from_pretrained(
                where,
                revision=revision,
                use_safetensors=True,
                trust_remote_code=False,
                dtype=torch.float32,
                output_loading_info=True,
            )
            processor = AutoImageProcessor.from_pretrained(where, revision=revision, backend="pil")
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise CheckpointUnavailable(
            f"{model.checkpoint} at {model.revision} cannot be loaded: {reason}",
            "config.json, preprocessor_config.json and weights in safetensors",
            "choose a revision that has them",
        ) from error
    _refuse_gaps(model, report)
    return HfVisionAdapter(network, processor, model.pooling, device)


def _refuse_gaps(model: ModelRef, report: Mapping[str, Any]) -> None:
    """transformers fills what a checkpoint lacks with random numbers, and only warns."""
    missing = [key for key in report["missing_keys"] if not key.startswith(_NOT_NEEDED)]
    unfit = [str(item[0] if isinstance(item, tuple) else item) for item in report["mismatched_keys"]]
    if missing or unfit:
        names = sorted([*missing, *unfit])
        raise CheckpointUnavailable(
            f"the weights of {model.checkpoint} at {model.revision} lack or misshape {len(names)} tensors, "
            f"such as {', '.join(names[:3])}",
            "every tensor that its config.json describes",
            "choose another revision",
        )


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
