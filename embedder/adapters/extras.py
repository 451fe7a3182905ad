"""Packages that some models need and most do without: imported when such a model is met, and not before."""

from __future__ import annotations

import importlib
from typing import Any

from shared.errors import CheckpointUnavailable


def import_extra(module: str, extra: str) -> Any:
    """The module, which the optional extra of that name installs.

    Raises CheckpointUnavailable, which says how to install it, where it cannot be imported.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise CheckpointUnavailable(
            f"the package {module.partition('.')[0]}, which this model needs, cannot be imported: {error}",
            f"what the extra {extra} installs",
            f"pip install 'samesky[{extra}]' where the embedder runs",
        ) from error
