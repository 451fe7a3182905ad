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

from embedder.adapters.base import ModelInput, refuse_block
from embedder.adapters.batches import run_batch
from embedder.adapters.checkpoints import load_checkpoint
from embedder.adapters.wheels import find_files
from embedder.catalogue.rows import block_of
from embedder.recipes import Dropped, Values
from embedder.samples import Floats
from shared.contracts import ModelRef

_FILLING = -1  # no token


class HfTextAdapter:
    """One language model and its tokenizer; a vector is its last hidden states, pooled over the text's own tokens.

    block: the block whose output is pooled instead, without the norm that may follow the last one.
    """

    def __init__(
        self, network: Any, tokenizer: Any, pooling: str, device: torch.device, block: int | None = None
    ) -> None:
        self._network, self._tokenizer = network.to(device).eval(), tokenizer
        self._network.config.use_cache = False  # of keys and values, for writing on: nothing is written
        self._pooling, self._pool = pooling, _POOLINGS[pooling]
        self._device, self._block = device, block

    def at(self, layer: str) -> HfTextAdapter:
        """The same network, its states taken after one block. Raises CheckpointUnavailable."""
        block, blocks = block_of(layer), int(self._network.config.num_hidden_layers)
        if block is not None and block >= blocks:
            raise refuse_block(str(self._network.config.model_type), layer, blocks)
        return HfTextAdapter(self._network, self._tokenizer, self._pooling, self._device, block)

    @property
    def dimension(self) -> int:
        """The length d of a vector."""
        return int(self._network.config.hidden_size)

    @property
    def device(self) -> str:
        """Where the model runs."""
        return str(self._device)

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

    def encode(self, batch: Sequence[ModelInput]) -> Floats:
        """The vectors, `(n, d) float32`. Raises OutOfMemory."""
        length = max(len(tokens) for tokens in batch)
        filled = [np.pad(tokens, (0, length - len(tokens)), constant_values=_FILLING) for tokens in batch]
        return run_batch(self._vectors, filled, self._device)

    def _vectors(self, tokens: torch.Tensor) -> torch.Tensor:
        own = tokens != _FILLING
        given = {"input_ids": tokens.clamp(min=0), "attention_mask": own.long()}
        if self._block is None:
            return self._pool(self._network(**given).last_hidden_state, own)
        return self._pool(self._after_block(given, self._block), own)

    def _after_block(self, given: Mapping[str, torch.Tensor], block: int) -> torch.Tensor:
        """`hidden_states` of the library (transformers 5.23) has the last block's output after the norm, in Qwen3."""
        seen: list[torch.Tensor] = []

        def see(module: torch.nn.Module, given: Any, states: torch.Tensor) -> None:
            del module, given
            seen.append(states)

        hook = _find_blocks(self._network)[block].register_forward_hook(see)
        try:
            self._network(**given)
        finally:
            hook.remove()
        return seen[0]


def _find_blocks(network: Any) -> torch.nn.ModuleList:
    """The list of a network's blocks: the only one of that length outside a block."""
    blocks = int(network.config.num_hidden_layers)
    found = (part for part in network.modules() if isinstance(part, torch.nn.ModuleList) and len(part) == blocks)
    return next(found)


def load_hf_text(model: ModelRef, folder: Path | None, device: torch.device) -> HfTextAdapter:
    """The model at its commit of the hub, or from the local `folder` that stands in for it.

    Raises CheckpointUnavailable for a gated, missing or unfitting checkpoint, HubUnavailable when the hub does
    not answer.
    """
    network, tokenizer = load_checkpoint(model, folder, AutoTokenizer)
    return HfTextAdapter(network, tokenizer, model.pooling, device)


def load_text_wheel(model: ModelRef, device: torch.device) -> HfTextAdapter:
    """The model whose whole checkpoint comes in a wheel. Raises CheckpointUnavailable."""
    return load_hf_text(model, find_files(model, "/model.safetensors")[0].parent, device)


def _pool_first(states: torch.Tensor, own: torch.Tensor) -> torch.Tensor:
    del own
    return states[:, 0]


def _pool_mean(states: torch.Tensor, own: torch.Tensor) -> torch.Tensor:
    weights = own[..., None].to(states.dtype)
    return (states * weights).sum(dim=1) / weights.sum(dim=1)


def _pool_last(states: torch.Tensor, own: torch.Tensor) -> torch.Tensor:
    return states[torch.arange(len(states), device=states.device), own.sum(dim=1) - 1]


_POOLINGS: Mapping[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = MappingProxyType(
    {"cls": _pool_first, "masked-mean": _pool_mean, "last-token": _pool_last}
)
