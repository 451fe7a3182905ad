"""In which order embeddings are shown: by dataset, modality, family and size; layers from the first to the last."""

from __future__ import annotations

import re
from collections.abc import Iterable

from shared.contracts import DatasetRef, EmbeddingSpec, PairSpec, ScoreSpec

FINAL = "final"
LayerPlace = tuple[bool, tuple[tuple[int, int, str], ...]]
"""Orders layers of one model: numbers in their names as numbers, `final` last."""


def layer_place(layer: str) -> LayerPlace:
    """Where a layer stands among those of its model: `block-2` before `block-10`, `final` last."""
    parts = re.findall(r"\d+|\D+", layer)
    pieces = tuple((0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts)
    return (layer == FINAL, pieces)


def is_final(pair: PairSpec) -> bool:
    """Whether both embeddings are of the final layer."""
    return pair.left.layer == pair.right.layer == FINAL


def in_order(embeddings: Iterable[EmbeddingSpec]) -> list[EmbeddingSpec]:
    """Embeddings by dataset, modality, family, size, model and layer; each once."""
    return sorted(
        {spec.digest: spec for spec in embeddings}.values(),
        key=lambda spec: (
            spec.dataset.name,
            spec.dataset.digest,
            spec.modality.name,
            spec.model.family,
            spec.model.parameters,
            spec.model.name,
            layer_place(spec.layer),
            spec.digest,
        ),
    )


def embeddings_of(scores: Iterable[ScoreSpec]) -> list[EmbeddingSpec]:
    """The embeddings that are compared with one another, in order. Labels are none."""
    sides = (side for spec in scores if spec.pair.kind != "probe" for side in (spec.pair.left, spec.pair.right))
    return in_order(sides)


def dataset_names(datasets: Iterable[DatasetRef]) -> dict[str, str]:
    """What to call each dataset, by digest: its name, with its rows where another cut of it is called the same.

    With `(simulated)` behind it where it is.
    """
    known = {dataset.digest: dataset for dataset in datasets}
    called = [dataset.name for dataset in known.values()]
    return {
        digest: dataset.name
        + (f", {dataset.rows} rows" if called.count(dataset.name) > 1 else "")
        + (" (simulated)" if dataset.simulated else "")
        for digest, dataset in known.items()
    }
