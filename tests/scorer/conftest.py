"""Embeddings to score, stored as the embedder stores them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from shared.contracts import DatasetRef, EmbeddingSpec, ModelRef, PairSpec, ScoreSpec
from shared.embeddings import commit_manifest, store_part
from shared.modalities import Modality
from shared.outcomes import Attempt, Interval, Manifest, MetricResult, Provenance, ScoreRecord
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
        layer: str = "final",
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
            layer=layer,
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


@pytest.fixture(scope="session")
def make_record() -> Callable[..., ScoreRecord]:
    """A maker of records of 512 objects: `value` at the first k, and less at each other."""

    def make(
        left: EmbeddingSpec,
        right: EmbeddingSpec,
        value: float,
        *,
        metric: str = "mknn",
        ks: tuple[int | None, ...] = (10,),
        threshold: float = 0.025,
    ) -> ScoreRecord:
        return ScoreRecord(
            spec=ScoreSpec(pair=PairSpec(left=left, right=right)),
            left_objects=512,
            right_objects=512,
            objects=512,
            results=tuple(_result(metric, k, value * 0.9**place, threshold) for place, k in enumerate(ks)),
            per_object="scores/x",
            provenance=Provenance(
                left_manifest="0" * 64,
                right_manifest="1" * 64,
                packages={},
                seconds=1,
                threads=1,
                created_at="",
                worker="",
            ),
        )

    return make


def _result(metric: str, k: int | None, value: float, threshold: float) -> MetricResult:
    return MetricResult(
        metric=metric,
        metric_version=1,
        k=k,
        value=value,
        chance=(k or 10) / 511,
        null_mean=(k or 10) / 511,
        null_std=0.002,
        p_value=0.001 if value > threshold else min(1.0, threshold - value + 0.05),
        threshold=threshold,
        calibrated=max(0.0, (value - threshold) / (1 - threshold)),
        interval=Interval(low=value - 0.01, high=value + 0.01, confidence=0.95),
        standard_error=0.005,
        details={"folds_std": 0.01},
    )
