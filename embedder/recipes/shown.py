"""What a recipe makes of one object: model input, or the reason why there is none. Imports numpy only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from embedder.samples import Image, Spectrum

Values = npt.NDArray[np.uint8] | npt.NDArray[np.float32] | str | Image | Spectrum


@dataclass(frozen=True, slots=True)
class Prepared:
    """What a model is shown of one object.

    values: an image, `(y, x, 3) uint8`, square, red first; a spectrum, `(sample,) float32`; a light curve,
    `(step,) float32`, NaN where there is no value; a text; numbers, `(column,) float32`; a published vector,
    `(d,) float32`; or a label, `(1,) float32`. To a model that takes raw fluxes, the Image or the Spectrum itself.
    repaired: how many values were mended, by kind.
    """

    values: Values
    repaired: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Dropped:
    """An object that cannot be shown, and why."""

    reason: str


def count_bad(kind: str, finite: npt.NDArray[np.bool_]) -> dict[str, int]:
    """How many are not finite, under the name of their kind; nothing where all are."""
    bad = int(np.count_nonzero(~finite))
    return {kind: bad} if bad else {}
