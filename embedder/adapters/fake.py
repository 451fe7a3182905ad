"""The fake models: a seeded random projection of a coarse image; no weights, no model library. Imports numpy only.

They are registered like any other, so that the whole system runs in tests without weights. Their vectors say what
the picture roughly looks like, so two modalities of the same objects agree above chance; nothing more should be
read from them. Each object is projected by itself, so its vector is the same bits in any batch.

Three of them misbehave, so that tests can see what becomes of such work: `fake-slow` takes its time, `fake-poison`
kills the process that runs it, `fake-hung` never comes to an end.
"""

from __future__ import annotations

import hashlib
import logging
import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from embedder.adapters.base import ModelInput, as_array, find_block
from embedder.catalogue.rows import FINAL
from embedder.recipes import Values
from embedder.samples import Floats
from shared.contracts import ModelRef
from shared.errors import CheckpointUnavailable

_log = logging.getLogger(__name__)
_CELLS = 12
_BLOCKS = 2
_SECONDS_OF_AN_OBJECT = 0.02


def _behave(objects: int) -> None:
    del objects


def _take_time(objects: int) -> None:
    time.sleep(objects * _SECONDS_OF_AN_OBJECT)


def _kill_this_process(objects: int) -> None:
    del objects
    _log.warning("fake-poison kills process %d", os.getpid())
    os.kill(os.getpid(), signal.SIGKILL)


def _hang(objects: int) -> None:
    _log.warning("fake-hung will not come back from %d objects", objects)
    while True:
        time.sleep(3600)


class _Fake(NamedTuple):
    """dimension: length of a vector. before: what it does before it encodes this many objects."""

    dimension: int
    before: Callable[[int], None]


_FAKES: Mapping[str, _Fake] = MappingProxyType(
    {
        "fake-small": _Fake(32, _behave),
        "fake-large": _Fake(128, _behave),
        "fake-slow": _Fake(32, _take_time),
        "fake-poison": _Fake(32, _kill_this_process),
        "fake-hung": _Fake(32, _hang),
    }
)


class FakeAdapter:
    """A projection of 12 x 12 cells of each colour, and a constant, to as many numbers as the fake's vectors have."""

    def __init__(self, checkpoint: str) -> None:
        self._checkpoint, self._fake = checkpoint, _FAKES[checkpoint]

    @property
    def device(self) -> str:
        """Where the model runs."""
        return "cpu"

    @property
    def blocks(self) -> int:
        """The number of its blocks."""
        return _BLOCKS

    def prepare(self, values: Values) -> ModelInput:
        """The mean of each cell and colour, 0 to 1, and a one, so that a black image has a direction too."""
        picture = as_array(values)
        side = picture.shape[0] // _CELLS
        squares = picture[: _CELLS * side, : _CELLS * side].reshape(_CELLS, side, _CELLS, side, 3)
        cells = squares.mean(axis=(1, 3), dtype=np.float64) / 255
        return np.append(cells.ravel(), 1.0)

    def encode(self, batch: Sequence[ModelInput], layers: Sequence[str]) -> tuple[Floats, ...]:
        """The projections of each layer, `(n, d) float32`; from those that misbehave late, or never."""
        for layer in layers:
            find_block(layer, _BLOCKS)
        self._fake.before(len(batch))
        return tuple(
            np.stack([np.einsum("i,id->d", np.asarray(cells), projection) for cells in batch]).astype(np.float32)
            for projection in (_draw_projection(self._checkpoint, layer) for layer in layers)
        )


@lru_cache(maxsize=64)
def _draw_projection(checkpoint: str, layer: str) -> npt.NDArray[np.float64]:
    """Each layer has a projection of its own, `(inputs, d)`."""
    name = checkpoint if layer == FINAL else f"{checkpoint}/{layer}"
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
    inputs = _CELLS * _CELLS * 3 + 1
    shape = inputs, _FAKES[checkpoint].dimension
    drawn: npt.NDArray[np.float64] = np.random.default_rng(seed).standard_normal(shape) / np.sqrt(inputs)
    return drawn


def load_fake(model: ModelRef) -> FakeAdapter:
    """The fake model of that name. Raises CheckpointUnavailable."""
    if model.checkpoint not in _FAKES or model.revision != "1":
        raise CheckpointUnavailable(
            f"there is no fake {model.checkpoint} at revision {model.revision}", f"{', '.join(_FAKES)} at 1"
        )
    return FakeAdapter(model.checkpoint)
