"""Diffusion models as encoders of pictures: what a denoiser's middle block makes of a noisy picture (the library
diffusers, of the extra `diffusion`).

As in DIFT (Tang et al. 2023, arXiv 2306.03881): the picture x is made noisy as in training, at one timestep t,
sqrt(a) x + sqrt(1 - a) e, where a is what the schedule keeps at t; the denoiser takes it once, told nothing of its
content; and the states after one block are averaged over space. Where a model denoises latents, x is the mean that its
own autoencoder gives. DIFT draws e anew, eight times, and averages. Here e is drawn once, from a seed, and is the same
for every object, so that a vector depends on its object alone. Timestep, seed and block are options of the row, and so
part of the key.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image as Picture

from embedder.adapters.base import ModelInput, as_array, find_block
from embedder.adapters.batches import TorchAdapter, run_batch
from embedder.adapters.blocks import pool_layers
from embedder.adapters.diffusers_checkpoints import Parts, load_parts
from embedder.catalogue.rows import FINAL
from embedder.recipes import Values
from embedder.samples import Floats
from shared.contracts import ModelRef
from shared.errors import BadInput, UnknownName


class Look(NamedTuple):
    """How a denoiser is looked into. timestep: of the noise, from 0; seed: of the noise; block: of `final`, from 0."""

    timestep: int
    seed: int
    block: int


class _Enough(Exception):
    """The last block that is wanted has been passed."""


class DiffusionAdapter(TorchAdapter):
    """One diffusion model; a vector is the states after one block, averaged over space.

    `spatial-mean`: of feature maps, `(d, y, x)`; `mean`: of tokens, `(token, d)`. The blocks of a UNet are those on the
    way down, the middle one, and those on the way up.
    """

    def __init__(self, parts: Parts, look: Look, pooling: str, device: torch.device, dtype: torch.dtype) -> None:
        if pooling not in _POOLINGS:
            raise UnknownName.of("pooling of a diffusion model", pooling, _POOLINGS)
        if look.timestep >= len(parts.kept):
            raise BadInput(f"timestep {look.timestep} of {len(parts.kept)}", f"0 to {len(parts.kept) - 1}")
        self._final = f"block-{look.block:02d}"
        find_block(self._final, len(parts.blocks))
        super().__init__(parts.blocks, device, dtype)
        self._denoiser = parts.denoiser.to(device)
        self._encoder = None if parts.encoder is None else parts.encoder.to(device)
        self._condition = {name: value.to(device) for name, value in parts.condition.items()}
        self._pool, self._timestep = _POOLINGS[pooling], look.timestep
        kept = float(parts.kept[look.timestep])
        self._signal, self._noise = kept**0.5, (1 - kept) ** 0.5 * self._draw(look.seed).to(device)

    @property
    def side(self) -> int:
        """Pixels on a side of the pictures it was trained on."""
        halvings = 0 if self._encoder is None else len(self._encoder.config.block_out_channels) - 1
        return int(self._denoiser.config.sample_size) << halvings

    def prepare(self, values: Values) -> ModelInput:
        """`(3, side, side) float32`: resized by PIL, bicubic, from -1 to 1."""
        resized = Picture.fromarray(as_array(values)).resize((self.side, self.side), Picture.Resampling.BICUBIC)
        scaled = np.asarray(resized, dtype=np.float32) / 127.5 - 1
        return np.ascontiguousarray(scaled.transpose(2, 0, 1))

    def encode(self, batch: Sequence[ModelInput], layers: Sequence[str]) -> tuple[Floats, ...]:
        """The vectors of each layer, `(n, d) float32`; `final` is the row's block. Raises OutOfMemory."""
        named = [self._final if layer == FINAL else layer for layer in layers]
        return run_batch(partial(self._vectors, layers=named), batch, self._device, self._dtype)

    def _vectors(self, pixels: torch.Tensor, layers: Sequence[str]) -> tuple[torch.Tensor, ...]:
        noisy = (self._signal * self._compress(pixels).float() + self._noise).to(self._dtype)
        last = max(find_block(layer, len(self._blocks)) or 0 for layer in layers)
        return pool_layers(lambda: self._denoise(noisy, last), self._blocks, layers, self._pool)

    def _compress(self, pixels: torch.Tensor) -> torch.Tensor:
        if self._encoder is None:
            return pixels
        latents: torch.Tensor = self._encoder.encode(pixels).latent_dist.mode()
        shift, scale = float(self._encoder.config.shift_factor or 0), float(self._encoder.config.scaling_factor)
        return (latents - shift) * scale

    def _denoise(self, noisy: torch.Tensor, last: int) -> torch.Tensor:
        """Run the denoiser as far as block `last`, for those that watch its blocks; what it would say of the noise is
        not wanted, so what it was given is given back.
        """
        objects = len(noisy)
        timesteps = torch.full((objects,), self._timestep, device=self._device)
        told = {name: value.expand(objects, *value.shape[1:]) for name, value in self._condition.items()}
        with _stop_after(self._blocks[last]):
            self._denoiser(noisy, timesteps, **told)
        return noisy

    def _draw(self, seed: int) -> torch.Tensor:
        """`(1, channel, y, x) float32`, of a stream that NumPy promises to keep as it is (NEP 19)."""
        config = self._denoiser.config
        shape = (1, config.in_channels, config.sample_size, config.sample_size)
        return torch.from_numpy(np.random.RandomState(seed).standard_normal(shape).astype(np.float32))


@contextmanager
def _stop_after(block: torch.nn.Module) -> Iterator[None]:
    def stop(*_: Any) -> None:
        raise _Enough

    hook = block.register_forward_hook(stop)  # after those that see the states: hooks run in the order they were set
    try:
        yield
    except _Enough:
        pass
    finally:
        hook.remove()


def load_diffusion(model: ModelRef, folder: Path | None, device: torch.device, dtype: torch.dtype) -> DiffusionAdapter:
    """The model at its commit of the hub, or from the local `folder` that stands in for it.

    Raises BadInput or UnknownName for options or a pooling that it does not have, and what `load_parts` raises.
    """
    look = read_look(model)
    return DiffusionAdapter(load_parts(model, folder, dtype), look, model.pooling, device, dtype)


def read_look(model: ModelRef) -> Look:
    """The options of a row: `timestep`, `seed` and `block`, whole numbers from 0. Raises BadInput, UnknownName."""
    for name in model.options:
        if name not in Look._fields:
            raise UnknownName.of(f"option of {model.name}", name, Look._fields)
    values = [model.options.get(name) for name in Look._fields]
    for name, value in zip(Look._fields, values, strict=True):
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 32:
            raise BadInput(f"option {name} of {model.name} is {value!r}", "a whole number from 0")
    return Look(*(int(value) for value in values if value is not None))


_POOLINGS: Mapping[str, Callable[[torch.Tensor], torch.Tensor]] = MappingProxyType(
    {"spatial-mean": lambda states: states.mean(dim=(2, 3)), "mean": lambda states: states.mean(dim=1)}
)
