"""What the adapters of torch share: one batch through a network, whatever room there is for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from embedder.adapters.base import ModelInput
from embedder.samples import Floats
from shared.errors import OutOfMemory

Network = Callable[[torch.Tensor], torch.Tensor]
# The CPU's allocator and MPS raise a bare RuntimeError (torch 2.13).
_NO_ROOM = ("can't allocate memory", "out of memory", "not enough memory")


def run_batch(network: Network, batch: Sequence[ModelInput], device: torch.device) -> Floats:
    """The vectors `(n, d) float32` of a batch; when there is no room for it, of its halves, one after the other.

    Raises OutOfMemory when there is no room for one object.
    """
    try:
        with torch.inference_mode():
            inputs = torch.from_numpy(np.stack(batch)).to(device)
            vectors: Floats = network(inputs).float().cpu().numpy()
        return vectors
    except (RuntimeError, MemoryError) as error:
        if not _is_out_of_memory(error):
            raise
        reason = str(error).strip().partition("\n")[0]
    # Outside the handler: there, the traceback would keep the failed batch's tensors alive.
    if len(batch) == 1:
        raise OutOfMemory(f"no room for one object on {device}: {reason}", "", "use a larger device or a smaller model")
    if device.type == "cuda":
        torch.cuda.empty_cache()
    half = len(batch) // 2
    return np.concatenate([run_batch(network, batch[:half], device), run_batch(network, batch[half:], device)])


def _is_out_of_memory(error: Exception) -> bool:
    known = isinstance(error, MemoryError | torch.OutOfMemoryError)
    return known or any(sign in str(error).lower() for sign in _NO_ROOM)
