"""How fast an installation is by its own records: medians, passes of several layers, corrections by scores."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from embedder.catalogue.models import find_model
from scorer.costs import Shape, seconds_of, seconds_of_search
from services.ledger import Ledger
from services.rates import Rates, core_gflops, estimate
from shared import keys
from shared.contracts import DatasetRef, EmbeddingSpec, ModelRef, ScoreSpec, Scoring, Study
from shared.modalities import Modality
from shared.outcomes import Interval, Manifest, MetricResult, Part, Provenance, ScoreRecord
from shared.planning import expand
from shared.store import MemoryStore

AT = "2026-01-01T00:00:00+00:00"


def study_of(model: ModelRef, rows: int = 64, dataset: str = "sky", layers: Sequence[str] = ("final",)) -> Study:
    """A crossmodal study of one model."""
    seen = [
        Modality(name=name, kind="image", column=name, recipe="arcsinh-image-v1", bands=("g",)) for name in ("a", "b")
    ]
    ref = DatasetRef(name=dataset, revision="r1", source="mocksky", location="0", rows=rows)
    return expand([(ref, seen)], [model], ["crossmodal"], Scoring(), created_at=AT, layers={model.name: list(layers)})


def model_of(name: str, part_rows: int = 16) -> ModelRef:
    """A model of the catalogue, without a look for its weights."""
    row = find_model(name)
    return ModelRef(
        name=row.name, family=row.family, adapter=row.adapter, checkpoint=row.checkpoint, revision="1",
        pooling=row.pooling, parameters=row.parameters, part_rows=part_rows,
    )  # fmt: skip


def finish(store: MemoryStore, spec: EmbeddingSpec, seconds: Sequence[float], attempt: str = "one") -> None:
    """Write the manifest of an embedding whose parts took so many seconds."""
    parts = []
    for index, taken in enumerate(seconds):
        start, stop = spec.part_range(index)
        key = keys.part(spec, f"{attempt}-{index}", index)
        parts.append(
            Part(
                index=index, start=start, stop=stop, key=key, rows=stop - start, dimension=48, size=1, sha256="0" * 64,
                seconds=taken, worker="w",
            )
        )  # fmt: skip
    manifest = Manifest(
        spec=spec, rows=spec.dataset.rows, dimension=48, parts=tuple(parts), device="cpu", created_at=AT
    )
    store.put(keys.manifest(spec), manifest.to_json())


def record(store: MemoryStore, spec: ScoreSpec, seconds: float, threads: int = 1) -> None:
    """Write the score of a pair that took so many seconds."""
    result = MetricResult(
        metric="mknn", metric_version=1, k=10, value=0.5, interval=Interval(low=0, high=1, confidence=0.95)
    )
    rows = spec.pair.left.dataset.rows
    provenance = Provenance(
        left_manifest="1" * 64, right_manifest="2" * 64, packages={}, seconds=seconds, threads=threads, created_at=AT,
        worker="w",
    )  # fmt: skip
    made = ScoreRecord(
        spec=spec, left_objects=rows, right_objects=rows, objects=rows, results=(result,),
        per_object=keys.score_objects(spec), provenance=provenance,
    )  # fmt: skip
    store.put(keys.score(spec), made.to_json())


@pytest.fixture
def rates(store: MemoryStore) -> Rates:
    """What is known of an empty store."""
    return Rates(Ledger(store))


def test_nothing_is_known_of_an_empty_store(rates: Rates) -> None:
    study = study_of(model_of("vit-base"))
    known, speed = rates.look([study])
    spec = study.embeddings[0]
    assert (known.rate(spec), known.dimension(spec), speed) == (None, None, None)
    assert rates.correction([study]).scores == 0
    assert core_gflops() > 0


def test_a_rate_is_the_median_over_objects_of_the_same_modality(rates: Rates, store: MemoryStore) -> None:
    study = study_of(model_of("vit-base"), rows=56)
    here, there = study.embeddings
    finish(store, here, [1.6, 3.2, 100.0, 0.8])  # 16, 16, 16 and 8 objects: 0.1, 0.2, 6.25 and 0.1 s each
    known, speed = rates.look([study])
    assert known.rate(here) == (pytest.approx(0.2), "measured"), "one disturbed part tells nothing"
    assert known.rate(there) == (pytest.approx(0.2), "measured on other data")
    assert known.dimension(there) == 48
    assert speed is not None
    preparing = estimate(here, speed).seconds - 35 / speed.gflops
    assert speed.gflops == pytest.approx(35 / (0.2 - preparing))
    assert speed.source == "median of 1 model measured in this installation"
    unknown = study_of(model_of("dinov2-base")).embeddings[0]
    assert known.rate(unknown) is None
    assert estimate(unknown, speed) == (pytest.approx(47 / speed.gflops + preparing), "estimated")


def test_half_of_the_bits_is_another_rate(rates: Rates, store: MemoryStore) -> None:
    study = study_of(model_of("vit-base"))
    finish(store, study.embeddings[0], [1.0] * 4)
    known, _ = rates.look([study])
    assert known.rate(study.embeddings[0].model_copy(update={"dtype": "bfloat16"})) is None


@pytest.mark.parametrize("apart", [False, True])
def test_the_seconds_of_a_pass_are_those_of_all_its_layers(rates: Rates, store: MemoryStore, apart: bool) -> None:
    study = study_of(model_of("vit-base"), rows=16, layers=("block-00", "block-01", "final"))
    for place, spec in enumerate(study.passes[0]):
        finish(store, spec, [1.6], attempt=f"try{place}" if apart else "one")
    known, _ = rates.look([study])
    # one pass: its seconds were shared out among three; three passes: each is a pass
    assert known.rate(study.passes[0][0]) == (pytest.approx(0.1 if apart else 0.3), "measured")


def test_scores_correct_the_laws_by_their_sums(rates: Rates, store: MemoryStore) -> None:
    study = study_of(model_of("vit-base"), rows=2000)
    for spec in study.embeddings:
        finish(store, spec, [1.0] * 125)
    (score,) = study.scores()
    record(store, score, seconds=2.0, threads=3)
    law = seconds_of("mknn", Shape(2000, 48, 48, score.scoring)) + seconds_of_search(2000, 48)
    assert rates.correction([study]) == (pytest.approx(6.0 / law), 1)


def test_a_score_too_small_to_tell_and_a_record_that_cannot_be_read_tell_nothing(
    rates: Rates, store: MemoryStore
) -> None:
    small, broken = study_of(model_of("vit-base"), rows=16), study_of(model_of("vit-base"), rows=2000)
    for study, seconds in ((small, [1.0]), (broken, [1.0] * 125)):
        for spec in study.embeddings:
            finish(store, spec, seconds)
    record(store, small.scores()[0], 5.0)
    store.put(keys.score(broken.scores()[0]), b"{}")
    store.put(keys.manifest(broken.embeddings[1]), b"{}")
    assert rates.correction([small, broken]).scores == 0
    known, _ = rates.look([small, broken])
    assert known.rate(broken.embeddings[0]) == (pytest.approx(1 / 16), "measured")


def test_what_was_read_is_not_read_again(store: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    rates, study = Rates(Ledger(store)), study_of(model_of("vit-base"))
    for spec in study.embeddings:
        finish(store, spec, [1.0] * 4)
    rates.look([study])
    asked: list[str] = []
    get: Callable[[str], bytes] = store.get
    monkeypatch.setattr(store, "get", lambda key: (asked.append(key), get(key))[1])
    known, _ = rates.look([study])
    assert known.rate(study.embeddings[0]) is not None
    assert asked == []
