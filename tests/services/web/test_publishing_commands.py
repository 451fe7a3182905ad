"""`samesky import` and `samesky export` against the real api over HTTP: what is said of columns and ids."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from flask.testing import FlaskClient
from typer.testing import CliRunner, Result

from embedder import pipeline
from embedder.adapters.loading import load_adapter
from embedder.sources.kinds import open_source
from scorer.pipeline import score
from services.cli import app
from services.client import Client
from services.studies import Studies
from shared.outcomes import Attempt
from shared.settings import Settings
from shared.store import MemoryStore

ROWS = 24
NAMES = ("convnext_nano_hsc", "convnext_nano_jwst", "convnext_tiny_hsc", "convnext_tiny_jwst")
ATTEMPT = Attempt(name="one", worker="test:1")
Run = Callable[..., Result]
Matrix = npt.NDArray[np.float32]


@pytest.fixture
def run(api_url: str) -> Run:
    """Runs `samesky` with these arguments."""
    return lambda *arguments: CliRunner().invoke(app, [*map(str, arguments)], env={"SAMESKY_API_URL": api_url})


@pytest.fixture(scope="session")
def matrices() -> dict[str, Matrix]:
    """Vectors of two models of two modalities, which tell the same thing."""
    rng = np.random.default_rng(8)
    physics = rng.standard_normal((ROWS, 3))
    return {
        name: (physics @ rng.standard_normal((3, 6 + place))).astype(np.float32) for place, name in enumerate(NAMES)
    }


@pytest.fixture(scope="session")
def file(table_folder: Path, matrices: dict[str, Matrix]) -> Path:
    """A published table, with ids, a label, and vectors of nobody's."""
    columns: dict[str, Any] = {
        name: pa.array(matrix.tolist(), pa.list_(pa.float32())) for name, matrix in matrices.items()
    }
    columns["jwst_object_id"] = pa.array(range(1000, 1000 + ROWS))
    columns["convnext_mini_hsc"] = pa.array([[0.5, float(row)] for row in range(ROWS)])
    path = table_folder.parent / "published" / "train.parquet"
    path.parent.mkdir()
    pq.write_table(pa.table(columns), path)
    return path


@pytest.fixture
def work(known: Studies, store: MemoryStore, table_folder: Path) -> Callable[[str], None]:
    """Does a study's work, by the functions that the workers call."""
    settings = Settings.read({"SAMESKY_DATASET_ROOTS": str(table_folder.parent)})

    def do(study_id: str) -> None:
        study = known.find(study_id)
        for spec in study.embeddings:
            for part in range(spec.parts()):
                pipeline.embed_part(
                    [spec], part, source=open_source(spec.dataset, settings),
                    adapter=load_adapter(spec.model, settings), store=store, attempt=ATTEMPT, batch=16,
                    on_rows=lambda rows: None,
                )  # fmt: skip
            assert pipeline.finish(spec, store) is not None
        for wanted in study.scores():
            score(wanted, store=store, threads=1, attempt=ATTEMPT)

    return do


def test_import_says_what_it_found_then_export_gives_it_back(
    run: Run, api_url: str, file: Path, matrices: dict[str, Matrix], work: Callable[[str], None], tmp_path: Path
) -> None:
    done = run("import", file, "--dataset", "public", "--id-column", "jwst_object_id", "--k", 3)
    assert done.exit_code == 0, done.output
    said = done.stdout
    for words in (
        f"{ROWS} objects",
        "ids: column jwst_object_id",
        "  convnext_nano_hsc: convnextv2-nano of hsc, 6 numbers",
        "  convnext_tiny_jwst: convnextv2-tiny of jwst, 9 numbers",
        "columns not taken: 1",
        "convnext_mini_hsc (list<element: double>): the catalogue gives no such name; near ones are convnext_",
        "0 of 4 embeddings, 0 of 4 scores",
    ):
        assert words in said
    with Client(api_url) as client:
        (study,) = client.studies()
        assert study.title == "Published vectors of public"
        assert {job.label for job in client.jobs(study.id)} >= {"public/hsc/convnextv2-nano as published"}
        assert sorted(pair.kind for pair in client.pairs(study.id)) == [
            "crossmodal",
            "crossmodal",
            "intramodal",
            "intramodal",
        ]
        refused = run("export", study.id, "--output", tmp_path / "early.parquet")
        assert (refused.exit_code, "is not whole" in refused.stderr) == (2, True)
        work(study.id)
        assert run("status", study.id).exit_code == 0
        rows = client.scores(study.id)
        assert {row["left_revision"] for row in rows} == {"as-published"}
        assert {row["recipe"] for row in client.embeddings()} == {"vector-v1"}
        assert "public as published: mknn, k = 3" in run("scores", study.id).stdout
        trend = client.trend(study.id)
        assert trend.metric == "mknn"
    exported = run("export", study.id, "--output", tmp_path / "back.parquet")
    assert (exported.exit_code, exported.stderr) == (0, "")
    assert f"back.parquet: {ROWS} objects, 4 columns" in exported.stdout
    table = pq.read_table(tmp_path / "back.parquet")
    assert table["object_id"].to_pylist() == [str(1000 + row) for row in range(ROWS)]
    for name, matrix in matrices.items():
        back = table[name].combine_chunks().flatten().to_numpy().reshape(matrix.shape)
        assert back.view(np.uint32).tolist() == matrix.view(np.uint32).tolist()
    assert [path.name for path in tmp_path.iterdir()] == ["back.parquet"]
    archive = tmp_path / "study.zip"
    assert run("archive", study.id, "-o", archive).exit_code == 0
    lacking = run("export", archive, "-o", tmp_path / "no.parquet")
    assert (lacking.exit_code, "has no vectors in it" in lacking.stderr) == (2, True)


