"""Single files of a checkpoint: of the hub at its commit, or of the folder that stands in for it."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from huggingface_hub import hf_hub_download
from huggingface_hub.errors import RemoteEntryNotFoundError

from embedder.hub import translate_hub_errors
from shared.contracts import ModelRef
from shared.errors import CheckpointUnavailable


def find_file(model: ModelRef, folder: Path | None, name: str) -> Path:
    """The local path of one file; of the hub, it is kept in the local cache.

    name: its path within the checkpoint. Raises CheckpointUnavailable where it is not there, HubUnavailable.
    """
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name:
        raise CheckpointUnavailable(f"{name!r:.200} is no file of {model.checkpoint}", "a path within it")
    missing = CheckpointUnavailable(f"{model.checkpoint} at {model.revision} has no {name}", "its weights and settings")
    if folder is None:
        with translate_hub_errors("model", model.checkpoint, model.revision):
            try:
                return Path(hf_hub_download(model.checkpoint, name, revision=model.revision))
            except RemoteEntryNotFoundError as error:
                raise missing from error
    if not (folder / path).is_file():
        raise missing
    return folder / path
