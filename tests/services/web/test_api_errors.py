"""Every error is problem details: what was wrong, where, and what to do; a trace never leaves."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient

from services.studies import Studies
from shared.errors import StoreUnavailable
from shared.store import MemoryStore

Body = dict[str, Any]
PROBLEM = "application/problem+json"


def refused(web: FlaskClient, body: Body) -> Body:
    answer = web.post("/v1/studies", json=body)
    assert (answer.status_code, answer.mimetype) == (422, PROBLEM)
    problem: Body = answer.json
    assert problem["status"] == 422
    return problem


def test_an_unknown_model_is_answered_with_near_names(web: FlaskClient, body: Callable[..., Body]) -> None:
    problem = refused(web, body(models=("efficientnet-lit0",)))
    assert problem["type"] == "/v1/problems/unknown-name"
    assert problem["detail"] == "there is no model 'efficientnet-lit0'"
    assert "efficientnet-lite0" in problem["remedy"]


def test_a_refused_field_is_pointed_at(web: FlaskClient, body: Callable[..., Body]) -> None:
    given = body()
    given["scoring"] = {"k": 0}
    given["datasets"][0]["modalities"]["near"]["bands"] = "near"
    given["modles"] = ["x"]
    problem = refused(web, given)
    assert problem["code"] == "bad-study"
    assert [error["pointer"] for error in problem["errors"]] == [
        "#/modles",
        "#/datasets/0/modalities/near/bands",
        "#/scoring/k",
    ]


@pytest.mark.parametrize(
    ("change", "pointer", "remedy"),
    [
        ({"modles": ["x"]}, "#/modles", "did you mean models?"),
        ({"scoring": {"confidense": 0.9}}, "#/scoring/confidense", "did you mean confidence?"),
        ({"pairs": ["crosmodal"]}, "#/pairs/0", "did you mean crossmodal?"),
        ({"models": []}, "#/models", None),
        ({"models": ["Upper Case"]}, "#/models/0", None),
        ({"a/b~c": 1}, "#/a~1b~0c", None),
    ],
)
def test_near_fields_are_suggested(
    web: FlaskClient, body: Callable[..., Body], change: Body, pointer: str, remedy: str | None
) -> None:
    problem = refused(web, {**body(), **change})
    assert [error["pointer"] for error in problem["errors"]] == [pointer]
    assert problem.get("remedy") == remedy


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b'{"models": [', "not JSON"),
        (b"", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"scoring": NaN}', "NaN"),
        (b'{"models": ["a"], "models": ["b"]}', "'models' stands twice"),
    ],
)
def test_malformed_json_is_400(web: FlaskClient, raw: bytes, words: str) -> None:
    answer = web.post("/v1/studies", data=raw, content_type="application/json")
    assert (answer.status_code, answer.mimetype) == (400, PROBLEM)
    assert words in answer.json["detail"]


def test_a_body_that_is_no_object_is_refused(web: FlaskClient) -> None:
    answer = web.post("/v1/studies", json=3)
    assert (answer.status_code, answer.json["errors"][0]["pointer"]) == (422, "#")


def test_a_folder_outside_the_roots_is_refused(web: FlaskClient, body: Callable[..., Body]) -> None:
    given = body()
    given["datasets"][0]["folder"] = "/etc"
    assert "SAMESKY_DATASET_ROOTS" in refused(web, given)["expected"]


def test_k_of_all_objects_is_refused(web: FlaskClient, body: Callable[..., Body]) -> None:
    assert refused(web, {**body(), "scoring": {"k": 24}})["code"] == "too-few-objects"


def test_probes_and_metrics_are_not_mistaken_for_one_another(web: FlaskClient, body: Callable[..., Body]) -> None:
    misplaced = refused(web, {**body(), "scoring": {"metrics": ["ridge-probe"]}})
    assert (misplaced["code"], misplaced["remedy"]) == ("unknown-name", "name it in `probes`")
    assert refused(web, {**body(), "scoring": {"probes": ["mknn"]}})["remedy"] == "name it in `metrics`"
    assert "ridge-probe" in refused(web, {**body(), "scoring": {"probes": ["rigde-probe"]}})["remedy"]


def test_what_http_refuses_is_a_problem_too(web: FlaskClient) -> None:
    for answer, status in (
        (web.get("/nowhere"), 404),
        (web.delete("/v1/studies"), 405),
        (web.post("/v1/studies", data=b"x" * (1024 * 1024 + 1), content_type="application/json"), 413),
        (web.post("/v1/studies", data=b"models: []", content_type="application/yaml"), 415),
        (web.get("/v1/scores", headers={"Accept": "application/xml"}), 406),
    ):
        assert (answer.status_code, answer.mimetype) == (status, PROBLEM)
        assert answer.json["status"] == status
        assert answer.json["type"] == "about:blank"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "POST" in web.delete("/v1/studies").headers["Allow"]


@pytest.mark.parametrize("study_id", ["0" * 32, "not-an-id", "%2e%2e%2fsecrets", "x" * 5000])
def test_a_study_that_is_not_there_is_404(web: FlaskClient, study_id: str) -> None:
    for part in ("", "/jobs", "/pairs", "/scores", "/figures/scaling.png"):
        answer = web.get(f"/v1/studies/{study_id}{part}")
        assert (answer.status_code, answer.mimetype) == (404, PROBLEM)


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=ten", "limit"),
        ("limit=1&limit=2", "limit"),
        ("cursor=!!", "cursor"),
        ("cursor=WzFd", "cursor"),
        ("knd=crossmodal", "knd"),
        ("format=xlsx", "format"),
    ],
)
def test_a_bad_query_names_its_parameter(
    web: FlaskClient, accept: Callable[..., Any], finish: Callable[..., None], query: str, parameter: str
) -> None:
    finish(accept())
    answer = web.get(f"/v1/scores?{query}")
    assert (answer.status_code, answer.mimetype) == (422, PROBLEM)
    assert [error["parameter"] for error in answer.json["errors"]] == [parameter]


def test_a_store_that_is_away_is_503_with_a_time_to_try_again(
    web: FlaskClient, store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(key: str) -> bool:
        raise StoreUnavailable("the object store did not answer", "", "start it")

    monkeypatch.setattr(store, "exists", away)
    monkeypatch.setattr(store, "get", away)
    for path in (f"/v1/studies/{'0' * 32}", "/readyz"):
        answer = web.get(path)
        assert (answer.status_code, answer.mimetype) == (503, PROBLEM)
        assert int(answer.headers["Retry-After"]) > 0
    assert "store" in web.get("/readyz").json["detail"]
    assert web.get("/livez").status_code == 200


def test_ready_when_redis_and_store_answer(web: FlaskClient) -> None:
    ready = web.get("/readyz")
    assert (ready.status_code, ready.json["status"], ready.json["missing"]) == (200, "ready", [])


def test_a_fault_of_ours_is_logged_and_not_sent(
    web: FlaskClient, known: Studies, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> None:
        raise RuntimeError("secret inside")

    monkeypatch.setattr(known, "list", broken)
    with caplog.at_level(logging.ERROR):
        answer = web.get("/v1/studies")
    assert (answer.status_code, answer.mimetype, answer.json["code"]) == (500, PROBLEM, "unexpected")
    assert "secret" not in answer.text
    assert "secret inside" in caplog.text


def test_the_type_of_a_problem_can_be_looked_up(web: FlaskClient) -> None:
    kind = web.get("/v1/problems/store-unavailable").json
    assert kind == {"code": "store-unavailable", "title": "The object store did not answer", "retryable": True}
    assert web.get("/v1/problems/no-such").status_code == 404
