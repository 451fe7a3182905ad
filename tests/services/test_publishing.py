"""Vectors there and back: a published table becomes embeddings and the same table again, to the bit."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as tuned
from hypothesis import strategies as some

from embedder import pipeline
from embedder.adapters.loading import load_adapter
from embedder.published import resolve_published
from embedder.resolve import resolve_dataset
from embedder.sources.kinds import open_source
from services import exporting
from services.exporting import export_table
from shared import keys
from shared.contracts import Scoring, Study
from shared.embeddings import commit_manifest, load_vectors, read_manifest, store_part
from shared.errors import BadInput, BadRecord, EmptyDataset
from shared.outcomes import Attempt
from shared.planning import expand
from shared.requests import DatasetRequest
from shared.settings import Settings
from shared.store import MemoryStore
from shared.vectors import Vectors

NAMES = (
    "convnext_nano_hsc",
    "dino_base_jwst",
    "vit_base_hsc",
    "vit_base_jwst",
    "vit_base_hsc_block_03",
    "ijepa_huge_hsc",
)
ATTEMPT = Attempt(name="one", worker="test:1")
Matrix = npt.NDArray[np.float32]
Columns = Mapping[str, Matrix]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder under which tables may be read."""
    return tmp_path_factory.mktemp("roots")


def save(file: Path, columns: Columns, ids: list[str], row_group_size: int = 4) -> Path:
    arrays = {name: pa.array(list(matrix), pa.list_(pa.float32())) for name, matrix in columns.items()}
    pq.write_table(pa.table({**arrays, "object_id": pa.array(ids)}), file, row_group_size=row_group_size)
    return file


def take(file: Path, store: MemoryStore, *, part_rows: int, id_column: str | None = "object_id") -> Study:
    """A study of all columns of a table, its embeddings made by the functions that the workers call."""
    settings = Settings.read({"SAMESKY_DATASET_ROOTS": str(file.parent)})
    request = DatasetRequest.model_validate(
        {"name": "sky", "folder": str(file), "id_column": id_column, "embeddings": "all"}
    )
    dataset, _ = resolve_dataset(request, settings)
    published = [
        spec.model_copy(update={"model": spec.model.model_copy(update={"part_rows": part_rows})})
        for spec in resolve_published(request, dataset, settings)
    ]
    study = expand([(dataset, ())], (), ["all"], Scoring(k=(1,)), created_at="2026-01-01", published=published)
    store.put(keys.study(study.id), study.to_json())
    for spec in study.embeddings:
        for part in range(spec.parts()):
            pipeline.embed_part(
                [spec],
                part,
                source=open_source(spec.dataset, settings),
                adapter=load_adapter(spec.model, settings),
                store=store,
                attempt=ATTEMPT,
                batch=3,
                on_rows=lambda rows: None,
            )
        assert pipeline.finish(spec, store) is not None
    return study


def read(file: Path) -> tuple[list[str], dict[str, Matrix]]:
    table = pq.read_table(file)
    matrices = {
        name: table[name].combine_chunks().flatten().to_numpy().reshape(len(table), -1)
        for name in table.column_names
        if name != "object_id"
    }
    return table["object_id"].to_pylist(), matrices


def bits(matrix: Matrix) -> bytes:
    return np.ascontiguousarray(matrix).view(np.uint32).tobytes()


@some.composite
def tables(draw: some.DrawFn) -> tuple[dict[str, Matrix], list[str]]:
    """Any finite numbers at all, subnormal ones and -0 too, of some columns in any order, with any ids."""
    ids = draw(some.lists(some.text("aé0 _-", min_size=1, max_size=4), min_size=2, max_size=9, unique=True))
    names = draw(some.lists(some.sampled_from(NAMES), min_size=2, max_size=4, unique=True))
    number = some.floats(allow_nan=False, allow_infinity=False, width=32)
    columns = {}
    for name in names:
        dimension = draw(some.integers(1, 5))
        vector = some.lists(number, min_size=dimension, max_size=dimension).filter(any)
        rows = draw(some.lists(vector, min_size=len(ids), max_size=len(ids)))
        columns[name] = np.array(rows, np.float32)
    return columns, ids