def test_the_same_is_asked_once_by_name_and_by_columns(run: Run, api_url: str, file: Path) -> None:
    assert run("import", file, "--dataset", "public", "--id-column", "jwst_object_id").exit_code == 0
    given = {"name": "public", "folder": str(file), "id_column": "jwst_object_id", "embeddings": "all"}
    with Client(api_url) as client:
        by_hand = client.submit({"datasets": [given], "pairs": ["crossmodal", "intramodal", "crosskind"]})
        assert [study.id for study in client.studies()] == [by_hand.id]


def test_rows_as_ids_are_said_aloud_and_nothing_is_asked_for(run: Run, api_url: str, file: Path) -> None:
    done = run("import", file, "--dataset", "public", "--dry-run")
    assert done.exit_code == 0
    assert "ids: NONE IS NAMED, so an object's id is the position of its row" in done.stdout
    assert "  jwst_object_id (int64): no vectors" in done.stdout
    with Client(api_url) as client:
        assert client.studies() == []


def test_columns_are_told_and_what_no_pair_has_is_said(run: Run, api_url: str, file: Path) -> None:
    told = ("--column", "convnext_mini_hsc=dinov2-small:own", "--pairs", "crossmodal")
    done = run("import", file, "--dataset", "public", *told)
    assert done.exit_code == 0, done.output
    assert "  convnext_mini_hsc: dinov2-small of own, 2 numbers, float64: rounded" in done.stdout
    assert "not taken" in done.stdout
    assert "some columns are in no pair, and are not stored" in done.stderr
    done = run("import", file, "--dataset", "public", *told[:2], "--pairs", "all", "--limit", 12)
    assert (done.exit_code, done.stderr) == (0, "")
    with Client(api_url) as client:
        assert sorted(sum(study.pairs.values()) for study in client.studies()) == [2, 10]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["import", "--dataset", "public"], "give a file or folder, or --hub"),
        (["import", "{file}"], "Missing option '--dataset'"),
        (["import", "{file}", "--dataset", "public", "--column", "x"], "--column 'x'; expected COLUMN=MODEL:MODALITY"),
        (["import", "{file}", "--dataset", "public", "--column", "x=dinov2-small:hsc"], "has no column x"),
        (["import", "{file}", "--dataset", "public", "--column", "x=none:hsc"], "there is no model 'none'"),
        (["import", "{file}", "--dataset", "public", "--id-column", "id"], "has no column id"),
        (["import", "{file}", "--dataset", "P"], "dataset.name: 'P' cannot be a name"),
        (["import", "{file}x", "--dataset", "public"], "there is no folder"),
        (["import", "~nobody-here/x", "--dataset", "public"], "SAMESKY_DATASET_ROOTS"),
        (["import", "/etc/hosts", "--dataset", "public"], "SAMESKY_DATASET_ROOTS"),
        (["import", "--hub", "x", "--dataset", "public"], "a hub id is OWNER/NAME"),
        (["export", "none", "--output", "x.parquet"], "is neither a file nor the id of a study"),
        (["export", "0" * 32, "--output", "/none/x.parquet"], "there is no folder /none"),
        (["export", "0" * 32, "--output", "x.parquet"], "there is no study"),
    ],
)
def test_a_fault_is_one_line(run: Run, file: Path, arguments: list[str], words: str) -> None:
    done = run(*(argument.format(file=file) for argument in arguments))
    assert done.exit_code == 2, done.output
    assert words in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


def test_a_study_of_published_vectors_needs_no_model_and_another_does(web: FlaskClient, file: Path) -> None:
    published = {"name": "public", "folder": str(file), "embeddings": "all"}
    assert web.post("/v1/studies", json={"datasets": [published]}).status_code == 202
    mixed = web.post("/v1/studies", json={"datasets": [published, "mocksky"]})
    assert (mixed.status_code, mixed.json["errors"][0]["pointer"]) == (422, "#/models")
    for embeddings, says in (("some", "'all'"), ({}, "some columns"), ({"c": {"model": 3}}, "modality")):
        answer = web.post("/v1/studies", json={"datasets": [{**published, "embeddings": embeddings}]})
        assert answer.status_code == 422
        assert says in answer.get_data(as_text=True)
    catalogue = web.post("/v1/studies", json={"datasets": [{"name": "mocksky", "embeddings": "all"}]})
    assert (catalogue.status_code, "of your own" in catalogue.get_data(as_text=True)) == (422, True)
