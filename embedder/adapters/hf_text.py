"""Language models of the transformers library, as encoders of texts: MiniLM, BGE, Qwen3-Embedding, and their like.

A text is given as it stands, without the instruction that some of these models take before a search query: what is
embedded are the documents. It is tokenised by the model's own tokenizer and never cut: one that is longer than the
model can take is dropped and counted. Texts of a batch are filled up on the right, and the filling is masked, whatever
side a tokenizer would choose, so that positions begin at the first token of each.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from transformers import AutoTokenizer

from embedder.adapters.base import ModelInput
from embedder.adapters.batches import TorchAdapter, run_batch
from embedder.adapters.blocks import find_blocks, pool_layers
from embedder.adapters.checkpoints import load_checkpoint
from embedder.adapters.wheels import find_files
from embedder.recipes import Dropped, Values
from embedder.samples import Floats
from shared.contracts import ModelRef
from shared.errors import UnknownName

_FILLING = -1  # no token


class HfTextAdapter(TorchAdapter):
    """One language model and its tokenizer; a vector is its last hidden states, pooled over the text's own tokens."""

    def __init__(
        self, network: Any, tokenizer: Any, pooling: str, device: torch.device, dtype: torch.dtype = torch.float32
    ) -> None:
        self._network, self._tokenizer = network.to(device).eval(), tokenizer
        self._network.config.use_cache = False  # of keys and values, for writing on: nothing is written
        if pooling not in POOLINGS:
            raise UnknownName.of("pooling of a language model", pooling, POOLINGS)
        self._pool = POOLINGS[pooling]
        super().__init__(find_blocks(network, int(network.config.num_hidden_layers)), device, dtype)

    @property
    def longest(self) -> int:
        """The most tokens of a text, its first and last mark included: 512 of MiniLM and BGE."""
        return int(min(self._tokenizer.model_max_length, self._network.config.max_position_embeddings))

    def prepare(self, values: Values) -> ModelInput | Dropped:
        """`(token,) int64`, with the marks the tokenizer sets; a text longer than `longest` is `text-too-long`."""
        if not isinstance(values, str):
            raise TypeError("a model of texts was given numbers")
        tokens = self._tokenizer(values, truncation=False, verbose=False)["input_ids"]
        return Dropped("text-too-long") if len(tokens) > self.longest else np.asarray(tokens, np.int64)

    def encode(self, batch: Sequence[ModelInput], layers: Sequence[str]) -> tuple[Floats, ...]:
        """The vectors of each layer, `(n, d) float32`. Raises OutOfMemory."""
        texts = [np.asarray(tokens) for tokens in batch]
        length = max(len(tokens) for tokens in texts)
        filled = [np.pad(tokens, (0, length - len(tokens)), constant_values=_FILLING) for tokens in texts]

        def run(tokens: torch.Tensor) -> tuple[torch.Tensor, ...]:
            own = tokens != _FILLING
            given = {"input_ids": tokens.clamp(min=0), "attention_mask": own.long()}
            return pool_layers(
                lambda: self._network(**given).last_hidden_state,
                self._blocks,
                layers,
                lambda states: self._pool(states, own),
            )

        return run_batch(run, filled, self._device, self._dtype)


def load_hf_text(model: ModelRef, folder: Path | None, device: torch.device, dtype: torch.dtype) -> HfTextAdapter:
    """The model at its commit of the hub, or from the local `folder` that stands in for it.

    Raises CheckpointUnavailable for a gated, missing or unfitting checkpoint, HubUnavailable when the hub does
    not answer, UnknownName for a pooling that is not known here.
    """
    network, tokenizer = load_checkpoint(model, folder, dtype, AutoTokenizer)
    return HfTextAdapter(network, tokenizer, model.pooling, device, dtype)


def load_text_wheel(model: ModelRef, device: torch.device, dtype: torch.dtype) -> HfTextAdapter:
    """The model whose whole checkpoint comes in a wheel. Raises CheckpointUnavailable."""
    return load_hf_text(model, find_files(model, "/model.safetensors")[0].parent, device, dtype)


def _pool_first(states: torch.Tensor, own: torch.Tensor) -> torch.Tensor:
    del own
    return states[:, 0]


def _pool_mean(states: torch.Tensor, own: torch.Tensor) -> torch.Tensor:
    weights = own[..., None].to(states.dtype)
    return (states * weights).sum(dim=1) / weights.sum(dim=1)


def _pool_last(states: torch.Tensor, own: torch.Tensor) -> torch.Tensor:
    return states[torch.arange(len(states), device=states.device), own.sum(dim=1) - 1]


POOLINGS: Mapping[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = MappingProxyType(
    {"cls": _pool_first, "masked-mean": _pool_mean, "last-token": _pool_last}
)
"""States `(n, token, d)`, and which tokens are each object's own, `(n, token)` true, to vectors `(n, d)`."""