@tuned(
    max_examples=15,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(tables(), some.integers(1, 6))
def test_any_table_comes_back_to_the_bit(root: Path, made: tuple[dict[str, Matrix], list[str]], part_rows: int) -> None:
    columns, ids = made
    given_file, back, again = root / "given.parquet", root / "back.parquet", root / "again.parquet"
    store = MemoryStore()
    study = take(save(given_file, columns, ids), store, part_rows=part_rows)
    exported = export_table(store, study, back)
    assert (exported.rows, set(exported.columns), exported.left_out) == (len(ids), set(columns), {})
    found_ids, found = read(back)
    assert found_ids == ids
    assert {name: bits(matrix) for name, matrix in found.items()} == {n: bits(m) for n, m in columns.items()}
    second = MemoryStore()
    export_table(second, take(back, second, part_rows=7 - part_rows), again)
    assert pq.read_table(again).equals(pq.read_table(back))


def test_small_row_groups_join_parts_of_any_cut(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(4)
    columns = {name: rng.standard_normal((23, 3)).astype(np.float32) for name in NAMES[:3]}
    store = MemoryStore()
    study = take(save(root / "cut.parquet", columns, [f"g{row}" for row in range(23)]), store, part_rows=5)
    monkeypatch.setattr(exporting, "_GROUP_NUMBERS", 4 * 9)
    export_table(store, study, root / "cut-back.parquet")
    file = pq.ParquetFile(root / "cut-back.parquet")
    assert [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)] == [4, 4, 4, 4, 4, 3]
    assert {name: bits(matrix) for name, matrix in read(root / "cut-back.parquet")[1].items()} == {
        name: bits(matrix) for name, matrix in columns.items()
    }


def test_without_an_id_column_the_row_is_the_id(root: Path) -> None:
    columns = {name: np.eye(4, 6, dtype=np.float32) + 1 for name in NAMES[:2]}
    store = MemoryStore()
    study = take(save(root / "rows.parquet", columns, list("abcd")), store, part_rows=3, id_column=None)
    export_table(store, study, root / "rows-back.parquet")
    assert read(root / "rows-back.parquet")[0] == ["0", "1", "2", "3"]


def test_a_computed_study_is_published_and_read_again(scored: tuple[MemoryStore, Study], root: Path) -> None:
    store, study = scored
    made = export_table(store, study, root / "fakes.parquet")
    assert made.columns == ["fake_small_hsc", "fake_large_hsc", "fake_small_jwst", "fake_large_jwst"]
    origin = json.loads(pq.read_schema(root / "fakes.parquet").metadata[b"samesky"])["fake_small_hsc"]
    assert (origin["model"], origin["dataset_revision"], origin["recipe"]) == (
        "fake-small",
        "v1-seed0",
        "arcsinh-image-v1",
    )
    second = MemoryStore()
    again = take(root / "fakes.parquet", second, part_rows=16)
    for spec in study.embeddings:
        (twin,) = (
            one
            for one in again.embeddings
            if (one.model.name, one.modality.name) == (spec.model.name, spec.modality.name)
        )
        assert twin.digest != spec.digest
        ours, theirs = read_manifest(store, spec), read_manifest(second, twin)
        assert ours is not None
        assert theirs is not None
        assert bits(load_vectors(store, ours).matrix) == bits(load_vectors(second, theirs).matrix)
        assert load_vectors(store, ours).object_ids == load_vectors(second, theirs).object_ids


@pytest.fixture
def lacking(scored_copy: MemoryStore, scored: tuple[MemoryStore, Study]) -> Callable[[list[int]], Study]:
    """Stores the study's embeddings anew, the first of which has these rows alone."""
    _, study = scored

    def cut(rows: list[int]) -> Study:
        for place, spec in enumerate(study.embeddings):
            found = read_manifest(scored_copy, spec)
            assert found is not None
            vectors = load_vectors(scored_copy, found)
            scored_copy.delete(keys.manifest(spec))
            parts = {}
            for index in range(spec.parts()):
                start, stop = spec.part_range(index)
                kept = [row for row in rows if start <= row < stop] if place == 0 else list(range(start, stop))
                chosen = vectors.take(np.array(kept, int)) if kept else Vectors((), np.empty((0, 1), np.float32))
                parts[index] = store_part(
                    scored_copy, spec, Attempt(name="cut", worker="test:1", token=1), index, chosen,
                    dropped={"empty-image": stop - start - len(kept)}, repaired={}, seconds=0.1, at="2026-01-02",
                    device="cpu", packages={},
                )  # fmt: skip
            commit_manifest(scored_copy, spec, parts)
        return study

    return cut


def test_objects_that_one_lacks_are_left_out_and_counted(
    lacking: Callable[[list[int]], Study], scored_copy: MemoryStore, tmp_path: Path
) -> None:
    rows = [1, 2, 5, 39]
    study = lacking(rows)
    made = export_table(scored_copy, study, tmp_path / "some.parquet")
    assert made.rows == 4
    assert made.left_out == dict.fromkeys(made.columns[1:], 36)
    ids, matrices = read(tmp_path / "some.parquet")
    assert ids == [f"galaxy {row}" for row in rows]
    last = read_manifest(scored_copy, study.embeddings[-1])
    assert last is not None
    assert bits(matrices[made.columns[-1]]) == bits(load_vectors(scored_copy, last).matrix[rows])
    assert pq.read_table(tmp_path / "some.parquet").column("fake_small_hsc").null_count == 0


def test_what_cannot_be_one_table_is_refused(
    lacking: Callable[[list[int]], Study], scored_copy: MemoryStore, tmp_path: Path
) -> None:
    study = lacking(list(range(40)))
    twice = study.model_copy(
        update={
            "embeddings": (
                *study.embeddings,
                study.embeddings[0].model_copy(update={"dtype": "bfloat16"}),
            )
        }
    )
    refusals: list[tuple[Study, dict[str, Any], type[Exception], str]] = [
        (study, {"dataset": "other"}, BadInput, "has no embedding of other; .* name one with --dataset: sky"),
        (twice, {}, BadInput, "sky/hsc/fake-small in bfloat16 is not whole"),
    ]
    for asked, options, kind, words in refusals:
        with pytest.raises(kind, match=words):
            export_table(scored_copy, asked, tmp_path / "no.parquet", **options)
    fewer = study.embeddings[0].dataset.model_copy(update={"rows": 30})
    limits = (*study.embeddings, study.embeddings[0].model_copy(update={"dataset": fewer}))
    with pytest.raises(BadInput, match="reads sky in several ways; expected one; export"):
        export_table(scored_copy, study.model_copy(update={"embeddings": limits}), tmp_path / "no.parquet")
    manifest = read_manifest(scored_copy, study.embeddings[0])
    assert manifest is not None
    copy = manifest.model_copy(update={"spec": twice.embeddings[-1]})
    scored_copy.put(keys.manifest(twice.embeddings[-1]), copy.to_json())
    with pytest.raises(BadInput, match="would both be column fake_small_hsc"):
        export_table(scored_copy, twice, tmp_path / "no.parquet")
    with pytest.raises(BadInput, match="cannot be written"):
        export_table(scored_copy, study, tmp_path / "none" / "no.parquet")
    assert list(tmp_path.iterdir()) == []


def test_no_common_object_is_refused(root: Path, tmp_path: Path) -> None:
    store = MemoryStore()
    columns = {name: np.eye(4, 6, dtype=np.float32) + 1 for name in NAMES[:2]}
    study = take(save(root / "common.parquet", columns, list("abcd")), store, part_rows=4)
    spec = study.embeddings[0]
    store.delete(keys.manifest(spec))
    for ids, error, words in (
        (list("efgh"), EmptyDataset, "share no object"),
        (list("badc"), BadRecord, "has its objects in another order"),
    ):
        part = store_part(
            store, spec, Attempt(name="other", worker="test:1"), 0, Vectors(tuple(ids), np.ones((4, 6), np.float32)),
            dropped={}, repaired={}, seconds=0.1, at="2026-01-02", device="cpu", packages={},
        )  # fmt: skip
        commit_manifest(store, spec, {0: part})
        with pytest.raises(error, match=words):
            export_table(store, study, tmp_path / "no.parquet")
        store.delete(keys.manifest(spec))
    assert list(tmp_path.iterdir()) == []
