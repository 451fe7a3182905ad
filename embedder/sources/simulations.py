"""A simulated sky, pinned by the simulation's version and a seed, and opened. Loads the simulation only to open it."""

from __future__ import annotations

import re

from embedder.catalogue.rows import DatasetRow
from embedder.samples import Source
from shared.contracts import DatasetRef
from shared.errors import BadInput, BadStudy
from shared.requests import DatasetRequest
from shared.settings import Settings


def pin_simulation(row: DatasetRow, request: DatasetRequest) -> DatasetRef:
    """The simulation of `row` at the seed that the request names as its revision; seed 0 unless said.

    Raises BadStudy.
    """
    known = re.fullmatch(rf"(?:{re.escape(row.revision)}-)?seed(\d{{1,9}})", request.revision or "seed0")
    if known is None:
        raise BadStudy(
            f"{row.name} has no revision {request.revision}",
            "`seed` and a whole number, such as seed7",
            f"the simulation is at version {row.revision}",
        )
    refuse_split(row, request)
    return DatasetRef(
        name=row.name,
        revision=f"{row.revision}-seed{int(known[1])}",
        source=row.source,
        location=str(int(known[1])),
        rows=count_rows(row, request),
        simulated=row.simulated,
    )


def refuse_split(row: DatasetRow, request: DatasetRequest) -> None:
    """Raise BadStudy for a split that a dataset without splits does not have."""
    if request.split != row.split:
        raise BadStudy(f"{row.name} has no split {request.split}", row.split, "it is not split: leave it out")


def count_rows(row: DatasetRow, request: DatasetRequest) -> int:
    """The rows that are asked for, of a dataset whose row says how many there are. Raises BadStudy for too many."""
    rows = request.limit or row.rows or 1
    if row.most_rows is not None and rows > row.most_rows:
        raise BadStudy(f"limit {rows} of {row.name}", f"at most {row.most_rows}", "set a smaller limit")
    return rows


def open_simulation(dataset: DatasetRef, settings: Settings) -> Source:
    """The simulation at its version and seed. Raises BadInput for a version that this release does not simulate."""
    from embedder.sources.mocksky import VERSION, MockSky

    if dataset.revision != f"{VERSION}-seed{dataset.location}":
        raise BadInput(
            f"this release simulates {dataset.name} at version {VERSION}",
            dataset.revision,
            "submit the study again, or use the release it was accepted by",
        )
    return MockSky(seed=int(dataset.location), size=dataset.rows, cache=settings.cache_dir)
