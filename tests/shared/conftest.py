"""Specifications to test with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from shared.contracts import DatasetRef, EmbeddingSpec, ModelRef
from shared.modalities import Modality

SpecMaker = Callable[..., EmbeddingSpec]


@pytest.fixture
def make_spec() -> SpecMaker:
    """A maker of specifications: 100 rows in parts of 40, unless said; fields as `dataset__rows=7`."""

    def make(**changes: Any) -> EmbeddingSpec:
        fields: dict[str, dict[str, Any]] = {
            "dataset": {
                "name": "tiny",
                "revision": "v1",
                "source": "mocksky",
                "location": "0",
                "rows": 100,
                "simulated": True,
            },
            "modality": {
                "name": "hsc",
                "kind": "image",
                "column": "hsc_image",
                "recipe": "arcsinh-match-v1",
                "bands": ("hsc-g", "hsc-r", "hsc-z"),
            },
            "model": {
                "name": "fake-8",
                "family": "fake",
                "adapter": "fake",
                "checkpoint": "fake",
                "revision": "1",
                "pooling": "mean",
                "parameters": 8.0,
                "part_rows": 40,
            },
        }
        rest: dict[str, Any] = {}
        for path, value in changes.items():
            part, _, field = path.partition("__")
            if field:
                fields[part][field] = value
            else:
                rest[part] = value
        return EmbeddingSpec(
            dataset=DatasetRef(**fields["dataset"]),
            modality=Modality(**fields["modality"]),
            model=ModelRef(**fields["model"]),
            **rest,
        )

    return make
