"""Single files of a checkpoint: of the hub at its commit, or of the folder that stands in for it."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from embedder.hub import fetch_file
from shared.contracts import ModelRef
from shared.errors import CheckpointUnavailable


def find_file(model: ModelRef, folder: Path | None, name: str) -> Path:
    """The local path of one file; of the hub, it is kept in the local cache.

    name: its path within the checkpoint. Raises CheckpointUnavailable where it is not there, HubUnavailable.
    """
    path = PurePosixPath(name)
    if not path.name or path.is_absolute() or ".." in path.parts or "\\" in name:
        raise CheckpointUnavailable(
            f"{model.name} names no file of {model.checkpoint}: {name!r:.200}", "a path within it"
        )
    if folder is None:
        return fetch_file("model", model.checkpoint, model.revision, name)
    if not (folder / path).is_file():
        raise CheckpointUnavailable(f"{model.checkpoint} at {model.revision} has no file {name}", "its checkpoint")
    return folder / path
