"""Checkpoints of the diffusers library: the parts that are needed to look into a denoiser, each from its own folder.

Nothing that comes with a checkpoint is run. Weights are safetensors or, where a checkpoint has no others (DiT-XL/2),
what `torch.load(weights_only=True)` reads: tensors, and no code.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError  # what torch.load raises of a file it will not read
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from transformers import AutoTokenizer, CLIPTextModel, T5EncoderModel

from embedder.adapters.checkpoints import refuse_gaps
from embedder.adapters.extras import import_extra
from embedder.hub import translate_hub_errors
from shared.contracts import ModelRef
from shared.errors import CheckpointUnavailable

_EXTRA = "diffusion"
_TOKENS = 77  # of a prompt: what CLIP takes, and what IF was trained with
_SCHEDULE = (
    "num_train_timesteps", "beta_start", "beta_end", "beta_schedule", "trained_betas", "rescale_betas_zero_snr",
)  # fmt: skip


class Parts(NamedTuple):
    """What a picture passes through.

    denoiser: called with the noisy picture, the timestep and the condition; blocks: its blocks, first to last;
    condition: what it is told when it is told nothing, by the name of its argument, `(1, ...)`; encoder: from pixels to
    latents, None where there are none; kept: for each timestep, the share of the variance that is the picture's.
    """

    denoiser: Any
    blocks: Sequence[torch.nn.Module]
    condition: Mapping[str, torch.Tensor]
    encoder: Any
    kept: torch.Tensor


@dataclass(frozen=True, slots=True)
class _Place:
    """One checkpoint, and where it lies: a hub id at a revision, or a local folder."""

    model: ModelRef
    where: str
    revision: str
    dtype: torch.dtype
    index: Mapping[str, Any]
    library: Any

    def read(self, kind: Any, part: str, **options: Any) -> Any:
        """The network in the folder `part`, whole, in evaluation mode. Raises CheckpointUnavailable."""
        network, report = kind.from_pretrained(
            self.where, subfolder=part, revision=self.revision, output_loading_info=True, **options
        )
        refuse_gaps(self.model, report)
        return network.eval()

    def kind_of(self, part: str) -> str:
        """The class of a part, as the checkpoint's index names it; empty for a part it does not have."""
        named = self.index.get(part)
        return str(named[1]) if isinstance(named, list | tuple) and len(named) == 2 else ""


def load_parts(model: ModelRef, folder: Path | None, dtype: torch.dtype) -> Parts:
    """The parts of a checkpoint at its commit of the hub, or in the local `folder` that stands in for it.

    Raises CheckpointUnavailable where the package is not installed, and for a gated, missing or unfitting checkpoint;
    HubUnavailable when the hub does not answer.
    """
    library = import_extra("diffusers", _EXTRA)
    where, revision = str(folder or model.checkpoint), "main" if folder else model.revision
    with _translate(model):
        index = library.DiffusionPipeline.load_config(where, revision=revision)
        place = _Place(model, where, revision, dtype, index, library)
        part, kind = _find_denoiser(place)
        denoiser = place.read(getattr(library, kind), part, torch_dtype=dtype)
        return Parts(
            denoiser=denoiser,
            blocks=_DENOISERS[kind].blocks(denoiser),
            condition=_DENOISERS[kind].say_nothing(denoiser, place),
            encoder=_read_encoder(place),
            kept=_read_schedule(place),
        )


