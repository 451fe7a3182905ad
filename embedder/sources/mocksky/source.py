"""MockSky: a simulated dataset that every modality of a study can be tried on, without any download.

Simulated, and labelled so: object ids read `mocksky-000123`. Galaxy i of a seed is the same to the last bit whatever
rows are read, in whatever order, by whatever process, with or without a cache.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from embedder.samples import Entry, Image, Observation, Sample, Source, Spectrum, entry_columns
from embedder.sources.mocksky.blocks import Arrays, Blocks
from embedder.sources.mocksky.images import render
from embedder.sources.mocksky.population import Galaxy, Population
from embedder.sources.mocksky.spectra import record, wavelength
from embedder.sources.mocksky.surveys import HSC, SURVEYS
from shared.errors import BadInput, UnknownName
from shared.modalities import Modality

VERSION = "v1"  # part of the dataset's revision: to be raised when any pixel or label changes
BLOCK = 32  # galaxies in one block of the cache
SPECTRUM = "desi"
MODALITIES = (*SURVEYS, SPECTRUM)


@dataclass(frozen=True, slots=True)
class Label:
    """One label column: its name, its unit as astropy writes it, and what it means."""

    name: str
    unit: str
    meaning: str


LABELS = (
    Label("redshift", "", "cosmological redshift"),
    Label("log_stellar_mass", "dex(solMass)", "present mass in stars and remnants"),
    Label("log_ssfr", "dex(1 / yr)", "star formation of the last Gyr per present stellar mass"),
    Label("bulge_to_total", "", "share of the stellar mass that is in the bulge"),
    Label("effective_radius", "arcsec", "radius that holds half of the stellar mass, along the major axis"),
    Label("inclination", "deg", "of the disc: 0 face-on, 90 edge-on"),
    Label("magnitude_i", "mag(AB)", "total magnitude in hsc-i"),
    Label("colour_g_r", "mag", "total hsc-g minus hsc-r, AB"),
)
_LABEL_NAMES = tuple(label.name for label in LABELS)


class MockSky(Source):
    """The first `size` galaxies of the simulated sky of `seed`.

    cache: folder for rendered blocks, about 1.2 MB per galaxy for all modalities; None renders anew at each reading.
    Raises BadInput for a negative seed or an empty size.
    """

    def __init__(self, seed: int, size: int, cache: Path | None = None) -> None:
        if seed < 0:
            raise BadInput(f"seed {seed} of mocksky is negative", "a seed of 0 or more")
        if size < 1:
            raise BadInput(f"a mocksky of {size} galaxies", "a size of 1 or more")
        self.seed, self.size = seed, size
        self._population = Population(seed)
        self._blocks = None if cache is None else Blocks(cache / f"mocksky-{VERSION}-seed{seed}")

    @property
    def rows(self) -> int:
        """Number of galaxies."""
        return self.size

    def read(self, modality: Modality, start: int, stop: int) -> Iterator[Sample]:
        """Yield galaxies `start <= number < stop` as `modality` sees them; its name is one of `MODALITIES`.

        Of a text or a label, the columns are those of `LABELS`, and every value is known. Raises UnknownName for
        another modality or column, BadInput for rows that are not there, all at once.
        """
        if modality.kind in ("text", "label"):
            columns = tuple(entry_columns(modality))
            for column in columns:
                if column not in _LABEL_NAMES:
                    raise UnknownName.of("label of mocksky", column, _LABEL_NAMES)
            self._check(start, stop)
            return self._entries(columns, start, stop)
        if modality.name not in MODALITIES:
            raise UnknownName.of("modality of mocksky", modality.name, MODALITIES)
        self._check(start, stop)
        return self._samples(modality.name, start, stop)

    def labels(self, start: int, stop: int) -> Mapping[str, npt.NDArray[np.generic]]:
        """The columns of `LABELS` for galaxies `start <= number < stop`, each `(stop - start,) float64`."""
        self._check(start, stop)
        rows = [_label_row(self._population.galaxy(number)) for number in range(start, stop)]
        table = np.array(rows, float).reshape(len(rows), len(LABELS))
        return {label.name: table[:, column].copy() for column, label in enumerate(LABELS)}

    def _check(self, start: int, stop: int) -> None:
        if not 0 <= start <= stop <= self.size:
            raise BadInput(f"rows {start} to {stop} of mocksky", f"a range within 0 to {self.size}")

    def _samples(self, modality: str, start: int, stop: int) -> Iterator[Sample]:
        for number, arrays in self._observed(modality, start, stop):
            yield Sample(_object_id(number), number, _observation(modality, arrays))

    def _entries(self, columns: Sequence[str], start: int, stop: int) -> Iterator[Sample]:
        for number in range(start, stop):
            row = dict(zip(_LABEL_NAMES, _label_row(self._population.galaxy(number)), strict=True))
            yield Sample(_object_id(number), number, Entry({column: row[column] for column in columns}))

    def _observed(self, modality: str, start: int, stop: int) -> Iterator[tuple[int, Arrays]]:
        if self._blocks is None:
            for number in range(start, stop):
                yield number, self._observe(modality, number)
            return
        for block in range(start // BLOCK, -(-stop // BLOCK)):
            first = block * BLOCK
            whole = self._block(self._blocks, modality, block)
            for number in range(max(start, first), min(stop, first + BLOCK)):
                yield number, {name: column[number - first] for name, column in whole.items()}

    def _block(self, blocks: Blocks, modality: str, block: int) -> Arrays:
        """All galaxies of a block, whatever part was asked for, so that its file does not depend on the asking."""

        def build() -> Arrays:
            observed = [self._observe(modality, number) for number in range(block * BLOCK, (block + 1) * BLOCK)]
            return {name: np.stack([arrays[name] for arrays in observed]) for name in observed[0]}

        return blocks.get(f"{modality}-{block:06d}", build)

    def _observe(self, modality: str, number: int) -> Arrays:
        galaxy = self._population.galaxy(number)
        if modality == SPECTRUM:
            recorded = record(galaxy, self.seed)
            return {"flux": recorded.flux, "ivar": recorded.ivar, "mask": recorded.mask}
        return {"flux": render(galaxy, SURVEYS[modality], self.seed)}


def _object_id(number: int) -> str:
    return f"mocksky-{number:06d}"


def _observation(modality: str, arrays: Arrays) -> Observation:
    flux = np.asarray(arrays["flux"], np.float32)
    if modality == SPECTRUM:
        ivar, clean = np.asarray(arrays["ivar"], np.float32), np.asarray(arrays["mask"], np.bool_)
        return Spectrum(flux, ivar, wavelength().astype(np.float32), clean)
    survey = SURVEYS[modality]
    return Image(survey.band_names, flux, survey.scale)


def _label_row(galaxy: Galaxy) -> tuple[float, ...]:
    """The values of `LABELS`, in order."""
    magnitude = -2.5 * np.log10(galaxy.maggies(HSC.filters[:3]).sum(axis=1))
    structure = galaxy.structure
    return (
        galaxy.redshift,
        galaxy.log_stellar_mass,
        galaxy.log_ssfr,
        galaxy.bulge_to_total,
        structure.effective_radius,
        float(np.degrees(structure.inclination)),
        float(magnitude[2]),
        float(magnitude[0] - magnitude[1]),
    )
