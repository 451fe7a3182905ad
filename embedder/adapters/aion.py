"""AION-1 (arXiv 2510.17960): one transformer over tokens of many surveys, which tokenisers make of raw fluxes.

Network and tokenisers are those of the package `polymathic-aion`, imported when such a model is loaded. Their weights
and settings are read here from one commit, from safetensors alone, and whole: the package's own manager takes its
tokenisers from whatever the hub holds today.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError
from safetensors.torch import load_model

from embedder.adapters.base import ModelInput
from embedder.adapters.batches import TorchAdapter, run_batch
from embedder.adapters.blocks import pool_layers
from embedder.adapters.extras import import_extra
from embedder.adapters.files import find_file
from embedder.recipes import Dropped, Values
from embedder.samples import Floats, Image, Spectrum
from shared.contracts import ModelRef
from shared.errors import CheckpointUnavailable, MissingBand, UnknownName, one_line

Tokenise = Callable[[Values], ModelInput | Dropped]
_EXTRA = ("aion", "constraints-aion.txt")
_SIDE = 96  # pixels of the centre square that the image tokeniser takes
# Our bands as the image tokeniser calls them, by the class of its images.
_BANDS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "HSCImage": {f"hsc-{band}": f"HSC-{band.upper()}" for band in "grizy"},
        "LegacySurveyImage": {f"des-{band}": f"DES-{band.upper()}" for band in "griz"},
    }
)
_SPECTRA: Mapping[str, str] = MappingProxyType({"desi": "DESISpectrum", "sdss": "SDSSSpectrum"})


class AionAdapter(TorchAdapter):
    """One AION and the tokeniser of one kind of data; a vector is the mean of all encoder tokens.

    An object becomes tokens by itself, before it joins a batch: rounding to tokens would turn what arithmetic differs
    by in another batch into another token.
    """

    def __init__(
        self, network: Any, tokenise: Tokenise, device: torch.device, dtype: torch.dtype = torch.float32
    ) -> None:
        self._network, self._tokenise = network.to(device, dtype).eval(), tokenise
        super().__init__(list(network.encoder), device, dtype)

    def prepare(self, values: Values) -> ModelInput | Dropped:
        """The tokens of one object, `(token,) int64`, by the name of their survey. Raises MissingBand, OutOfMemory."""
        return self._tokenise(values)

    def encode(self, batch: Sequence[ModelInput], layers: Sequence[str]) -> tuple[Floats, ...]:
        """The vectors of each layer, `(n, d) float32`. Raises OutOfMemory."""

        def run(tokens: dict[str, torch.Tensor]) -> tuple[torch.Tensor, ...]:
            number = sum(of_survey.shape[1] for of_survey in tokens.values())  # all: the package takes 256 unless told
            return pool_layers(
                lambda: self._network.encode(tokens, num_encoder_tokens=number),
                self._blocks,
                layers,
                lambda states: states.mean(dim=1),
            )

        return run_batch(run, batch, self._device, self._dtype)


class _ImageTokeniser:
    """Fluxes in any bands that AION knows of one survey to 576 tokens; the centre 96 x 96 pixels, as they are."""

    def __init__(self, codec: Any, modalities: Any, device: torch.device) -> None:
        self._codec, self._modalities, self._device = codec.to(device).eval(), modalities, device

    def __call__(self, values: Values) -> ModelInput | Dropped:
        if not isinstance(values, Image):
            raise TypeError(f"AION takes fluxes with their bands, not a {type(values).__name__}")
        survey, bands = _find_survey(values.bands)
        if min(values.flux.shape[1:]) < _SIDE:
            return Dropped("image-too-small")
        kind = getattr(self._modalities, survey)
        names = [_BANDS[survey][values.bands[place]] for place in bands]

        def run(flux: torch.Tensor) -> tuple[torch.Tensor, ...]:
            return (self._codec.encode(kind(flux=flux, bands=names)),)

        # Chosen by place, these are a copy: the tokeniser clips and scales what it is given where it stands.
        return {kind.token_key: _as_tokens(run_batch(run, [values.flux[bands]], self._device))}


class _SpectrumTokeniser:
    """A spectrum to 273 tokens. A sample without inverse variance is told to be masked."""

    def __init__(self, codec: Any, kind: Any, device: torch.device) -> None:
        self._codec, self._kind, self._device = codec.to(device).eval(), kind, device

    def __call__(self, values: Values) -> ModelInput:
        if not isinstance(values, Spectrum):
            raise TypeError(f"AION takes spectra with their wavelengths, not a {type(values).__name__}")
        one = {
            "flux": values.flux,
            "ivar": values.ivar,
            "mask": ~(values.ivar > 0),
            "wavelength": values.wavelength,
        }

        def run(fields: dict[str, torch.Tensor]) -> tuple[torch.Tensor, ...]:
            return (self._codec.encode(self._kind(**fields)),)

        return {self._kind.token_key: _as_tokens(run_batch(run, [one], self._device))}


def load_aion(model: ModelRef, folder: Path | None, device: torch.device, dtype: torch.dtype) -> AionAdapter:
    """The network, and the tokeniser of what the model takes; of spectra, the option `survey` says whose they are.

    Raises CheckpointUnavailable for a package, a file, or a fitting tensor that is not there, HubUnavailable, and
    UnknownName for another survey.
    """
    modalities = import_extra("aion.modalities", *_EXTRA)
    if model.takes == "image":
        codec = import_extra("aion.codecs.image", *_EXTRA).ImageCodec
    else:
        codec = import_extra("aion.codecs.spectrum", *_EXTRA).SpectrumCodec
        survey = str(model.options.get("survey", ""))
        if survey not in _SPECTRA:
            raise UnknownName.of("survey of spectra", survey, _SPECTRA)
    network = _load_part(import_extra("aion.model", *_EXTRA).AION, model, folder, "")
    tokeniser = _load_part(lambda settings: codec(**settings), model, folder, f"codecs/{model.takes}/")
    if model.takes == "image":
        return AionAdapter(network, _ImageTokeniser(tokeniser, modalities, device), device, dtype)
    kind = getattr(modalities, _SPECTRA[survey])
    return AionAdapter(network, _SpectrumTokeniser(tokeniser, kind, device), device, dtype)


def _load_part(build: Callable[[Any], Any], model: ModelRef, folder: Path | None, within: str) -> Any:
    settings = find_file(model, folder, f"{within}config.json")
    weights = find_file(model, folder, f"{within}model.safetensors")
    try:
        part = build(json.loads(settings.read_text()))
        load_model(part, weights, strict=True)
    except (KeyError, TypeError, ValueError, AttributeError, AssertionError, RuntimeError, SafetensorError) as error:
        raise CheckpointUnavailable(
            f"{within or './'} of {model.checkpoint} does not fit the package aion: {one_line(error):.300}",
            "config.json and every tensor that it describes, in model.safetensors",
            "choose another revision",
        ) from error
    return part


def _find_survey(bands: Sequence[str]) -> tuple[str, list[int]]:
    """The survey whose bands an image has, and where they stand in it. Raises MissingBand."""
    for survey, known in _BANDS.items():
        places = [place for place, band in enumerate(bands) if band in known]
        if places:
            return survey, places
    raise MissingBand(
        f"AION knows none of the bands {', '.join(bands)}",
        ", ".join(band for known in _BANDS.values() for band in known),
        "leave aion out for this modality",
    )


def _as_tokens(encoded: tuple[Floats, ...]) -> npt.NDArray[np.int64]:
    """Codes come back as float32, which holds them exactly: there are fewer than 2^24."""
    tokens: npt.NDArray[np.int64] = encoded[0][0].astype(np.int64)
    return tokens
