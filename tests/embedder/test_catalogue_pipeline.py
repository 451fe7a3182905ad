"""Labels and texts the whole way, from a table to a manifest, by the pipeline that embeds images."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from embedder.adapters.loading import load_adapter
from embedder.catalogue.models import find_model, label_model
from embedder.catalogue.rows import ModelRow
from embedder.pipeline import embed_part, finish
from embedder.resolve import resolve_dataset, resolve_model
from embedder.sources.kinds import open_source
from shared.contracts import EmbeddingSpec
from shared.embeddings import load_vectors, read_receipts
from shared.errors import CheckpointUnavailable, EmptyDataset, ZeroVector
from shared.outcomes import Attempt, Manifest
from shared.requests import DatasetRequest
from shared.settings import Settings
from shared.store import MemoryStore
from shared.vectors import Vectors

SDSS = Path(__file__).resolve().parents[2] / ".." / "shared" / "data" / "sdss_2mass"
RADIO = SDSS.parent / "radio_first_nvss"
TEXT = {"kind": "text", "columns": ["u", {"name": "g", "unit": "mag"}, {"name": "r", "missing": [-99]}]}
COLUMNS: dict[str, list[Any]] = {
    "id": [f"g{row}" for row in range(8)],
    "u": [1.0, 2.0, None, 3.0, None, 1.0, 2.0, 3.0],
    "g": [1.0, 1.0, np.nan, 2.0, None, 3.0, 3.0, 3.0],
    "r": [1.0, 2.0, -99.0, -99.0, -99.0, 1.0, 1.0, 2.0],
    "z": [0.0, 0.1, np.nan, 0.2, None, np.inf, 0.0, 0.3],
    "fr": ["I", "II", None, "", "II", "I", "II", "II"],
}
Embed = Callable[..., tuple[Manifest | None, MemoryStore]]


def ask(folder: Path, **given: Any) -> DatasetRequest:
    labels = {"redshift": {"column": "z"}, "fr_class": {"column": "fr", "classes": ["I", "II"]}}
    plain = {"name": "sky", "folder": str(folder), "id_column": "id", "modalities": {"catalogue": TEXT}}
    return DatasetRequest.model_validate({**plain, "labels": labels, **given})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Eight objects in two files, of some of which little is known, and of one nothing."""
    made = tmp_path / "roots" / "sky"
    made.mkdir(parents=True)
    table = pa.table({name: pa.array(values) for name, values in COLUMNS.items()})
    for index in (0, 1):
        pq.write_table(table.slice(index * 4, 4), made / f"train-{index:05d}-of-00002.parquet")
    return made


def specify(
    request: DatasetRequest, modality: str, row: ModelRow, settings: Settings, part_rows: int = 3
) -> EmbeddingSpec:
    dataset, modalities = resolve_dataset(request, settings, labels=True)
    (found,) = (one for one in modalities if one.name == modality)
    model = resolve_model(row, settings).model_copy(update={"part_rows": part_rows})
    return EmbeddingSpec(dataset=dataset, modality=found, model=model)


def embed(
    spec: EmbeddingSpec, settings: Settings, store: MemoryStore, parts: range | None = None, batch: int = 2
) -> Manifest | None:
    for index in parts or range(spec.parts()):
        embed_part(
            [spec],
            index,
            source=open_source(spec.dataset, settings),
            adapter=load_adapter(spec.model, settings),
            store=store,
            attempt=Attempt(name=f"of-{index}", worker="test"),
            batch=batch,
            on_rows=lambda rows: None,
        )
    return finish(spec, store)


def whole(spec: EmbeddingSpec, settings: Settings, batch: int = 2) -> tuple[Manifest, Vectors]:
    store = MemoryStore()
    manifest = embed(spec, settings, store, batch=batch)
    assert manifest is not None
    return manifest, load_vectors(store, manifest)


