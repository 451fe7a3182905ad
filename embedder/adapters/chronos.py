"""Chronos-Bolt (Ansari et al. 2024, arXiv 2403.07815): forecasters of time series, here as encoders of light curves.

A series is cut into patches of 16 steps, counted from its end; a step without a value is told by a mask beside the
values. A vector is made of what the encoder gives for each patch; what the decoder would forecast is not asked for. A
series longer than the model's context is dropped and counted, never cut. The package `chronos-forecasting` comes with
the extra `light-curves`; weights are read as those of every model of transformers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from transformers import AutoConfig

from embedder.adapters.base import ModelInput, as_array
from embedder.adapters.batches import TorchAdapter, run_batch
from embedder.adapters.blocks import pool_layers
from embedder.adapters.checkpoints import load_checkpoint
from embedder.adapters.extras import import_extra
from embedder.recipes import Dropped, Values
from embedder.samples import Floats
from shared.contracts import ModelRef
from shared.errors import CheckpointUnavailable, UnknownName

_EXTRA = "light-curves"


class ChronosAdapter(TorchAdapter):
    """One Chronos-Bolt; a vector is its encoder's last hidden states, `(token, d)`, pooled by the row's rule.

    `masked-mean`: the mean over the patches in which at least one step has a value. `last-token`: the last token, which
    is [REG], the one put after all patches, in the published checkpoints.
    """

    def __init__(self, network: Any, pooling: str, device: torch.device) -> None:
        self._network = network.to(device).eval()
        if pooling not in _POOLINGS:
            raise UnknownName.of("pooling of a model of time series", pooling, _POOLINGS)
        self._pool = _POOLINGS[pooling]
        self._patch, self._longest = int(network.patch.patch_size), int(network.chronos_config.context_length)
        # The model takes its input in single precision, whatever it computes in.
        super().__init__(list(network.encoder.block), device, torch.float32)

    def prepare(self, values: Values) -> ModelInput | Dropped:
        """`(step,) float32`: less the mean of the values, by their standard deviation; NaN where there is none.

        The model does that again, in single precision, in which the square of a flux of 1e-20 is nought. A series of
        more steps than its context, 2048 as published, is `series-too-long`.
        """
        series = as_array(values).astype(np.float64)
        if len(series) > self._longest:
            return Dropped("series-too-long")
        standard: Floats = ((series - np.nanmean(series)) / np.nanstd(series)).astype(np.float32)
        return standard

    def encode(self, batch: Sequence[ModelInput], layers: Sequence[str]) -> tuple[Floats, ...]:
        """The vectors of each layer, `(n, d) float32`. Raises OutOfMemory."""
        longest = max(len(series) for series in batch)
        length = -(-longest // self._patch) * self._patch
        filled = [np.pad(np.asarray(one), (length - len(one), 0), constant_values=np.nan) for one in batch]
        return run_batch(partial(self._vectors, layers=layers), filled, self._device, self._dtype)

    def _vectors(self, series: torch.Tensor, layers: Sequence[str]) -> tuple[torch.Tensor, ...]:
        there = self._network.patch((~series.isnan()).float()).any(dim=-1)  # (n, patch)
        return pool_layers(
            lambda: self._network.encode(context=series)[0],
            self._blocks,
            layers,
            lambda states: self._pool(states, there),
        )


def load_chronos(model: ModelRef, folder: Path | None, device: torch.device, dtype: torch.dtype) -> ChronosAdapter:
    """The model at its commit of the hub, or from the local `folder` that stands in for it.

    Raises CheckpointUnavailable where the package is not installed, and for a gated, missing or unfitting checkpoint;
    HubUnavailable when the hub does not answer, UnknownName for a pooling that is not known here.
    """
    published = import_extra("chronos.chronos_bolt", _EXTRA).ChronosBoltModelForForecasting
    # chronos 2.3 lets a checkpoint lack its patch embedding, and fills it with random numbers: nothing may lack here.
    whole = type(published.__name__, (published,), {"_keys_to_ignore_on_load_missing": None})
    try:
        network, config = load_checkpoint(model, folder, dtype, AutoConfig, whole)
    except AssertionError as error:  # that its config is one of chronos
        raise CheckpointUnavailable(f"{model.checkpoint} cannot be loaded: {error}", "a Chronos-Bolt") from error
    if config.chronos_config["input_patch_size"] != config.chronos_config["input_patch_stride"]:
        raise CheckpointUnavailable(f"the patches of {model.checkpoint} overlap", "patches side by side")
    return ChronosAdapter(network, model.pooling, device)


def _pool_patches(states: torch.Tensor, there: torch.Tensor) -> torch.Tensor:
    weights = there[..., None].to(states.dtype)
    return (states[:, : there.shape[1]] * weights).sum(dim=1) / weights.sum(dim=1)


def _pool_last(states: torch.Tensor, there: torch.Tensor) -> torch.Tensor:
    del there
    return states[:, -1]


_POOLINGS: Mapping[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = MappingProxyType(
    {"masked-mean": _pool_patches, "last-token": _pool_last}
)
