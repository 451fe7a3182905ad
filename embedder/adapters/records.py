"""Checkpoints that `torch.save` wrote with more than tensors in them: read so that nothing of theirs runs.

`torch.load(weights_only=True)` refuses every class it does not know. Where a public checkpoint holds settings in small
classes of its package, those that are named are read as `Record`, which has their fields and no code; any other class
is refused, with its name.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Collection
from pathlib import Path
from pickle import UnpicklingError  # what torch.load raises; nothing is unpickled here
from typing import Any

import torch
from torch.serialization import get_unsafe_globals_in_checkpoint, safe_globals

from shared.errors import CheckpointUnavailable, one_line

DAMAGED = (
    UnpicklingError, EOFError, OSError, RuntimeError, ValueError, LookupError, TypeError, AttributeError,
    AssertionError, struct.error,
)  # fmt: skip
"""What `torch.load(weights_only=True)` raises of a file that asks for code, or is damaged, a program that goes wrong
anywhere (torch 2.13)."""
# A number of numpy, such as the loss so far: nothing that is needed.
NUMPY_NUMBERS = (
    "numpy.dtype",
    "numpy.dtypes.Float32DType",
    "numpy.dtypes.Float64DType",
    "numpy.core.multiarray.scalar",
    "numpy._core.multiarray.scalar",
)


def tell_damage(error: BaseException) -> str:
    """In words of ours what `torch.load(weights_only=True)` found: its own are long, and advise to let the code run."""
    code = re.search(r"GLOBAL (\S+)", str(error))
    if code:
        return f"asks for {one_line(code[1])[:80]}, which is code"
    return "is damaged, or was not written by torch.save"


class Record:
    """An object of a class that is not loaded: its fields are attributes; what it was made with is forgotten."""

    def __init__(self, *given: object) -> None:
        del given

    def __setstate__(self, state: object) -> None:
        if isinstance(state, dict):
            vars(self).update(state)


def read_records(file: Path, classes: Collection[str]) -> dict[str, Any]:
    """What a checkpoint file holds, by name; tensors stay on the disk until they are used.

    classes: full names of those to be read as `Record`. Raises CheckpointUnavailable, naming any other.
    """
    try:
        foreign = sorted(set(get_unsafe_globals_in_checkpoint(str(file))) - set(classes))
        if foreign:
            raise CheckpointUnavailable(
                f"{file.name} holds objects of {', '.join(foreign[:3])}, which would run code that came with it",
                "tensors and settings only",
                "choose another revision, or ask its authors for safetensors",
            )
        with safe_globals([(Record, name) for name in classes]):
            found = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
    except DAMAGED as error:
        raise CheckpointUnavailable(
            f"{file.name} cannot be read: {one_line(error):.200}", "a checkpoint of torch"
        ) from error
    if not isinstance(found, dict):
        raise CheckpointUnavailable(f"{file.name} holds a {type(found).__name__}", "settings and tensors by name")
    return found
