"""From a resolved dataset to the source that reads it. What a kind of source needs is imported when it is met."""

from __future__ import annotations

from pathlib import Path

from embedder.contents import hash_folder
from embedder.hub import open_stand_in
from embedder.samples import Source
from embedder.sources.parquet import ParquetSource
from embedder.sources.splits import TableFiles, find_folder_files, find_hub_files
from shared.contracts import DatasetRef
from shared.errors import BadInput
from shared.settings import Settings


def open_source(dataset: DatasetRef, settings: Settings) -> Source:
    """The source of a dataset at its revision.

    Raises BadInput when a folder no longer holds what it held when the study was accepted, and what finding the
    files raises.
    """
    if dataset.source == "mocksky":
        return _open_simulation(dataset, settings)
    return ParquetSource(find_files(dataset, settings), dataset.id_column)


def find_files(dataset: DatasetRef, settings: Settings) -> TableFiles:
    """The Parquet files of a dataset at its revision: in a folder, in a stand-in of the hub, or on the hub."""
    check_unchanged(dataset)
    if dataset.source == "parquet":
        return find_folder_files(Path(dataset.location), dataset.split)
    stand_in = open_stand_in("dataset", dataset.location, dataset.revision, settings)
    if stand_in is not None:
        return find_folder_files(stand_in, dataset.split)
    return find_hub_files(dataset.location, dataset.revision, dataset.split)


def check_unchanged(dataset: DatasetRef) -> None:
    """Raise BadInput if a user's folder no longer holds what it held when the study was accepted.

    What has not changed in size or time is not read again. Commits of the hub do not change.
    """
    if dataset.source != "parquet":
        return
    folder = Path(dataset.location)
    found = hash_folder(folder) if folder.is_dir() else "no such folder"
    if found != dataset.revision:
        raise BadInput(
            f"the folder of {dataset.name} is not the one the study was accepted with: {found}",
            dataset.revision,
            "give every embedder the same folder, or submit the study again",
        )


def _open_simulation(dataset: DatasetRef, settings: Settings) -> Source:
    from embedder.sources.mocksky import VERSION, MockSky

    if dataset.revision != f"{VERSION}-seed{dataset.location}":
        raise BadInput(
            f"this release simulates {dataset.name} at version {VERSION}",
            dataset.revision,
            "submit the study again, or use the release it was accepted by",
        )
    return MockSky(seed=int(dataset.location), size=dataset.rows, cache=settings.cache_dir)
