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
    if request.split != row.split:
        raise BadStudy(f"{row.name} has no split {request.split}", row.split, "a simulation is not split: leave it out")
    rows = request.limit or row.rows or 1
    if row.most_rows is not None and rows > row.most_rows:
        raise BadStudy(f"limit {rows} of {row.name}", f"at most {row.most_rows}", "set a smaller limit")
    return DatasetRef(
        name=row.name,
        revision=f"{row.revision}-seed{int(known[1])}",
        source=row.source,
        location=str(int(known[1])),
        rows=rows,
        simulated=row.simulated,
    )


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