def test_a_label_is_an_embedding_of_what_is_known(folder: Path, settings: Settings) -> None:
    manifest, vectors = whole(specify(ask(folder), "redshift", label_model(), settings), settings)
    assert (manifest.rows, manifest.dimension, manifest.device, manifest.repaired) == (5, 1, "cpu", {})
    assert manifest.dropped == {"infinite-label": 1, "missing-label": 2}
    assert vectors.object_ids == ("g0", "g1", "g3", "g6", "g7")
    assert vectors.matrix[:, 0].tolist() == np.float32([0, 0.1, 0.2, 0, 0.3]).tolist()


def test_a_class_is_its_number(folder: Path, settings: Settings) -> None:
    manifest, vectors = whole(specify(ask(folder), "fr_class", label_model(), settings), settings)
    assert manifest.dropped == {"missing-label": 2}
    assert dict(zip(vectors.object_ids, vectors.matrix[:, 0].tolist(), strict=True)) == {
        "g0": 0, "g1": 1, "g4": 1, "g5": 0, "g6": 1, "g7": 1,
    }  # fmt: skip


def test_labels_come_in_parts_that_are_resumed(folder: Path, settings: Settings) -> None:
    spec, store = specify(ask(folder), "redshift", label_model(), settings), MemoryStore()
    assert embed(spec, settings, store, range(1, 3)) is None
    assert sorted(read_receipts(store, spec)) == [1, 2]
    manifest = embed(spec, settings, store)
    assert manifest is not None
    assert [part.rows for part in manifest.parts] == [2, 1, 2]
    assert load_vectors(store, manifest).object_ids == ("g0", "g1", "g3", "g6", "g7")


def test_a_label_that_is_known_of_nobody_is_no_embedding(folder: Path, settings: Settings) -> None:
    spec = specify(ask(folder), "redshift", label_model(), settings, part_rows=1)
    unknown = spec.modality.model_copy(update={"missing": (0, 0.1, 0.2, 0.3)})
    with pytest.raises(EmptyDataset, match=r"infinite-label: 1, missing-label: 7"):
        embed(spec.model_copy(update={"modality": unknown}), settings, MemoryStore())


def test_another_version_of_the_label_model_is_refused(folder: Path, settings: Settings) -> None:
    model = resolve_model(label_model(), settings)
    with pytest.raises(CheckpointUnavailable, match="no label at revision 2; expected 1"):
        load_adapter(model.model_copy(update={"revision": "2"}), settings)
    with pytest.raises(CheckpointUnavailable, match=r"has no block-00: .*expected final"):
        load_adapter(model, settings).encode([np.ones(1, np.float32)], ["block-00"])


@pytest.mark.parametrize("name", ["bge-small", "qwen3-embedding-0.6b"])
def test_a_text_is_an_embedding_of_what_is_told(
    folder: Path, settings: Settings, save_text_model: Callable[[str], Path], name: str
) -> None:
    save_text_model(name)
    spec = specify(ask(folder), "catalogue", find_model(name), settings)
    manifest, vectors = whole(spec, settings)
    assert (manifest.rows, manifest.dimension) == (6, 32)
    assert manifest.dropped == {"empty-entry": 2}
    assert manifest.repaired == {"unknown-values": 1}
    assert vectors.object_ids == ("g0", "g1", "g3", "g5", "g6", "g7")
    for rows, batch in ((8, 8), (1, 1), (5, 3)):
        cut = spec.model_copy(update={"model": spec.model.model_copy(update={"part_rows": rows})})
        _, others = whole(cut, settings, batch)
        assert others.object_ids == vectors.object_ids
        assert np.abs(others.matrix - vectors.matrix).max() < 1e-5 * np.abs(vectors.matrix).max()


