"""What an embedding costs by arithmetic, where nobody has measured it: operations, length of a vector, bytes.

Imports the catalogue only. The constants are those of one core of the machine of docs/scaling.md; what an installation
has measured comes before them (`services.rates`).
"""

from __future__ import annotations

from typing import NamedTuple

from embedder.catalogue.models import known_models
from embedder.catalogue.rows import ModelRow
from shared.contracts import EmbeddingSpec
from shared.modalities import GIVEN, Kind

SHARE_OF_PRODUCT = 0.5
"""What a network does in a second, of what a product of matrices does: EfficientNet-Lite 0.45, MiniLM 0.75."""
_PREPARING: dict[Kind, float] = {
    "image": 2.5e-3,
    "spectrum": 1e-3,
    "light-curve": 5e-4,
    "text": 3e-4,
    "numbers": 2e-5,
    "vector": 2e-5,
    "label": 2e-5,
}
"""Seconds to read an object and to make it a model's input."""
_TOKENS: dict[Kind, int] = {"image": 256, "spectrum": 778, "light-curve": 64, "text": 48}
_PART_BYTES, _ID_BYTES = 4000, 20  # of a receipt; of an object id, as Parquet keeps it


class Work(NamedTuple):
    """What one object costs: 10^9 operations of the network, and seconds to read and prepare it."""

    gflop: float
    preparing: float


def work_of(spec: EmbeddingSpec) -> Work:
    """By the catalogue; of a model that says nothing, 2 operations for each parameter and token.

    Published vectors and labels are only read.
    """
    preparing = _PREPARING[spec.modality.kind]
    if spec.modality.kind in GIVEN:
        return Work(0.0, preparing)
    row = _row(spec)
    gflop = row.gflop if row and row.gflop else 2e-3 * spec.model.parameters * _TOKENS[spec.modality.kind]
    return Work(gflop, preparing)


def dimension_of(spec: EmbeddingSpec) -> int:
    """Numbers in a vector, by the catalogue; of a model that says nothing, a guess from its parameters.

    A block of a transformer has the width of its output. 180 times the cube root of the millions of parameters is
    within a third of ViT at every size.
    """
    modality = spec.modality
    if modality.kind in GIVEN:
        return modality.dimension or max(1, len(modality.columns))
    row = _row(spec)
    return row.dimension if row and row.dimension else max(1, round(180 * spec.model.parameters ** (1 / 3)))


def bytes_of_vectors(rows: int, dimension: int, parts: int) -> int:
    """Of an embedding in the store: vectors and ids, a receipt and a line of the manifest for each part."""
    return rows * (4 * dimension + _ID_BYTES) + parts * _PART_BYTES


def _row(spec: EmbeddingSpec) -> ModelRow | None:
    return known_models().get(spec.model.name)


def loading_seconds(spec: EmbeddingSpec) -> float:
    """Until a worker has the model: its weights, of 4 bytes each, at 10^9 bytes a second, and a third of one beside."""
    return 0.0 if spec.modality.kind in GIVEN else 0.3 + 4e-3 * spec.model.parameters
