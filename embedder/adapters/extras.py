"""Packages that some models need and most do without: imported when such a model is met, and not before."""

from __future__ import annotations

import importlib
from typing import Any

from shared.errors import CheckpointUnavailable, one_line


def import_extra(module: str, extra: str, constraints: str = "") -> Any:
    """The module, which the optional extra of that name installs. constraints: the file of its releases, if it has one.

    Raises CheckpointUnavailable, which says how to install it, where it cannot be imported.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        pinned = f" -c {constraints}" if constraints else ""
        raise CheckpointUnavailable(
            f"the package {module.partition('.')[0]}, which this model needs, cannot be imported: {one_line(error)}",
            f"what the extra {extra} installs",
            f"in this repository, pip install '.[{extra}]'{pinned} where the embedder runs",
        ) from error