def test_a_text_too_long_is_left_out_and_counted(
    folder: Path, settings: Settings, save_text_model: Callable[[str], Path]
) -> None:
    save_text_model("bge-small")
    long = {"kind": "text", "columns": [{"name": "u", "title": "u " * 20}, {"name": "r", "missing": [-99]}]}
    spec = specify(ask(folder, modalities={"catalogue": long}), "catalogue", find_model("bge-small"), settings)
    manifest, vectors = whole(spec, settings)  # 23 tokens, of 24, where r is unknown; else two more
    assert vectors.object_ids == ("g3",)
    assert (manifest.dropped, manifest.repaired) == ({"empty-entry": 2, "text-too-long": 5}, {"unknown-values": 1})


def test_a_direction_is_asked_of_embeddings_and_not_of_labels(folder: Path, settings: Settings) -> None:
    from embedder.pipeline import check_vectors

    nought = np.zeros((1, 1), np.float32)
    label = specify(ask(folder), "redshift", label_model(), settings)
    assert check_vectors(["g0"], nought, label) is nought
    with pytest.raises(ZeroVector, match="g0"):
        check_vectors(["g0"], nought, specify(ask(folder), "catalogue", find_model("minilm"), settings))


def test_mocksky_has_labels_and_a_catalogue(settings: Settings, save_text_model: Callable[[str], Path]) -> None:
    save_text_model("bge-small")
    sky = DatasetRequest(name="mocksky", limit=5)
    _, redshifts = whole(specify(sky, "redshift", label_model(), settings), settings)
    _, texts = whole(specify(sky, "catalogue", find_model("bge-small"), settings), settings)
    assert redshifts.object_ids == texts.object_ids == tuple(f"mocksky-{number:06d}" for number in range(5))
    source = open_source(resolve_dataset(sky, settings)[0], settings)
    assert redshifts.matrix[:, 0].tolist() == source.labels(0, 5)["redshift"].astype(np.float32).tolist()


@pytest.mark.skipif(not RADIO.is_dir(), reason="the radio galaxies are not beside this checkout")
def test_what_is_known_of_real_radio_galaxies_is_read(settings: Settings) -> None:
    labels = {"redshift": {"column": "redshift"}, "fr_class": {"column": "fr_class", "classes": ["I", "II"]}}
    given = {"name": "radio", "folder": str(RADIO), "id_column": "object_id", "labels": labels}
    request = DatasetRequest.model_validate({**given, "modalities": {"c": {"kind": "text", "columns": ["ra"]}}})
    reading = Settings.read({"SAMESKY_DATASET_ROOTS": str(RADIO.parent)})
    redshift, _ = whole(specify(request, "redshift", label_model(), reading, 200), reading)
    assert (redshift.rows, redshift.dropped) == (586, {"missing-label": 72})
    fr_class, vectors = whole(specify(request, "fr_class", label_model(), reading, 65536), reading)
    assert (fr_class.rows, int(vectors.matrix.sum())) == (658, 389)


@pytest.mark.usefixtures("with_minilm")
@pytest.mark.skipif(not SDSS.is_dir(), reason="the galaxies of SDSS and 2MASS are not beside this checkout")
def test_the_study_of_real_galaxies_can_be_embedded() -> None:
    from services.study_file import read_study_file

    (request,) = read_study_file(Path(__file__).resolve().parents[2] / "examples" / "sdss.yaml").datasets
    reading = Settings.read({"SAMESKY_DATASET_ROOTS": str(SDSS.parent), "SAMESKY_THREADS": "1"})
    few = request.model_copy(update={"limit": 12, "folder": str(SDSS)})
    for name in ("sdss", "twomass"):
        manifest, vectors = whole(specify(few, name, find_model("minilm"), reading, 64), reading, 16)
        assert (manifest.rows, manifest.dimension, manifest.dropped) == (12, 384, {})
        unit = vectors.matrix / np.linalg.norm(vectors.matrix, axis=1, keepdims=True)
        assert (unit @ unit.T)[~np.eye(12, dtype=bool)].max() < 0.9999
