"""The whole way from a table to a manifest, on real files and a real store; and from real images with real weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from embedder.adapters.loading import load_adapter
from embedder.catalogue.models import find_model
from embedder.pipeline import check_vectors, embed_part, finish
from embedder.resolve import resolve_dataset, resolve_model
from embedder.samples import Sample, Source
from embedder.sources.kinds import open_source
from embedder.sources.tables import check_unchanged
from shared import keys
from shared.contracts import EmbeddingSpec
from shared.embeddings import load_vectors, read_manifest, read_receipts
from shared.errors import BadInput, BadTable, DuplicateObjectIds, EmptyDataset, NotFinite, ZeroVector
from shared.modalities import Modality
from shared.outcomes import Attempt, Part
from shared.requests import DatasetRequest
from shared.settings import Settings
from shared.store import DirectoryStore, MemoryStore, ObjectStore
from shared.vectors import Vectors

RADIO = Path(__file__).resolve().parents[2] / ".." / "shared" / "data" / "radio_first_nvss"
Make = Callable[..., dict[str, Any]]


class Killed(Exception):
    """Stands for the end of a worker in the midst of a part."""


class CountingSource:
    """A source that counts the rows it gave, and may die before one of them."""

    def __init__(self, source: Source, dies_before: int | None = None) -> None:
        self._source, self._dies_before, self.given = source, dies_before, list[int]()

    @property
    def rows(self) -> int:
        return self._source.rows

    def read(self, modality: Modality, start: int, stop: int) -> Iterator[Sample]:
        for sample in self._source.read(modality, start, stop):
            if sample.row == self._dies_before:
                raise Killed
            self.given.append(sample.row)
            yield sample


def embed(
    spec: EmbeddingSpec,
    settings: Settings,
    store: ObjectStore,
    *,
    attempt: str = "one",
    batch: int = 4,
    source: Source | None = None,
    parts: range | None = None,
) -> list[Part]:
    source, adapter = source or open_source(spec.dataset, settings), load_adapter(spec.model, settings)
    return [
        embed_part(
            [spec],
            index,
            source=source,
            adapter=adapter,
            store=store,
            attempt=Attempt(name=attempt, worker="test"),
            batch=batch,
            on_rows=lambda rows: None,
        )[spec.layer]
        for index in parts or range(spec.parts())
    ]


def stored(spec: EmbeddingSpec, store: ObjectStore) -> Vectors:
    manifest = read_manifest(store, spec)
    assert manifest is not None
    return load_vectors(store, manifest)


def test_every_object_gets_its_vector_and_its_id(
    write_table: Callable[..., Path], image: Make, specify: Callable[..., EmbeddingSpec], settings: Settings
) -> None:
    spec = specify(write_table([image(seed) for seed in range(13)], files=2), id_column="object_id")
    store = MemoryStore()
    parts = embed(spec, settings, store)
    assert [(part.start, part.stop, part.rows, part.dimension) for part in parts] == [
        (0, 5, 5, 32),
        (5, 10, 5, 32),
        (10, 13, 3, 32),
    ]
    manifest = finish(spec, store)
    assert manifest is not None
    assert (manifest.rows, manifest.dropped, manifest.repaired, manifest.device) == (13, {}, {}, "cpu")
    assert {"numpy", "pyarrow"} <= set(manifest.packages)
    assert stored(spec, store).object_ids == tuple(f"g{row}" for row in range(13))


@pytest.mark.parametrize("batch", [1, 3, 64])
def test_neither_batch_nor_part_nor_neighbour_changes_a_vector(
    write_table: Callable[..., Path],
    image: Make,
    specify: Callable[..., EmbeddingSpec],
    settings: Settings,
    batch: int,
) -> None:
    spec = specify(write_table([image(seed) for seed in range(13)]), id_column="object_id")
    backwards = specify(
        write_table(
            [image(seed) for seed in range(12, -1, -1)], name="back", ids=[f"g{12 - row}" for row in range(13)]
        ),
        id_column="object_id",
    )
    found = []
    for which, size, rows in ((spec, 4, 5), (spec, batch, 13), (backwards, batch, 4)):
        cut = which.model_copy(update={"model": which.model.model_copy(update={"part_rows": rows})})
        store = MemoryStore()
        embed(cut, settings, store, batch=size)
        assert finish(cut, store) is not None
        vectors = stored(cut, store)
        found.append({key: row.tobytes() for key, row in zip(vectors.object_ids, vectors.matrix, strict=True)})
    assert found[0] == found[1] == found[2]


def test_a_killed_job_resumes_at_its_last_whole_part(
    write_table: Callable[..., Path],
    image: Make,
    specify: Callable[..., EmbeddingSpec],
    settings: Settings,
    tmp_path: Path,
) -> None:
    spec = specify(write_table([image(seed) for seed in range(18)]))
    store = DirectoryStore(tmp_path / "store")
    dying = CountingSource(open_source(spec.dataset, settings), dies_before=12)
    with pytest.raises(Killed):
        embed(spec, settings, store, source=dying, batch=1)
    assert sorted(read_receipts(store, spec)) == [0, 1]
    assert finish(spec, store) is None
    resumed = CountingSource(open_source(spec.dataset, settings))
    embed(spec, settings, store, attempt="two", source=resumed)
    assert resumed.given == list(range(10, 18))
    first = finish(spec, store)
    assert first is not None
    assert [part.key.split("/")[-2] for part in first.parts] == ["one", "one", "two", "two"]
    assert finish(spec, store) == first


def test_a_part_that_is_stored_is_not_made_again(
    write_table: Callable[..., Path], image: Make, specify: Callable[..., EmbeddingSpec], settings: Settings
) -> None:
    spec, store = specify(write_table([image(seed) for seed in range(4)])), MemoryStore()
    once = embed(spec, settings, store)
    before = set(store.keys(keys.embedding_prefix(spec)))
    untouched = CountingSource(open_source(spec.dataset, settings))
    assert embed(spec, settings, store, attempt="two", source=untouched) == once
    assert untouched.given == []
    assert set(store.keys(keys.embedding_prefix(spec))) == before


def test_progress_is_told_in_rows_of_the_part(
    write_table: Callable[..., Path], image: Make, specify: Callable[..., EmbeddingSpec], settings: Settings
) -> None:
    spec = specify(write_table([image(seed) for seed in range(9)]))
    told: list[int] = []
    embed_part(
        [spec],
        1,
        source=open_source(spec.dataset, settings),
        adapter=load_adapter(spec.model, settings),
        store=MemoryStore(),
        attempt=Attempt(name="one", worker="test"),
        batch=3,
        on_rows=told.append,
    )
    assert told == [3, 4]


def test_what_is_dropped_and_mended_is_counted(
    write_table: Callable[..., Path], image: Make, specify: Callable[..., EmbeddingSpec], settings: Settings
) -> None:
    rows = [image(seed) for seed in range(8)]
    holed = np.asarray(rows[1]["flux"])
    holed[0, 20, 18:22] = np.nan
    rows[1] = image(1, flux=holed)
    rows[2] = image(2, flux=np.full((5, 40, 40), 3.0))
    rows[6] = image(6, flux=np.full((5, 40, 40), np.nan))
    spec, store = specify(write_table(rows)), MemoryStore()
    first, second = embed(spec, settings, store)
    assert (first.rows, first.dropped, first.repaired) == (4, {"constant-image": 1}, {"nonfinite-pixels": 4})
    assert (second.rows, second.dropped, second.repaired) == (2, {"mostly-nonfinite": 1}, {})
    manifest = finish(spec, store)
    assert manifest is not None
    assert manifest.dropped == {"constant-image": 1, "mostly-nonfinite": 1}
    # Ids are positions in the table, given before anything was dropped.
    assert stored(spec, store).object_ids == ("0", "1", "3", "4", "5", "7")


def test_a_part_may_lose_all_its_objects_but_not_an_embedding(
    write_table: Callable[..., Path], image: Make, specify: Callable[..., EmbeddingSpec], settings: Settings
) -> None:
    flat = image(0, flux=np.full((5, 40, 40), 3.0))
    spec, store = specify(write_table([flat] * 5 + [image(seed) for seed in range(2)])), MemoryStore()
    assert [part.rows for part in embed(spec, settings, store)] == [0, 2]
    manifest = finish(spec, store)
    assert manifest is not None
    assert manifest.rows == 2
    empty = specify(write_table([flat] * 3, name="flat"))
    embed(empty, settings, store)
    with pytest.raises(EmptyDataset, match="constant-image: 3"):
        finish(empty, store)


def test_two_objects_of_one_id_in_a_batch_are_refused(
    write_table: Callable[..., Path], image: Make, specify: Callable[..., EmbeddingSpec], settings: Settings
) -> None:
    twice = specify(write_table([image(seed) for seed in range(4)], ids=["a", "b", "b", "c"]))
    dataset = twice.dataset.model_copy(update={"id_column": "object_id"})  # past the door, which would have seen it
    with pytest.raises(DuplicateObjectIds, match="object id 'b' stands twice"):
        embed(twice.model_copy(update={"dataset": dataset}), settings, MemoryStore())


def test_a_vector_that_is_no_vector_names_its_object(
    write_table: Callable[..., Path], image: Make, specify: Callable[..., EmbeddingSpec]
) -> None:
    spec = specify(write_table([image(0)]))
    matrix = np.ones((3, 4), np.float32)
    assert check_vectors(["a", "b", "c"], matrix, spec) is matrix
    matrix[1, 2] = np.nan
    with pytest.raises(NotFinite, match="sky/hsc/fake-small gives object 'b'"):
        check_vectors(["a", "b", "c"], matrix, spec)
    matrix[1] = 0
    with pytest.raises(ZeroVector, match="gives object 'b' a zero vector"):
        check_vectors(["a", "b", "c"], matrix, spec)


def agreement(left: Vectors, right: Vectors, k: int) -> float:
    """Mean share of common nearest neighbours by cosine."""
    assert left.object_ids == right.object_ids
    tables = []
    for vectors in (left, right):
        unit = vectors.matrix / np.linalg.norm(vectors.matrix, axis=1, keepdims=True)
        alike = unit @ unit.T
        np.fill_diagonal(alike, -2)
        tables.append(np.argsort(-alike, axis=1)[:, :k])
    return float(np.mean([len(set(a) & set(b)) / k for a, b in zip(*tables, strict=True)]))


def test_the_fake_sees_the_same_simulated_galaxies_in_two_surveys(settings: Settings) -> None:
    dataset, modalities = resolve_dataset(DatasetRequest(name="mocksky", limit=32), settings)
    model = resolve_model(find_model("fake-large"), settings)
    store, found = MemoryStore(), []
    for modality in modalities[0], modalities[2]:
        spec = EmbeddingSpec(dataset=dataset, modality=modality, model=model)
        embed(spec, settings, store, batch=32)
        assert finish(spec, store) is not None
        found.append(stored(spec, store))
    assert agreement(*found, k=5) > 3 * 5 / 31


@pytest.mark.skipif(not RADIO.is_dir(), reason="../shared/data/radio_first_nvss is not beside the checkout")
def test_real_radio_galaxies_with_real_weights(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "roots").mkdir()
    own = {
        "first": {"column": "first_image", "bands": ["first-1.4GHz"], "field_arcsec": 230.4},
        "nvss": {"column": "nvss_image", "bands": ["nvss-1.4GHz"], "field_arcsec": 230.4},
    }
    asked = {"name": "radio", "folder": str(RADIO), "id_column": "object_id", "limit": 24, "modalities": own}
    reading = Settings.read({"SAMESKY_DATASET_ROOTS": str(RADIO.parent), "SAMESKY_THREADS": "1"})
    dataset, modalities = resolve_dataset(DatasetRequest.model_validate(asked), reading)
    model = resolve_model(find_model("efficientnet-lite0"), reading)
    store = MemoryStore()
    for modality in modalities:
        spec = EmbeddingSpec(dataset=dataset, modality=modality, model=model)
        embed(spec, reading, store, batch=8)
        manifest = finish(spec, store)
        assert manifest is not None
        assert (manifest.rows, manifest.dimension, manifest.dropped) == (24, 1280, {})
        assert stored(spec, store).object_ids[0] == "frdeep-0000"


class Altered(CountingSource):
    """A source that changes what it gives of row 2."""

    def __init__(self, source: Source, alter: Callable[[Sample], list[Sample]]) -> None:
        super().__init__(source)
        self._alter = alter

    def read(self, modality: Modality, start: int, stop: int) -> Iterator[Sample]:
        for sample in super().read(modality, start, stop):
            yield from self._alter(sample) if sample.row == 2 else [sample]


@pytest.mark.parametrize(
    ("alter", "error", "said"),
    [
        (lambda sample: [replace(sample, object_id="g1")], DuplicateObjectIds, "g1"),
        (lambda sample: [sample, sample], BadTable, "gave row 2; expected row 3"),
        (lambda sample: [], BadTable, "gave row 3; expected row 2"),
    ],
    ids=["one id twice", "one row twice", "a row left out"],
)
def test_what_a_source_gives_wrongly_is_refused(
    write_table: Callable[..., Path],
    image: Make,
    specify: Callable[..., EmbeddingSpec],
    settings: Settings,
    alter: Callable[[Sample], list[Sample]],
    error: type[Exception],
    said: str,
) -> None:
    spec = specify(write_table([image(seed) for seed in range(4)]), id_column="object_id")
    store = MemoryStore()
    with pytest.raises(error, match=said):
        embed(spec, settings, store, source=Altered(open_source(spec.dataset, settings), alter))
    assert list(store.keys("embeddings/")) == []


def test_what_is_computed_is_not_stored_when_it_may_not_be(
    write_table: Callable[..., Path], image: Make, specify: Callable[..., EmbeddingSpec], settings: Settings
) -> None:
    spec = specify(write_table([image(seed) for seed in range(4)]), id_column="object_id")
    store = MemoryStore()
    source, adapter = open_source(spec.dataset, settings), load_adapter(spec.model, settings)

    def change_then_check() -> None:
        table = next(Path(spec.dataset.location).glob("*.parquet"))
        table.touch()
        check_unchanged(spec.dataset)
        table.write_bytes(table.read_bytes() + b"!")
        check_unchanged(spec.dataset)

    with pytest.raises(BadInput, match="not the one the study was accepted with"):
        embed_part(
            [spec],
            0,
            source=source,
            adapter=adapter,
            store=store,
            attempt=Attempt(name="one", worker="test"),
            batch=4,
            on_rows=lambda rows: None,
            before_store=change_then_check,
        )
    assert list(store.keys("embeddings/")) == []
