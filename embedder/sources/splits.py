"""The Parquet files of one split of a dataset, found by the rules of the `datasets` library.

The library's own streaming reads a split from its first row on; it is asked for the files alone, and
`embedder.sources.parquet` reads from them just the rows and columns that are wanted.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from fsspec import AbstractFileSystem  # type: ignore[import-untyped]
from fsspec.implementations.local import LocalFileSystem  # type: ignore[import-untyped]

from embedder.hub import snapshot_folder, translate_hub_errors
from embedder.sources.cards import check_card
from shared.errors import BadInput, BadTable, EmptyDataset, UnknownName, one_line

_ONLY_SPLIT = "train"
Guard = Callable[[], AbstractContextManager[None]]


@dataclass(frozen=True, slots=True)
class TableFiles:
    """The files of one split, in order. guard: turns errors of the file system into ours while it is read."""

    paths: tuple[str, ...]
    filesystem: AbstractFileSystem
    guard: Guard = nullcontext


def find_folder_files(folder: Path, split: str) -> TableFiles:
    """The Parquet files of a split in a local folder, or the one file itself, whose split is `train`.

    Raises BadInput, BadTable, EmptyDataset or UnknownName.
    """
    if folder.is_file():
        if split != _ONLY_SPLIT:
            raise UnknownName.of(f"split of {folder}", split, [_ONLY_SPLIT])
        return TableFiles((str(folder),), LocalFileSystem())
    if not folder.is_dir():
        raise BadInput(f"there is no folder {folder}", "a folder of Parquet files")
    check_card(folder)
    try:
        paths = _find_paths(str(folder), None, split)
    except FileNotFoundError as error:
        raise EmptyDataset(f"{folder} lacks what its card names: {error}", "Parquet files", "mend the card") from error
    return TableFiles(paths, LocalFileSystem())


def find_hub_files(repo_id: str, commit: str, split: str) -> TableFiles:
    """The Parquet files of a split of a hub dataset at a commit; of the local cache with HF_HUB_OFFLINE=1.

    Raises BadTable, EmptyDataset, UnknownName, CheckpointUnavailable or HubUnavailable.
    """
    from huggingface_hub import HfFileSystem
    from huggingface_hub.constants import is_offline_mode

    def guard() -> AbstractContextManager[None]:
        return translate_hub_errors("dataset", repo_id, commit)

    with guard():
        if is_offline_mode():
            return find_folder_files(snapshot_folder("dataset", repo_id, commit), split)
        paths = _find_paths(repo_id, commit, split)
    elsewhere = [path for path in paths if not path.startswith("hf://")]
    if elsewhere:
        raise BadTable(f"the card of {repo_id} names {elsewhere[0]!r:.200}, which is not on the hub", "its own files")
    return TableFiles(paths, HfFileSystem(), guard)


def _find_paths(location: str, commit: str | None, split: str) -> tuple[str, ...]:
    from datasets import load_dataset_builder
    from datasets.data_files import EmptyDatasetError
    from datasets.exceptions import DataFilesNotFoundError

    try:
        found = load_dataset_builder(location, revision=commit).config.data_files or {}
    except (EmptyDatasetError, DataFilesNotFoundError) as error:
        raise EmptyDataset(f"{location} has no data files", "Parquet files", f"look there: {error}") from error
    except (ValueError, RuntimeError) as error:  # a card that contradicts itself, a script in place of tables
        raise BadTable(
            f"{location} is no dataset: {one_line(error):.300}", "Parquet files, and a card if any"
        ) from error
    splits = {str(name): [str(path) for path in paths] for name, paths in found.items()}
    if split not in splits:
        raise UnknownName.of(f"split of {location}", split, splits)
    paths = tuple(path for path in splits[split] if path.endswith(".parquet"))
    if not paths:
        raise EmptyDataset(f"split {split} of {location} has no Parquet files", "files named *.parquet")
    return paths
