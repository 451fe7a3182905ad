"""Embeddings to score, stored as the embedder stores them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from shared.contracts import DatasetRef, EmbeddingSpec, Modality, ModelRef
from shared.embeddings import commit_manifest, store_part
from shared.outcomes import Attempt, Manifest
from shared.store import ObjectStore
from shared.vectors import Vectors


@pytest.fixture(scope="session")
def make_spec() -> Callable[..., EmbeddingSpec]:
    """A maker of specifications: mocksky's first `rows` rows in parts of 64."""

    def make(
        modality: str = "hsc",
        *,
        model: str = "fake-8",
        family: str = "fake",
        parameters: float = 8.0,
        dataset: str = "mocksky",
        rows: int = 200,
        simulated: bool = True,
    ) -> EmbeddingSpec:
        return EmbeddingSpec(
            dataset=DatasetRef(
                name=dataset, revision="v1:0", source="mocksky", location="0", rows=rows, simulated=simulated
            ),
            modality=Modality(name=modality, kind="image", column=modality, recipe="r-v1", bands=("g", "r", "z")),
            model=ModelRef(
                name=model,
                family=family,
                adapter="fake",
                checkpoint="fake",
                revision="1",
                pooling="mean",
                parameters=parameters,
                part_rows=64,
            ),
        )

    return make


@pytest.fixture(scope="session")
def store_embedding() -> Callable[[ObjectStore, EmbeddingSpec, Vectors], Manifest]:
    """Stores vectors as the embedding of `spec`: its parts, then its manifest."""

    def store_all(store: ObjectStore, spec: EmbeddingSpec, vectors: Vectors) -> Manifest:
        parts = {}
        for index in range(spec.parts()):
            start, stop = spec.part_range(index)
            rows = np.arange(min(start, len(vectors)), min(stop, len(vectors)))
            left_out = stop - start - len(rows)
            dropped = {"left-out": left_out} if left_out else {}
            parts[index] = store_part(
                store,
                spec,
                Attempt(name="a1", worker="w"),
                index,
                vectors.take(rows),
                dropped=dropped,
                repaired={},
                seconds=0.0,
                at="2026-01-01T00:00:00.000+00:00",
                device="cpu",
                packages={},
            )
        return commit_manifest(store, spec, parts)

    return store_all
