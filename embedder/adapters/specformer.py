"""Specformer as a model of spectra: flux to tokens, one object at a time; batches of tokens to vectors.

As in the published code, what is embedded is flux alone: neither the inverse variance nor the mask of a spectrum is
looked at, nor its wavelengths, so that a survey's own grid is part of what the model sees.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np
import torch

from embedder.adapters.base import ModelInput, as_array
from embedder.adapters.batches import TorchAdapter, run_batch
from embedder.adapters.blocks import pool_layers
from embedder.adapters.files import find_file
from embedder.adapters.specformer_checkpoint import read_specformer
from embedder.adapters.specformer_network import Sizes, Specformer, cut_tokens
from embedder.recipes import Dropped, Values
from embedder.samples import Floats
from shared.contracts import ModelRef
from shared.errors import UnknownName

_FILE = "file"  # the only option


class SpecformerAdapter(TorchAdapter):
    """One Specformer; a vector is the mean of its states over the tokens that `pooling` names, `(embed_dim,)`."""

    def __init__(
        self,
        network: Specformer,
        sizes: Sizes,
        pooling: str,
        device: torch.device,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        if pooling not in _POOLINGS:
            raise UnknownName.of("pooling of a Specformer", pooling, _POOLINGS)
        super().__init__(list(network.blocks), device, dtype)
        self._network = network.to(device, dtype).eval()
        self._sizes, self._pool = sizes, _POOLINGS[pooling]

    def prepare(self, values: Values) -> ModelInput | Dropped:
        """`(token, input_dim) float32`, scaled in double precision, whatever the network computes in.

        A spectrum without one section is `spectrum-too-short`; one with more tokens than the model has positions is
        `spectrum-too-long`, and never cut.
        """
        flux = as_array(values)
        tokens = self._sizes.count_tokens(flux.size)
        if tokens == 1:
            return Dropped("spectrum-too-short")
        if tokens > self._sizes.max_len:
            return Dropped("spectrum-too-long")
        return cut_tokens(flux, self._sizes)

    def encode(self, batch: Sequence[ModelInput], layers: Sequence[str]) -> tuple[Floats, ...]:
        """The vectors of each layer, `(n, d) float32`. Raises OutOfMemory, and CheckpointUnavailable for no such block.

        Spectra of one length are run together, and none is filled up.
        """
        spectra = [np.asarray(tokens) for tokens in batch]
        lengths = np.array([len(tokens) for tokens in spectra])

        def run(tokens: torch.Tensor) -> tuple[torch.Tensor, ...]:
            return pool_layers(lambda: self._network(tokens), self._blocks, layers, self._pool)

        vectors = tuple(np.empty((len(batch), self._sizes.embed_dim), np.float32) for _ in layers)
        for length in np.unique(lengths):
            places = np.flatnonzero(lengths == length)
            made = run_batch(run, [spectra[place] for place in places], self._device, self._dtype)
            for whole, part in zip(vectors, made, strict=True):
                whole[places] = part
        return vectors


def load_specformer(
    model: ModelRef, folder: Path | None, device: torch.device, dtype: torch.dtype
) -> SpecformerAdapter:
    """The model in the file that its option `file` names, at its commit of the hub or in the `folder` in its stead.

    Raises CheckpointUnavailable for a gated, missing, damaged or unfitting checkpoint, HubUnavailable when the hub does
    not answer, UnknownName for a pooling or an option that is not known here.
    """
    path = _find_file(model, folder)
    what = f"{path.name} of {model.checkpoint} at {model.revision}"
    sizes, network = read_specformer(path, what)
    return SpecformerAdapter(network, sizes, model.pooling, device, dtype)


def _find_file(model: ModelRef, folder: Path | None) -> Path:
    for option in model.options:
        if option != _FILE:
            raise UnknownName.of(f"option of {model.name}", option, (_FILE,))
    return find_file(model, folder, str(model.options.get(_FILE, "")))


def _mean_after_first(states: torch.Tensor) -> torch.Tensor:
    return states[:, 1:].mean(dim=1)


def _mean(states: torch.Tensor) -> torch.Tensor:
    return states.mean(dim=1)


_POOLINGS: Mapping[str, Callable[[torch.Tensor], torch.Tensor]] = MappingProxyType(
    {"mean-after-first": _mean_after_first, "mean": _mean}
)
"""The first token tells mean and deviation alone; AstroCLIP's own downstream tasks take the mean of all, the study of
arXiv 2509.19453 that of the others."""
