"""Vectors of several layers out of one forward pass: what each wanted block gives is pooled as it comes.

States are pooled in float32, whatever the network computes in, and dropped at once, so that all layers together take no
more memory than one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from embedder.adapters.base import find_block

Pool = Callable[[torch.Tensor], torch.Tensor]
"""States of n objects to their vectors, `(n, d)`."""


def pool_layers(
    run: Callable[[], torch.Tensor], blocks: Sequence[torch.nn.Module], layers: Sequence[str], pool: Pool
) -> tuple[torch.Tensor, ...]:
    """The vectors of each layer, in the order of `layers`. run: the forward pass, to the states of `final`.

    Raises CheckpointUnavailable for a layer that is not there.
    """
    places = [find_block(layer, len(blocks)) for layer in layers]
    pooled: dict[int | None, torch.Tensor] = {}
    with _watch(blocks, {place for place in places if place is not None}, pool, pooled):
        pooled[None] = pool(run().float())
    return tuple(pooled[place] for place in places)


def find_blocks(network: Any, number: int) -> Sequence[torch.nn.Module]:
    """The blocks of a network: the outermost list of that many modules. Raises ValueError when there is none."""
    for part in network.modules():
        if isinstance(part, torch.nn.ModuleList) and len(part) == number:
            return list(part)
    raise ValueError(f"{type(network).__name__} has no list of {number} blocks")


@contextmanager
def _watch(
    blocks: Sequence[torch.nn.Module], wanted: set[int], pool: Pool, pooled: dict[int | None, torch.Tensor]
) -> Iterator[None]:
    def watcher(place: int) -> Callable[..., None]:
        def see(module: torch.nn.Module, given: Any, states: Any) -> None:
            del module, given
            pooled[place] = pool((states[0] if isinstance(states, tuple) else states).float())

        return see

    hooks = [blocks[place].register_forward_hook(watcher(place)) for place in sorted(wanted)]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
