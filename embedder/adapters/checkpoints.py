"""Checkpoints of the transformers library: read whole, and without running code of theirs.

Weights come from safetensors; where a checkpoint has none, from its `pytorch_model.bin`, as plain data: `weights_only`
refuses whatever is no tensor.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError  # what torch.load raises of a file it will not read
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from transformers import AutoModel
from transformers.utils import logging

from embedder.adapters.records import DAMAGED, tell_damage
from embedder.hub import translate_hub_errors
from shared.contracts import ModelRef
from shared.errors import CheckpointUnavailable

# What a checkpoint may lack: the pooling head, which none of our vectors is taken from.
_NOT_NEEDED = "pooler."


class Checkpoint(NamedTuple):
    """A network, and what turns pictures or texts into its input."""

    network: Any
    processor: Any


def load_checkpoint(
    model: ModelRef, folder: Path | None, dtype: torch.dtype, processor: Any, network: Any = AutoModel, **options: Any
) -> Checkpoint:
    """The model at its commit of the hub, or from the local `folder` that stands in for it.

    dtype: what it computes in. processor: the class that reads its processor, given `options`; network: the class of
    transformers that reads the network. Raises CheckpointUnavailable for a gated, missing or unfitting checkpoint,
    HubUnavailable when the hub does not answer.
    """
    where = str(folder or model.checkpoint)
    revision = "main" if folder else model.revision
    try:
        with translate_hub_errors("model", model.checkpoint, model.revision), _without_report():
            # The processor first: it is small, so that its fault is known before gigabytes are read.
            made = processor.from_pretrained(where, revision=revision, trust_remote_code=False, **options)
            loaded, report = _read_network(network, where, revision, dtype)
    except (OSError, ValueError, RuntimeError, EOFError, SafetensorError, UnpicklingError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise CheckpointUnavailable(
            f"{model.checkpoint} at {model.revision} cannot be loaded: {reason}",
            "config.json, its processor's or tokenizer's files, and weights in safetensors or pytorch_model.bin",
            "choose a revision that has them",
        ) from error
    refuse_gaps(model, report)
    return Checkpoint(loaded, made)


def _read_network(network: Any, where: str, revision: str, dtype: torch.dtype) -> tuple[Any, Mapping[str, Any]]:
    """The network, and what of it the checkpoint lacked. Asked for by name, so that the library converts nothing."""

    def read(*, safetensors: bool) -> Any:
        return network.from_pretrained(
            where,
            revision=revision,
            use_safetensors=safetensors,
            weights_only=True,
            trust_remote_code=False,
            dtype=dtype,
            output_loading_info=True,
        )

    try:
        loaded, report = read(safetensors=True)
    except OSError as error:
        if "safetensors" not in str(error):  # what the library says when there are none (transformers 5.23)
            raise
        try:
            loaded, report = read(safetensors=False)
        except OSError:  # there is none either
            raise
        except DAMAGED as damage:
            raise OSError(f"pytorch_model.bin {tell_damage(damage)}") from damage
    return loaded, report


@contextmanager
def _without_report() -> Iterator[None]:
    """Keep transformers from listing, tensor by tensor, what of a checkpoint is not needed, such as a decoder.

    What is needed and not there is for `refuse_gaps` to say.
    """
    before = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(before)


def refuse_gaps(model: ModelRef, report: Mapping[str, Any]) -> None:
    """Raise CheckpointUnavailable for what a checkpoint lacks.

    The libraries fill it with random numbers, and only warn. report: the `output_loading_info` of transformers, or of
    diffusers.
    """
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
