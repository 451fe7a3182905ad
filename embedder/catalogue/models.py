"""The table of models: the rows of all families. Imports the row types only."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from embedder.catalogue.families import (
    astronomy,
    builtin,
    diffusion,
    language,
    light_curves,
    vision,
    vision_language,
)
from embedder.catalogue.rows import ModelRow
from embedder.extensions import with_rows
from shared.errors import UnknownName


@lru_cache(maxsize=1)
def known_models() -> Mapping[str, ModelRow]:
    """Every model by name: ours and those of installed packages. Raises BadExtension."""
    return with_rows(_ROWS, lambda extension: extension.models)


def listed_models() -> tuple[ModelRow, ...]:
    """The models shown in lists, family by family, small to large."""
    return tuple(row for row in known_models().values() if row.listed)


def label_model() -> ModelRow:
    """The row of the model that gives labels as they are; studies that probe have it without naming it."""
    return builtin.LABEL


def find_model(name: str) -> ModelRow:
    """The row of one model. Raises UnknownName, with near names."""
    if name not in known_models():
        raise UnknownName.of("model", name, (row.name for row in listed_models()))
    return known_models()[name]


_FAMILIES = (vision, vision_language, diffusion, astronomy, light_curves, language, builtin)
_ROWS = tuple(row for family in _FAMILIES for row in family.ROWS)
