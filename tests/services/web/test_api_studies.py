"""Studies over HTTP: accepted once, followed, scored, and refused with the field named."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from typing import Any

import pyarrow.parquet as pq
import pytest
from flask.testing import FlaskClient

from shared import keys
from shared.contracts import Study
from shared.store import MemoryStore

Body = dict[str, Any]


def test_a_study_is_stored_before_it_is_answered_and_is_the_same_when_asked_again(
    web: FlaskClient, body: Callable[..., Body], store: MemoryStore
) -> None:
    first = web.post("/v1/studies", json=body())
    assert first.status_code == 202
    study_id = first.json["id"]
    assert first.headers["Location"] == f"/v1/studies/{study_id}"
    assert store.exists(keys.study(study_id))
    again = web.post("/v1/studies", json=body(title="another title, the same study"))
    assert (again.status_code, again.json["id"], again.json["title"]) == (202, study_id, "Twins")
    assert web.get(first.headers["Location"]).json == again.json


def test_a_finished_study_is_answered_with_200(
    web: FlaskClient, accept: Callable[..., Study], finish: Callable[[Study], None], body: Callable[..., Body]
) -> None:
    finish(accept())
    answer = web.post("/v1/studies", json=body())
    assert (answer.status_code, answer.json["state"]) == (200, "done")


def test_a_study_in_fewer_bits_is_another_one_and_says_so(web: FlaskClient, body: Callable[..., Body]) -> None:
    plain = body(models=("efficientnet-lite0",))
    studies = [web.post("/v1/studies", json={**plain, **asked}) for asked in ({}, {"dtype": "bfloat16"})]
    assert [answer.status_code for answer in studies] == [202, 202]
    jobs = [web.get(f"/v1/studies/{answer.json['id']}/jobs").json["items"] for answer in studies]
    assert not {job["embedding"] for job in jobs[0]} & {job["embedding"] for job in jobs[1]}
    assert [job["label"].endswith(" in bfloat16") for job in (*jobs[0], *jobs[1])] == [False] * 2 + [True] * 2


def test_jobs_pairs_and_scores_of_a_study(
    web: FlaskClient, accept: Callable[..., Study], finish: Callable[[Study], None]
) -> None:
    study = accept(models=("fake-small", "fake-large"))
    jobs = web.get(f"/v1/studies/{study.id}/jobs").json["items"]
    assert [job["embedding"] for job in jobs] == [spec.digest for spec in study.embeddings]
    assert {job["state"] for job in jobs} == {"queued"}
    pairs = web.get(f"/v1/studies/{study.id}/pairs").json["items"]
    assert sorted(pair["kind"] for pair in pairs) == ["crossmodal"] * 2 + ["intramodal"] * 2
    assert web.get(f"/v1/studies/{study.id}/scores").json == {"items": [], "next": None}
    finish(study)
    rows = web.get(f"/v1/studies/{study.id}/scores").json["items"]
    assert {row["score"] for row in rows} == {pair["score"] for pair in pairs}
    crossmodal = [row for row in rows if row["kind"] == "crossmodal"]
    assert [row["left_model"] for row in crossmodal] == ["fake-small", "fake-large"], "small to large"
    assert {(row["left_modality"], row["right_modality"]) for row in crossmodal} == {("far", "near")}


def test_scores_are_the_same_table_as_json_csv_and_parquet(
    web: FlaskClient, accept: Callable[..., Study], finish: Callable[[Study], None]
) -> None:
    study = accept(models=("fake-small", "fake-large"))
    finish(study)
    rows = web.get(f"/v1/studies/{study.id}/scores").json["items"]
    text = web.get(f"/v1/studies/{study.id}/scores", headers={"Accept": "text/csv"})
    assert text.mimetype == "text/csv"
    assert "Accept" in text.headers["Vary"]
    read = list(csv.DictReader(io.StringIO(text.text)))
    assert [list(row) for row in read] == [list(row) for row in rows]
    assert [float(row["value"]) for row in read] == [row["value"] for row in rows], "every digit is kept"
    file = web.get(f"/v1/studies/{study.id}/scores?format=parquet").data
    assert pq.read_table(io.BytesIO(file)).to_pylist() == rows


def test_parquet_without_a_row_has_typed_columns(web: FlaskClient, accept: Callable[..., Study]) -> None:
    table = pq.read_table(io.BytesIO(web.get(f"/v1/studies/{accept().id}/scores?format=parquet").data))
    assert table.num_rows == 0
    assert {str(table.schema.field(name).type) for name in ("value", "objects", "simulated")} == {
        "double",
        "int64",
        "bool",
    }


def test_scores_are_filtered_by_either_side(
    web: FlaskClient, accept: Callable[..., Study], finish: Callable[[Study], None]
) -> None:
    finish(accept(models=("fake-small", "fake-large")))

    def found(query: str) -> int:
        return len(web.get(f"/v1/scores?{query}").json["items"])

    assert found("") == 4
    assert found("dataset=twin") == 4
    assert found("dataset=other") == 0
    assert found("kind=crossmodal") == 2
    assert found("model=fake-small") == 3
    assert found("modality=near") == 3
    assert found("modality=near&kind=intramodal") == 1
    assert found("family=vit") == 0


def test_one_score_is_the_whole_record(
    web: FlaskClient, accept: Callable[..., Study], finish: Callable[[Study], None]
) -> None:
    study = accept()
    finish(study)
    digest = study.scores()[0].digest
    record = web.get(f"/v1/scores/{digest}").json
    assert record["provenance"]["left_manifest"] == "1" * 64
    assert record["spec"]["pair"]["left"]["model"]["revision"] == study.embeddings[0].model.revision
    assert web.get(f"/v1/scores/{'0' * 32}").status_code == 404


def test_embeddings_are_those_with_a_manifest(
    web: FlaskClient, accept: Callable[..., Study], finish: Callable[[Study], None]
) -> None:
    study = accept()
    assert web.get("/v1/embeddings").json["items"] == []
    finish(study)
    rows = web.get("/v1/embeddings?modality=near").json["items"]
    assert [(row["dataset"], row["modality"], row["rows"]) for row in rows] == [("twin", "near", 24)]


@pytest.mark.parametrize(("form", "start"), [("svg", b"<?xml"), ("png", b"\x89PNG"), ("pdf", b"%PDF")])
def test_the_figure_of_a_study(
    web: FlaskClient, accept: Callable[..., Study], finish: Callable[[Study], None], form: str, start: bytes
) -> None:
    study = accept(models=("fake-small", "fake-large"))
    missing = web.get(f"/v1/studies/{study.id}/figures/scaling.{form}")
    assert (missing.status_code, missing.json["code"]) == (404, "object-missing")
    finish(study)
    figure = web.get(f"/v1/studies/{study.id}/figures/scaling.{form}")
    assert figure.status_code == 200
    assert figure.data.startswith(start)


def test_the_front_page_lists_studies_and_runs_no_script(
    web: FlaskClient, accept: Callable[..., Study], finish: Callable[[Study], None]
) -> None:
    study = accept(title="<script>alert(1)</script>")
    finish(study)
    page = web.get("/")
    assert page.mimetype == "text/html"
    assert "&lt;script&gt;" in page.text
    assert "<script>" not in page.text
    assert f"/v1/studies/{study.id}/figures/scaling.svg" in page.text
    assert page.headers["Content-Security-Policy"].startswith("default-src 'none'; style-src 'sha256-")


def test_models_show_their_family_and_hide_the_fake(web: FlaskClient) -> None:
    rows = web.get("/v1/models").json["items"]
    lite = [(row["name"], row["family"]) for row in rows if row["family"] == "efficientnet-lite"]
    assert lite == [(f"efficientnet-lite{i}", "efficientnet-lite") for i in range(3)]
    assert not any(row["family"] == "fake" for row in rows)
    assert web.get("/v1/models?family=fake").json["items"]


def test_datasets_say_which_are_simulated(web: FlaskClient) -> None:
    simulated = {row["name"]: row["simulated"] for row in web.get("/v1/datasets").json["items"]}
    assert simulated["mocksky"]
    assert not simulated["jwst_hsc"]
