"""Vision models of the transformers library: ViT, DINOv2, DINOv3, ConvNeXt V2, I-JEPA, V-JEPA 2, MAE, Hiera.

What differs between them is the pooling and the options of their rows. Checkpoints are read as
`embedder.adapters.checkpoints` says, and no code that comes with one is run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch

from embedder.adapters.base import ModelInput
from embedder.adapters.batches import TorchAdapter, run_batch
from embedder.adapters.blocks import find_blocks, pool_layers
from embedder.adapters.checkpoints import Checkpoint, load_checkpoint
from embedder.adapters.vision_inputs import Run, choose_showing, to_pixels
from embedder.recipes import Values
from embedder.samples import Floats
from shared.contracts import ModelRef
from shared.errors import UnknownName


class HfVisionAdapter(TorchAdapter):
    """One vision model and its own image processor; a vector is its last hidden state, pooled."""

    def __init__(
        self, checkpoint: Checkpoint, run: Run, pooling: str, device: torch.device, dtype: torch.dtype
    ) -> None:
        self._network, self._processor = checkpoint.network.to(device).eval(), checkpoint.processor
        self._run = run
        if pooling not in _POOLINGS:
            raise UnknownName.of("pooling of a vision model", pooling, _POOLINGS)
        self._pool = _POOLINGS[pooling]
        super().__init__(_list_blocks(self._network), device, dtype)

    def prepare(self, values: Values) -> ModelInput:
        """`(3, y, x) float32`: resized, rescaled and normalised by the model's own processor."""
        return to_pixels(self._processor, values)

    def encode(self, batch: Sequence[ModelInput], layers: Sequence[str]) -> tuple[Floats, ...]:
        """The vectors of each layer, `(n, d) float32`. Raises OutOfMemory."""

        def run(pixels: torch.Tensor) -> tuple[torch.Tensor, ...]:
            return pool_layers(
                lambda: self._run(self._network, pixels),
                self._blocks,
                layers,
                lambda states: self._pool(states, self._network.config),
            )

        return run_batch(run, batch, self._device, self._dtype)


def load_hf_vision(model: ModelRef, folder: Path | None, device: torch.device, dtype: torch.dtype) -> HfVisionAdapter:
    """The model at its commit of the hub, or from the local `folder` that stands in for it.

    Raises CheckpointUnavailable for a gated, missing or unfitting checkpoint, HubUnavailable when the hub does
    not answer, UnknownName for a pooling or an option that is not known here, BadInput for an option's value.
    """
    showing = choose_showing(model)
    checkpoint = load_checkpoint(model, folder, dtype, showing.processor, **showing.reading)
    return HfVisionAdapter(checkpoint, showing.run, model.pooling, device, dtype)


def _list_blocks(network: Any) -> Sequence[torch.nn.Module]:
    """The stages of a convolutional network, which has `hidden_sizes`; else the transformer blocks.

    Hiera keeps its blocks in stages, `depths` in each; they are counted through, first to last. From stage to stage its
    tokens are fewer and wider, and they stand in an order of their own, of which their mean knows nothing.
    """
    config = network.config
    sizes, depths = getattr(config, "hidden_sizes", None), getattr(config, "depths", None)
    if sizes:
        return find_blocks(network, len(sizes))
    if depths:
        stages = find_blocks(network, len(depths))
        return [block for stage, depth in zip(stages, depths, strict=True) for block in find_blocks(stage, depth)]
    return find_blocks(network, int(config.num_hidden_layers))


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
