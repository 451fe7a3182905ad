"""What the adapters of torch share: one batch through a network, whatever room there is for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from embedder.adapters.base import ModelInput
from embedder.samples import Floats
from shared.errors import OutOfMemory

Network = Callable[[Any], tuple[torch.Tensor, ...]]
"""A batch, `(n, ...)` or a mapping of such, to the vectors `(n, d)` of each layer."""
# The CPU's allocator and MPS raise a bare RuntimeError (torch 2.13).
_NO_ROOM = ("can't allocate memory", "out of memory", "not enough memory")


class TorchAdapter:
    """What adapters of torch have in common. dtype: what the network is given, where it is no whole numbers."""

    def __init__(self, blocks: Sequence[torch.nn.Module], device: torch.device, dtype: torch.dtype) -> None:
        self._blocks, self._device, self._dtype = blocks, device, dtype

    @property
    def device(self) -> str:
        """Where the model runs."""
        return str(self._device)

    @property
    def blocks(self) -> int:
        """The number of blocks after which vectors may be taken."""
        return len(self._blocks)


def run_batch(
    network: Network, batch: Sequence[ModelInput], device: torch.device, dtype: torch.dtype = torch.float32
) -> tuple[Floats, ...]:
    """The vectors `(n, d) float32` of a batch, for each layer that `network` gives.

    When there is no room for the batch, its halves are run one after the other. dtype: what the network computes in;
    inputs that are no whole numbers are given to it so. Raises OutOfMemory when there is no room for one object.
    """
    try:
        with torch.inference_mode():
            return tuple(layer.float().cpu().numpy() for layer in network(_collate(batch, device, dtype)))
    except (RuntimeError, MemoryError) as error:
        if not _is_out_of_memory(error):
            raise
        reason = _first_line(error)
    # Outside the handler: there, the traceback would keep the failed batch's tensors alive.
    if len(batch) == 1:
        raise OutOfMemory(f"no room for one object on {device}: {reason}", "", "use a larger device or a smaller model")
    if device.type == "cuda":
        torch.cuda.empty_cache()
    half = len(batch) // 2
    halves = [run_batch(network, part, device, dtype) for part in (batch[:half], batch[half:])]
    return tuple(np.concatenate(layer) for layer in zip(*halves, strict=True))


def place_network(network: Any, device: torch.device) -> Any:
    """The network on its device, ready to encode. Raises OutOfMemory when there is no room for its weights."""
    try:
        return network.to(device).eval()
    except (RuntimeError, MemoryError) as error:
        if not _is_out_of_memory(error):
            raise
        remedy = "ask for bfloat16, use a larger device or a smaller model"
        raise OutOfMemory(f"no room for the weights on {device}: {_first_line(error)}", "", remedy) from error


def _collate(batch: Sequence[ModelInput], device: torch.device, dtype: torch.dtype) -> Any:
    first = batch[0]
    if isinstance(first, Mapping):
        return {name: _collate([one[name] for one in batch], device, dtype) for name in first}
    inputs = torch.from_numpy(np.stack(batch))  # type: ignore[arg-type]
    return inputs.to(device, dtype if inputs.is_floating_point() else None)


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]


def _is_out_of_memory(error: Exception) -> bool:
    known = isinstance(error, MemoryError | torch.OutOfMemoryError)
    return known or any(sign in str(error).lower() for sign in _NO_ROOM)
