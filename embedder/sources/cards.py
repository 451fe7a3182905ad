"""The card of a dataset, which says what its files are: it may name those beside it, and no others.

The `datasets` library follows a card wherever it points: to the folder above, to the root, to a URL. A study names a
folder that may be read, so the card is read first, and held to that folder.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import yaml
from huggingface_hub import metadata_load

from shared.errors import BadInput, BadTable, one_line

_CARD, _HIDDEN = "README.md", ".huggingface.yaml"
_PLACES = ("data_files", "data_dir")


def check_card(folder: Path) -> None:
    """Raise BadInput if the card of a local dataset names files outside `folder`; BadTable if it cannot be read."""
    if (folder / _HIDDEN).exists():
        raise BadInput(
            f"{folder} has a file {_HIDDEN}, which is hidden and so no part of what a study is pinned to",
            f"a card in {_CARD}",
            "move what it says there",
        )
    card = folder / _CARD
    if not card.is_file():
        return
    try:
        data = metadata_load(card) or {}
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        reason = f"{one_line(error):.200}"
        raise BadTable(f"{card} cannot be read: {reason}", "a dataset card", "mend it, or take it away") from error
    configs = data.get("configs") or ()
    if not isinstance(configs, list) or not all(isinstance(config, dict) for config in configs):
        raise BadTable(f"{card} has configs that are no list of mappings", "a dataset card", "mend it")
    for config in configs:
        for place in _texts([config.get(name) for name in _PLACES]):
            path = PurePosixPath(place)
            if ":" in place or path.is_absolute() or ".." in path.parts:
                raise BadInput(
                    f"{card} names {place!r:.200}, which is outside its folder",
                    "files in the folder of the card, by relative paths",
                    "move the files there, and name them so",
                )


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from _texts(list(value.values()))
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
