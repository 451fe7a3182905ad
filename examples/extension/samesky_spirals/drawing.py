"""Spiral galaxies, drawn: a source whose objects are made when they are read. Galaxy i is the same in every reading."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from embedder.samples import Entry, Image, Observation, Sample, Source
from embedder.sources.kinds import SourceKind, pin_by_row
from shared.contracts import DatasetRef
from shared.modalities import Modality
from shared.settings import Settings

_SIDE, _SCALE = 96, 0.2  # pixels, arcsec per pixel
Plane = npt.NDArray[np.float64]


class Spirals:
    """The first `rows` galaxies. Satisfies `embedder.samples.Source`."""

    def __init__(self, rows: int) -> None:
        self.rows = rows

    def read(self, modality: Modality, start: int, stop: int) -> Iterator[Sample]:
        """The galaxies of rows `start <= row < stop`, in row order."""
        for row in range(start, stop):
            yield Sample(f"spiral-{row:06d}", row, observe(row, modality))


def observe(row: int, modality: Modality) -> Observation:
    """One galaxy in one modality, or its label."""
    random = np.random.default_rng([row, 1])
    pitch, angle, arms = random.uniform(8, 40), random.uniform(0, 2 * np.pi), int(random.integers(2, 5))
    if modality.kind == "label":
        return Entry({"pitch": pitch})
    bulge, disc = draw(pitch, angle, arms)
    blue_to_red = np.stack([disc + 0.3 * bulge, disc + 0.6 * bulge, 0.8 * disc + bulge])
    if modality.name == "blurred":
        noise = np.random.default_rng([row, 2]).normal(0, 0.02, blue_to_red.shape)
        blue_to_red = np.stack([blur(plane) for plane in blue_to_red]) + noise
    return Image(modality.bands, blue_to_red.astype(np.float32), _SCALE)


def draw(pitch: float, angle: float, arms: int) -> tuple[Plane, Plane]:
    """Bulge and disc, each `(y, x)`. pitch: of logarithmic arms, in degrees; angle: of the first one, in radians."""
    y, x = np.indices((_SIDE, _SIDE)) - (_SIDE - 1) / 2
    radius, around = np.hypot(x, y) + 1e-9, np.arctan2(y, x)
    winding = np.cos(arms * (around - angle - np.log(radius) / np.tan(np.radians(pitch))))
    return np.exp(-radius / 4), np.exp(-radius / 16) * (1 + 0.8 * winding)


def blur(plane: Plane, sigma: float = 2.0) -> Plane:
    """The plane seen through a Gaussian of so many pixels."""
    offsets = np.arange(-8, 9)
    kernel = np.exp(-(offsets**2) / (2 * sigma**2))
    kernel /= kernel.sum()
    once = np.apply_along_axis(np.convolve, 0, plane, kernel, "same")
    blurred: Plane = np.apply_along_axis(np.convolve, 1, once, kernel, "same")
    return blurred


def open_spirals(dataset: DatasetRef, settings: Settings) -> Source:
    """The galaxies that were pinned."""
    del settings
    return Spirals(dataset.rows)


SPIRALS = SourceKind(pin_by_row, open_spirals)