@contextmanager
def _translate(model: ModelRef) -> Iterator[None]:
    try:
        with warnings.catch_warnings(), translate_hub_errors("model", model.checkpoint, model.revision):
            # diffusers 0.42 gives huggingface_hub 2 an argument that it does not heed any more.
            warnings.filterwarnings("ignore", "The `local_dir_use_symlinks` argument", UserWarning)
            yield
    except (OSError, ValueError, RuntimeError, TypeError, SafetensorError, UnpicklingError, EOFError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise CheckpointUnavailable(
            f"{model.checkpoint} at {model.revision} cannot be loaded: {reason}",
            "model_index.json, and the folders it names with their config.json and weights",
            "choose a revision that has them",
        ) from error


def _find_denoiser(place: _Place) -> tuple[str, str]:
    found = [(part, place.kind_of(part)) for part in ("unet", "transformer")]
    known = [(part, kind) for part, kind in found if kind in _DENOISERS]
    if not known:
        named = ", ".join(kind for _, kind in found if kind) or "none"
        raise CheckpointUnavailable(
            f"the denoiser of {place.model.checkpoint} is {named}", f"one of {', '.join(_DENOISERS)}"
        )
    return known[0]


def _read_encoder(place: _Place) -> Any:
    kind = place.kind_of("vae")
    if kind not in ("", "AutoencoderKL"):
        raise CheckpointUnavailable(f"the encoder of {place.model.checkpoint} is {kind}", "AutoencoderKL, or none")
    return place.read(place.library.AutoencoderKL, "vae", torch_dtype=place.dtype) if kind else None


def _read_schedule(place: _Place) -> torch.Tensor:
    """`(timestep,) float32`: the product of 1 - beta up to each (Ho et al. 2020, arXiv 2006.11239)."""
    scheduler = place.library.DDPMScheduler
    config = scheduler.load_config(place.where, subfolder="scheduler", revision=place.revision)
    if "beta_schedule" not in config:
        raise CheckpointUnavailable(f"{place.model.checkpoint} has no schedule of betas", "one of a diffusion model")
    kept: torch.Tensor = scheduler(**{name: config[name] for name in _SCHEDULE if name in config}).alphas_cumprod
    return kept


def _unet_blocks(denoiser: Any) -> list[torch.nn.Module]:
    """Down, middle, up. Some small ones have no middle."""
    middle = [] if denoiser.mid_block is None else [denoiser.mid_block]
    return [*denoiser.down_blocks, *middle, *denoiser.up_blocks]


def _say_no_words(denoiser: Any, place: _Place) -> dict[str, torch.Tensor]:
    """The states of the empty prompt, `(1, 77, d)`: these models were trained to take them for no prompt at all."""
    del denoiser
    kind = place.kind_of("text_encoder")
    if kind not in _TEXT_ENCODERS:
        raise CheckpointUnavailable(
            f"the text encoder of {place.model.checkpoint} is {kind or 'none'}", f"one of {', '.join(_TEXT_ENCODERS)}"
        )
    reader = _TEXT_ENCODERS[kind]
    tokenizer = AutoTokenizer.from_pretrained(
        place.where, subfolder="tokenizer", revision=place.revision, trust_remote_code=False
    )
    tokens = tokenizer("", padding="max_length", max_length=_TOKENS, truncation=True, return_tensors="pt")
    encoder = place.read(
        reader.network, "text_encoder", use_safetensors=True, trust_remote_code=False, dtype=place.dtype
    )
    with torch.inference_mode():
        given = {name: tokens[name] for name in reader.takes}
        return {"encoder_hidden_states": encoder(**given).last_hidden_state}


def _say_no_class(denoiser: Any, place: _Place) -> dict[str, torch.Tensor]:
    """The class after the last, which stood for no class in training (Peebles & Xie 2023, arXiv 2212.09748)."""
    del place
    return {"class_labels": torch.tensor([denoiser.config.num_embeds_ada_norm])}


class _Denoiser(NamedTuple):
    blocks: Callable[[Any], Sequence[torch.nn.Module]]
    say_nothing: Callable[[Any, _Place], dict[str, torch.Tensor]]


class _TextEncoder(NamedTuple):
    """takes: what it is given of a tokenized prompt, as it was in training: CLIP sees the filling, T5 does not."""

    network: Any
    takes: tuple[str, ...]


_DENOISERS: Mapping[str, _Denoiser] = MappingProxyType(
    {
        "UNet2DConditionModel": _Denoiser(_unet_blocks, _say_no_words),
        "DiTTransformer2DModel": _Denoiser(lambda denoiser: denoiser.transformer_blocks, _say_no_class),
    }
)
_TEXT_ENCODERS: Mapping[str, _TextEncoder] = MappingProxyType(
    {
        "CLIPTextModel": _TextEncoder(CLIPTextModel, ("input_ids",)),
        "T5EncoderModel": _TextEncoder(T5EncoderModel, ("input_ids", "attention_mask")),
    }
)
