"""From a dataset of tables, at its revision, to their files: in a folder, in a stand-in of the hub, or on the hub."""

from __future__ import annotations

from pathlib import Path

from embedder.contents import hash_folder
from embedder.hub import open_stand_in
from embedder.sources.splits import TableFiles, find_folder_files, find_hub_files
from shared.contracts import DatasetRef
from shared.errors import BadInput
from shared.settings import Settings


def find_files(dataset: DatasetRef, settings: Settings) -> TableFiles:
    """The Parquet files of a dataset at its revision: here, in a stand-in of the hub, or on the hub."""
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
    found = hash_folder(folder) if folder.exists() else "no such folder"
    if found != dataset.revision:
        raise BadInput(
            f"the folder of {dataset.name} is not the one the study was accepted with: {found}",
            dataset.revision,
            "give every embedder the same folder, or submit the study again",
        )
