"""docs/scaling.md: its table follows from its constants, and its constants are those that plans go by."""

from __future__ import annotations

from pathlib import Path

import pytest

from docs import scaling
from embedder.catalogue.models import find_model
from embedder.costs import SHARE_OF_PRODUCT, bytes_of_vectors, work_of
from scorer.costs import REFERENCE_GFLOPS, Shape, bytes_of_table, seconds_of, seconds_of_search
from scorer.search.grid import cut
from services.costing import STEP_SECONDS
from shared.contracts import DatasetRef, EmbeddingSpec, ModelRef, Scoring
from shared.modalities import Modality

TEXT = scaling.PAGE.read_text(encoding="utf-8")
CONSTANT = scaling.read_constants(TEXT)
MILLION = 10**6


def test_the_table_follows_from_the_constants() -> None:
    assert scaling.with_table(TEXT) == TEXT, "run `python -m docs.scaling`"
    assert "<!-- decades -->\n| objects | 10^4 |" in TEXT


def test_every_constant_is_a_number_that_is_used() -> None:
    listed = TEXT.partition("<!-- constants -->")[2].partition("<!-- /constants -->")[0]
    assert len(CONSTANT) == listed.count("\n| `")
    code = Path(scaling.__file__).read_text(encoding="utf-8")
    for name, value in CONSTANT.items():
        assert value > 0
        assert TEXT.count(f"`{name}`") >= 2 or f'"{name}"' in code


def test_plans_and_the_page_count_alike() -> None:
    row = find_model("vit-base")
    assert (row.gflop * 1e9, row.dimension, row.part_rows) == (
        scaling.OPERATIONS,
        scaling.DIMENSION,
        scaling.PART_ROWS,
    )
    model = ModelRef(
        name=row.name, family=row.family, adapter=row.adapter, checkpoint=row.checkpoint, revision="1",
        pooling=row.pooling, parameters=row.parameters,
    )  # fmt: skip
    spec = EmbeddingSpec(
        dataset=DatasetRef(name="sky", revision="1", source="mocksky", location="0", rows=MILLION),
        modality=Modality(name="hsc", kind="image", column="hsc", recipe="arcsinh-image-v1", bands=("g",)),
        model=model,
    )
    assert work_of(spec).preparing == CONSTANT["preparing"]
    assert SHARE_OF_PRODUCT * CONSTANT["product"] == CONSTANT["network"]
    assert CONSTANT["product"] / 1e9 == pytest.approx(REFERENCE_GFLOPS, rel=0.1)
    assert CONSTANT["step"] == STEP_SECONDS
    assert bytes_of_vectors(MILLION, 768, 0) == MILLION * (4 * 768 + CONSTANT["id"])
    assert bytes_of_table(MILLION, 10) == MILLION * (40 + CONSTANT["id"])
    product = 2 * MILLION**2 * 768 / CONSTANT["product"]
    assert seconds_of_search(MILLION, 768) == pytest.approx(CONSTANT["search"] * product, rel=1)
    scoring = Scoring(permutations=100_000, resamples=99)
    law = seconds_of("mknn", Shape(MILLION, 768, 768, scoring)) / scoring.permutations / MILLION
    assert law == pytest.approx(CONSTANT["relabelling"], rel=0.2)


def test_a_million_objects_are_searched_in_as_many_tiles_as_the_page_says() -> None:
    assert "16 x 16 = 256 tiles" in TEXT
    assert cut(MILLION, scaling.DIMENSION, scaling.K).blocks == 16
    assert cut(MILLION, scaling.DIMENSION, scaling.K).block == 62_500
