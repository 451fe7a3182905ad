"""One object as one instrument saw it, or as a catalogue has it: what every source yields and every recipe takes.

Imports numpy only, so that a source can be opened without loading a model library.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from shared.modalities import Modality

Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Image:
    """Fluxes of one object in several bands.

    flux: `(band, y, x) float32`, in the survey's own unit; scale: arcsec per pixel.
    """

    bands: tuple[str, ...]
    flux: Floats
    scale: float


@dataclass(frozen=True, slots=True)
class Picture:
    """One object in colours, as somebody has shown it: `(y, x, 3) uint8`, red first."""

    pixels: npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Spectrum:
    """Flux density of one object against wavelength.

    flux, ivar, wavelength: `(sample,) float32`; wavelength in Angstrom, observed frame, increasing;
    mask: True where a sample is clean.
    """

    flux: Floats
    ivar: Floats
    wavelength: Floats
    mask: Bools


@dataclass(frozen=True, slots=True)
class LightCurve:
    """Brightness of one object against time, in the order of its table; there may be no sample.

    time: `(sample,) float64`, days; flux: `(sample,) float32`, in the survey's own unit; error: its standard deviation,
    the same shape, or None when the survey gives none; bands: the band of each sample, or None likewise.
    """

    time: npt.NDArray[np.float64]
    flux: Floats
    error: Floats | None = None
    bands: npt.NDArray[np.str_] | None = None


@dataclass(frozen=True, slots=True)
class Vector:
    """What a table says an object's vector is, `(d,) float32`, finite, with a direction.

    rounded: whether the table has it in double precision, and single precision cannot hold all of its numbers.
    """

    values: Floats
    rounded: bool = False


Value = float | str | None
"""What a catalogue says of one object in one column: a number, whole or not, or words; None where it says nothing."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What a catalogue says of one object: values by column. Numbers are no NaN, and words are not empty."""

    values: Mapping[str, Value]


Observation = Image | Picture | Spectrum | LightCurve | Vector | Entry


def entry_columns(modality: Modality) -> dict[str, tuple[float | str, ...]]:
    """The columns that a text, numbers or a label is made of, each with what stands for an unknown value in it."""
    if modality.kind == "label":
        return {modality.column: modality.missing}
    return {column.name: column.missing for column in modality.columns}


@dataclass(frozen=True, slots=True)
class Sample:
    """One object: its id, its row within the pinned revision, and what was observed."""

    object_id: str
    row: int
    observation: Observation


class Source(Protocol):
    """A dataset at one revision, readable by row range without reading what comes before it."""

    @property
    def rows(self) -> int:
        """Number of rows in the pinned revision, before any filter."""
        ...

    def read(self, modality: Modality, start: int, stop: int) -> Iterator[Sample]:
        """Yield the samples of rows `start <= row < stop`, in row order.

        Raises a `shared.errors.BadInput` naming file and row for a value that cannot be read.
        """
        ...
