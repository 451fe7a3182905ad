"""How the light of a picture lies: the measures of Conselice (2003) and of Lotz, Primack and Madau (2004), per colour.

They are taken of the picture that every model is shown, about its centre, not of the fluxes about the galaxy's own.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from embedder.adapters.base import Adapter, ModelInput, as_array, find_block
from embedder.recipes import Values
from embedder.samples import Floats
from shared.contracts import Dtype, ModelRef
from shared.errors import CheckpointUnavailable
from shared.settings import Settings

_RINGS = 8
Plane = npt.NDArray[np.float64]


class MorphologyAdapter:
    """Of each colour `_RINGS` shares of light, asymmetry, Gini and M20: `(33,)` in all."""

    device = "cpu"
    blocks = 0

    def prepare(self, values: Values) -> ModelInput:
        """`(3, y, x) float64`, 0 to 1."""
        return as_array(values).transpose(2, 0, 1) / 255.0

    def encode(self, batch: Sequence[ModelInput], layers: Sequence[str]) -> tuple[Floats, ...]:
        """The measures, `(n, 33) float32`. There are no blocks: raises CheckpointUnavailable for one."""
        for layer in layers:
            find_block(layer, self.blocks)
        vectors = np.array([np.concatenate([measure(plane) for plane in np.asarray(one)]) for one in batch], np.float32)
        return tuple(vectors for _ in layers)


def load(model: ModelRef, dtype: Dtype, settings: Settings) -> Adapter:
    """The model. Raises CheckpointUnavailable for another version of it than this package's."""
    del dtype, settings
    if model.revision != "1":
        raise CheckpointUnavailable(f"there is no {model.name} at revision {model.revision}", "1")
    return MorphologyAdapter()


def measure(plane: Plane) -> Plane:
    """Rings from the centre outwards, asymmetry, Gini, M20 of one colour, `(y, x)` to `(11,)`; of no light, noughts."""
    light = plane.sum()
    if light == 0:
        return np.zeros(_RINGS + 3)
    y, x = np.indices(plane.shape) - (np.array(plane.shape)[:, None, None] - 1) / 2
    squared = x**2 + y**2
    ring = np.minimum((np.sqrt(squared) / (min(plane.shape) / 2) * _RINGS).astype(int), _RINGS - 1)
    rings = np.bincount(ring.ravel(), plane.ravel(), _RINGS) / light
    asymmetry = np.abs(plane - plane[::-1, ::-1]).sum() / (2 * light)
    return np.array([*rings, asymmetry, _gini(np.sort(plane.ravel())), _m20(plane.ravel(), squared.ravel())])


def _gini(ascending: Plane) -> float:
    n = len(ascending)
    return float((2 * np.arange(1, n + 1) - n - 1) @ ascending / (ascending.mean() * n * (n - 1)))


def _m20(light: Plane, squared: Plane) -> float:
    """The second moment of the brightest fifth of the light, as a share of that of all, in dex."""
    brightest = np.argsort(light)[::-1]
    fifth = brightest[: 1 + int(np.searchsorted(np.cumsum(light[brightest]), 0.2 * light.sum()))]
    of_fifth, of_all = float(light[fifth] @ squared[fifth]), float(light @ squared)
    return float(np.log10(max(of_fifth, 1e-3) / max(of_all, 1e-3)))
