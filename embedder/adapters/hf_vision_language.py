"""Vision-language models of the transformers library as encoders of pictures: PaliGemma 2, LLaVA, LLaVA-OneVision.

A picture and a prompt, the row's option `prompt`, go through the whole model but its head, which would write on. A
vector is the last hidden states of its language model, pooled over the tokens of both. The prompt says where the
picture stands, `<image>`, and becomes tokens by the model's own processor, which adds what the model was trained with:
PaliGemma's begin of text and newline; the grid of parts that OneVision cuts a picture into.

Memory: the weights are read tensor by tensor from safetensors into `dtype`, in the host's memory, and then moved to the
device: both need room for all parameters, at 4 bytes each in float32, 2 in bfloat16 or float16. On a CPU, tensors that
the files hold in `dtype` already stay in the files, mapped: a machine with too little room reads them again and again.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image as Picture
from transformers import (
    AutoConfig,
    AutoImageProcessor,
    AutoTokenizer,
    LlavaOnevisionProcessor,
    LlavaProcessor,
    PaliGemmaProcessor,
)

from embedder.adapters.base import ModelInput, as_array
from embedder.adapters.batches import TorchAdapter, place_network, run_batch
from embedder.adapters.blocks import find_blocks, pool_layers
from embedder.adapters.checkpoints import load_checkpoint
from embedder.adapters.hf_text import POOLINGS
from embedder.recipes import Values
from embedder.samples import Floats
from shared.contracts import ModelRef
from shared.errors import BadStudy, CheckpointUnavailable, UnknownName

_PROMPT, _PLACE = "prompt", "<image>"
_SHOWN = (96, 96, 3)  # as recipes of fluxes show it


class HfVisionLanguageAdapter(TorchAdapter):
    """One vision-language model, its processor and a prompt."""

    def __init__(
        self,
        network: Any,
        processor: Any,
        *,
        prompt: str,
        pooling: str,
        device: torch.device,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self._network, self._processor, self._prompt = place_network(network, device), processor, prompt
        self._pool = POOLINGS[pooling]
        self._takes = frozenset(inspect.signature(network.forward).parameters)
        depth = int(network.config.get_text_config().num_hidden_layers)
        super().__init__(find_blocks(network.language_model, depth), device, dtype)

    def prepare(self, values: Values) -> Mapping[str, npt.NDArray[Any]]:
        """What the network takes, by name: `pixel_values` of the picture, `input_ids` and `attention_mask`, `(token,)`.

        A recipe shows pictures of one shape, which gives inputs of one shape.
        """
        picture = Picture.fromarray(as_array(values))
        given = self._processor(images=[picture], text=[self._prompt], return_tensors="np")
        return {name: np.asarray(value[0]) for name, value in given.items() if name in self._takes}

    def encode(self, batch: Sequence[ModelInput], layers: Sequence[str]) -> tuple[Floats, ...]:
        """The vectors of each layer, `(n, d) float32`. Raises OutOfMemory."""

        def run(given: Mapping[str, torch.Tensor]) -> tuple[torch.Tensor, ...]:
            own = given["attention_mask"] != 0
            return pool_layers(
                lambda: self._network(**given, use_cache=False).last_hidden_state,
                self._blocks,
                layers,
                lambda states: self._pool(states, own),
            )

        return run_batch(run, batch, self._device, self._dtype)

    def count_places(self) -> tuple[int, int]:
        """The tokens that stand for a picture in the prompt, and the features that the network has for them."""
        given = self.prepare(np.zeros(_SHOWN, np.uint8))
        places = int((given["input_ids"] == self._network.config.image_token_id).sum())
        takes = inspect.signature(self._network.get_image_features).parameters

        def see(batch: Mapping[str, torch.Tensor]) -> tuple[torch.Tensor, ...]:
            seen = self._network.get_image_features(**{name: batch[name] for name in batch if name in takes})
            return (torch.cat(list(seen.pooler_output)),)

        (features,) = run_batch(see, [given], self._device, self._dtype)
        return places, len(features)


class _PictureProcessor(LlavaOnevisionProcessor):  # type: ignore[misc]
    """OneVision's processor without its part for videos, which needs torchvision (transformers 5.23)."""

    @classmethod
    def get_attributes(cls) -> list[str]:
        return ["image_processor", "tokenizer"]


_PROCESSORS: Mapping[str, Any] = MappingProxyType(
    {"paligemma": PaliGemmaProcessor, "llava": LlavaProcessor, "llava_onevision": _PictureProcessor}
)


class _Processor:
    """Reads a processor for the kind of model that the checkpoint says it is, with the image processor of PIL.

    transformers has no word for the latter where it reads a processor whole (5.23), and would take torchvision's where
    it is installed: other pixels.
    """

    @staticmethod
    def from_pretrained(where: str, **given: Any) -> Any:
        """The processor. Raises ValueError for a kind of model that is not known here, or OSError."""
        config = AutoConfig.from_pretrained(where, **given)
        kind = _PROCESSORS.get(config.model_type)
        if kind is None:
            raise ValueError(f"{config.model_type} is none of {', '.join(_PROCESSORS)}")
        parts = [AutoImageProcessor.from_pretrained(where, backend="pil", **given)]
        parts.append(AutoTokenizer.from_pretrained(where, **given))
        settings, _ = kind.get_processor_dict(where, **given)
        return kind.from_args_and_dict(parts, settings)


def load_hf_vision_language(
    model: ModelRef, folder: Path | None, device: torch.device, dtype: torch.dtype
) -> HfVisionLanguageAdapter:
    """The model at its commit of the hub, or from the local `folder` that stands in for it.

    Raises CheckpointUnavailable for a gated, missing or unfitting checkpoint, HubUnavailable when the hub does
    not answer, UnknownName for a pooling or an option that is not known here, BadStudy for a prompt without a place
    for the picture.
    """
    if model.pooling not in POOLINGS:
        raise UnknownName.of("pooling of a vision-language model", model.pooling, POOLINGS)
    prompt = _read_prompt(model)
    network, processor = load_checkpoint(model, folder, dtype, _Processor)
    adapter = HfVisionLanguageAdapter(
        network, processor, prompt=prompt, pooling=model.pooling, device=device, dtype=dtype
    )
    _refuse_other_places(model, adapter)
    return adapter


def _read_prompt(model: ModelRef) -> str:
    for option in sorted(set(model.options) - {_PROMPT}):
        raise UnknownName.of(f"option of {model.name}", option, [_PROMPT])
    prompt = str(model.options.get(_PROMPT, ""))
    if prompt.count(_PLACE) != 1:
        raise BadStudy(
            f"the prompt of {model.name} is {prompt!r}", f"{_PLACE} once, where the picture stands", "change the prompt"
        )
    return prompt


def _refuse_other_places(model: ModelRef, adapter: HfVisionLanguageAdapter) -> None:
    """The processor counts a picture's tokens by its own files: they may be of another model, or too old."""
    what = f"the processor of {model.checkpoint} at {model.revision}"
    try:
        places, features = adapter.count_places()
    except (TypeError, ValueError, RuntimeError, ArithmeticError) as error:  # numbers missing, or not of this model
        reason = str(error).strip().partition("\n")[0]
        raise CheckpointUnavailable(f"{what} does not fit: {reason}", "the files of this model's processor") from error
    if places != features:
        raise CheckpointUnavailable(f"{what} gives a picture {places} tokens", f"{features}, as the model does")
