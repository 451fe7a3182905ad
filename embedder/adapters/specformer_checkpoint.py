"""The checkpoint of a Specformer, one file written by Lightning with `hyper_parameters` and `state_dict`, read as data.

The published file keeps its hyper-parameters in a dict of Lightning's own class. `weights_only` refuses every class it
does not know; this one name it is told to read as a plain dict, so that neither Lightning nor code of the file is run.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch

from embedder.adapters.records import DAMAGED, tell_damage
from embedder.adapters.specformer_network import Sizes, Specformer
from shared.errors import CheckpointUnavailable, UnknownName, one_line

_LIGHTNING_DICT = (dict, "lightning.fabric.utilities.data.AttributeDict")
_OF_TRAINING = frozenset({"mask_num_chunks", "mask_chunk_width", "dropout", "norm_first"})
"""Hyper-parameters that change no vector. `norm_first` too: the published code takes the word, false unless told, and
never looks at it; its norms come first."""
_LEAST: Mapping[str, int] = MappingProxyType({"slice_overlap": 0})
_MOST: Mapping[str, int] = MappingProxyType({"num_layers": 100})
_MOST_OF_OTHERS = 65_536


def read_specformer(path: Path, what: str) -> tuple[Sizes, Specformer]:
    """The sizes and the network in the file at `path`, as it was stored, on the CPU. what: the file, as errors name it.

    Raises CheckpointUnavailable for a file that is damaged, holds anything but tensors and plain values, or does not
    fit: a hyper-parameter unknown, missing or out of range, a tensor missing, misshaped or too many.
    """
    stored = _read(path, what)
    sizes = _find_sizes(stored["hyper_parameters"], what)
    with torch.device("meta"):  # no memory for numbers that are replaced at once
        network = Specformer(sizes)
    tensors = dict(stored["state_dict"])  # without torch's notes on it, which may say anything
    _refuse_misfits(network.state_dict(), tensors, what)
    network.load_state_dict(tensors, strict=True, assign=True)
    return sizes, network.requires_grad_(False)


def _read(path: Path, what: str) -> Mapping[str, Mapping[str, Any]]:
    try:
        with torch.serialization.safe_globals([_LIGHTNING_DICT]):
            stored = torch.load(path, map_location="cpu", weights_only=True)
    except DAMAGED as error:
        raise CheckpointUnavailable(f"{what} {tell_damage(error)}", "a file of tensors and plain values") from error
    parts = ("hyper_parameters", "state_dict")
    if not isinstance(stored, Mapping) or not all(isinstance(stored.get(part), Mapping) for part in parts):
        raise CheckpointUnavailable(f"{what} is no checkpoint of a Specformer", f"a dict with {' and '.join(parts)}")
    return stored


def _find_sizes(given: Mapping[Any, Any], what: str) -> Sizes:
    """Names that begin with an underscore are Lightning's notes; another one unknown may be another architecture."""
    fields = dataclasses.fields(Sizes)
    known = {field.name for field in fields} | _OF_TRAINING
    for name in map(str, given):
        if name not in known and not name.startswith("_"):
            unknown = UnknownName.of("hyper-parameter of a Specformer", _quote(name), known)
            raise CheckpointUnavailable(f"{what}: {unknown.wrong}", unknown.expected, unknown.remedy)
    missing = [field.name for field in fields if field.default is dataclasses.MISSING and field.name not in given]
    if missing:
        raise CheckpointUnavailable(f"{what} lacks the hyper-parameters {', '.join(missing)}", "each of the sizes")
    sizes = {field.name: _check_size(field.name, given[field.name], what) for field in fields if field.name in given}
    try:
        return Sizes(**sizes)
    except ValueError as error:
        raise CheckpointUnavailable(f"{what}: {error}", "sizes of a Specformer") from error


def _check_size(name: str, value: Any, what: str) -> int:
    least, most = _LEAST.get(name, 1), _MOST.get(name, _MOST_OF_OTHERS)
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise CheckpointUnavailable(
            f"{what}: {name} is {_quote(repr(value))}", f"a whole number from {least} to {most}"
        )
    return value


def _refuse_misfits(wanted: Mapping[str, torch.Tensor], given: Mapping[Any, Any], what: str) -> None:
    lacking = [name for name, tensor in wanted.items() if not _fits(given.get(name), tensor)]
    if lacking:
        raise CheckpointUnavailable(
            f"{what} lacks or misshapes {len(lacking)} tensors, such as {', '.join(lacking[:3])}",
            "every tensor that its hyper-parameters describe",
        )
    foreign = [_quote(str(name)) for name in given if name not in wanted]
    if foreign:
        raise CheckpointUnavailable(
            f"{what} has {len(foreign)} tensors too many, such as {', '.join(foreign[:3])}",
            "the tensors that its hyper-parameters describe, and no others",
        )


def _fits(given: Any, wanted: torch.Tensor) -> bool:
    return isinstance(given, torch.Tensor) and given.shape == wanted.shape and given.is_floating_point()


def _quote(said: str) -> str:
    return one_line(said)[:80]
