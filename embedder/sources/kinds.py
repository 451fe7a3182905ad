"""The kinds of sources that datasets have: how one is pinned when a study asks for it, and opened when it is read.

What a kind needs is imported when it is met.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from embedder.catalogue.rows import DatasetRow
from embedder.extensions import Registry
from embedder.samples import Source
from embedder.sources.kcorrect_table import open_kcorrect_table
from embedder.sources.simulations import count_rows, open_simulation, pin_simulation, refuse_split
from shared.contracts import DatasetRef
from shared.errors import BadStudy
from shared.modalities import Modality
from shared.requests import DatasetRequest
from shared.settings import Settings


class SourceKind(NamedTuple):
    """One kind of source.

    pin: a dataset of the catalogue, as asked for, to its revision and number of rows; what is wrong with it is said
    here, before any work is queued. It loads no model library: the api calls it. open: what was pinned to its source.
    """

    pin: Callable[[DatasetRow, DatasetRequest, Sequence[Modality], Settings], DatasetRef]
    open: Callable[[DatasetRef, Settings], Source]


def find_source_kind(name: str) -> SourceKind:
    """The kind of source of that name. Raises UnknownName, with near names."""
    return SOURCES.find(name)


def open_source(dataset: DatasetRef, settings: Settings) -> Source:
    """The source of a dataset at its revision.

    Raises BadInput when it no longer holds what it held when the study was accepted, and what finding it raises.
    """
    return find_source_kind(dataset.source).open(dataset, settings)


def _pin_table(
    row: DatasetRow, request: DatasetRequest, modalities: Sequence[Modality], settings: Settings
) -> DatasetRef:
    from embedder.door import look_at, refer
    from embedder.hub import resolve_revision

    revision = resolve_revision("dataset", row.location, request.revision or row.revision, settings)
    pinned = refer(request, row.source, row.location, revision, row.id_column)
    return look_at(pinned, modalities, request.limit, settings)


def pin_by_row(
    row: DatasetRow, request: DatasetRequest, modalities: Sequence[Modality], settings: Settings
) -> DatasetRef:
    """A dataset that is what its row says, at the revision the row names: of a wheel, or made by code.

    Raises BadStudy for another revision or split, and for more rows than it has.
    """
    del modalities, settings
    if request.revision not in (None, row.revision):
        raise BadStudy(f"{row.name} has no revision {request.revision}", row.revision, "leave it out")
    refuse_split(row, request)
    return DatasetRef(
        name=row.name,
        revision=row.revision,
        source=row.source,
        location=row.location,
        rows=count_rows(row, request),
        simulated=row.simulated,
    )


def _open_table(dataset: DatasetRef, settings: Settings) -> Source:
    from embedder.sources.parquet import ParquetSource
    from embedder.sources.tables import find_files

    return ParquetSource(find_files(dataset, settings), dataset.id_column)


def _pin_simulation(
    row: DatasetRow, request: DatasetRequest, modalities: Sequence[Modality], settings: Settings
) -> DatasetRef:
    del modalities, settings
    return pin_simulation(row, request)


_TABLE = SourceKind(_pin_table, _open_table)
SOURCES = Registry[SourceKind](
    "kind of source",
    {
        "parquet": _TABLE,
        "hub": _TABLE,
        "mocksky": SourceKind(_pin_simulation, open_simulation),
        "kcorrect": SourceKind(pin_by_row, open_kcorrect_table),
    },
    lambda extension: extension.sources,
)
