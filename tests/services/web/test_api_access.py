"""Who may write and who may read, asked over the whole table of endpoints, so that a new one is asked too."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st
from openapi_spec_validator import validate as validate_openapi

from services.api import ENDPOINTS, create_app
from services.api.access import READS, Access, is_loopback
from services.seeing import Seeing
from services.studies import Studies
from shared.contracts import Study
from shared.errors import BadSetting
from shared.settings import Settings
from shared.store import MemoryStore

Body = dict[str, Any]
Door = Callable[..., FlaskClient]
PROBLEM = "application/problem+json"
OLD, NEW = "the-old-token-of-the-tests", "the-new-token-of-the-tests"


def bearing(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.fixture
def door(known: Studies, seeing: Seeing) -> Door:
    """Opens an api with the two tokens, and with other settings by name."""

    def open_(tokens: str = f"{OLD},{NEW}", **others: str) -> FlaskClient:
        given = {"SAMESKY_TOKENS": tokens, **{f"SAMESKY_{name.upper()}": text for name, text in others.items()}}
        return create_app(known, seeing, Settings.read(given)).test_client()

    return open_


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "PURGE"])
def test_no_method_that_writes_passes_without_a_token(door: Door, method: str) -> None:
    web = door()
    strangers = ({}, bearing("not-the-right-token-at-all"), {"Authorization": OLD}, {"Authorization": f"Basic {OLD}"})
    for path in {endpoint.path for endpoint in ENDPOINTS} | {"/nowhere", "/v1/studies/x/cancel"}:
        for headers in strangers:
            answer = web.open(path, method=method, headers=headers)
            assert (answer.status_code, answer.mimetype, answer.json["code"]) == (401, PROBLEM, "unauthorised"), path
            assert answer.headers["WWW-Authenticate"].startswith("Bearer")
        assert web.open(path, method=method, headers=bearing(NEW)).status_code != 401, path


def test_every_token_lets_in_until_it_is_taken_away(door: Door, body: Callable[..., Body]) -> None:
    web = door()
    for token in (OLD, NEW):
        assert web.post("/v1/studies", json=body(), headers=bearing(token)).status_code == 202
    assert web.post("/v1/studies", json=body(), headers={"Authorization": f"bearer  {OLD}"}).status_code == 202
    rotated = door(NEW)
    assert rotated.post("/v1/studies", json=body(), headers=bearing(OLD)).status_code == 401
    assert rotated.post("/v1/studies", json=body(), headers=bearing(NEW)).status_code == 202


@pytest.mark.parametrize(
    "near", [OLD[:-1], OLD + "x", OLD.upper(), "", f"{OLD},{NEW}", f"{OLD} {NEW}", "é" * 24, "x" * 5000]
)
def test_what_is_nearly_a_token_is_none(door: Door, near: str, store: MemoryStore) -> None:
    answer = door().post("/v1/studies", data=b"never read", headers=bearing(near))
    assert answer.status_code == 401
    assert not list(store.keys(""))
    assert near == "" or near not in answer.text


def test_a_stranger_is_refused_before_the_body_is_read(door: Door) -> None:
    class Untouched:
        def read(self, *_: object) -> bytes:
            pytest.fail("the body was read")

        readline = read

    environ = {"wsgi.input": Untouched(), "CONTENT_LENGTH": "9"}
    answer = door().post("/v1/studies", environ_overrides=environ, content_type="application/json")
    assert answer.status_code == 401


def test_reads_are_open_unless_closed(door: Door, accept: Callable[..., Study]) -> None:
    study = accept(title="A study nobody may see")
    paths = [endpoint.path.replace("{study}", study.id) for endpoint in ENDPOINTS if endpoint.method in READS]
    opened, closed = door(), door(reads="closed")
    assert {path for path in paths if opened.get(path).status_code == 401} == set()
    free = {path for path in paths if closed.get(path).status_code != 401}
    assert free <= {"/", "/livez", "/readyz"}
    assert "/" in free
    assert {path for path in paths if closed.get(path, headers=bearing(OLD)).status_code == 401} == set()
    assert closed.get("/metrics").status_code == 401
    assert closed.open(paths[0], method="HEAD").status_code == 401
    assert study.id not in closed.get("/").text
    assert "nobody may see" in closed.get("/", headers=bearing(OLD)).text
    assert "nobody may see" in opened.get("/").text


def test_reads_closed_without_a_token_is_refused(known: Studies, seeing: Seeing) -> None:
    with pytest.raises(BadSetting, match="SAMESKY_READS='closed' without a token"):
        create_app(known, seeing, Settings.read({"SAMESKY_READS": "closed"}))


@given(st.text(max_size=60), st.sampled_from(["Bearer", "bearer", "Basic", "Bearer Bearer", ""]))
def test_nothing_but_a_token_lets_in(text: str, scheme: str) -> None:
    access = Access.of(Settings.read({"SAMESKY_TOKENS": f"{OLD},{NEW}"}))
    assert access.bearer(f"{scheme} {text}") is None
    assert access.bearer(f"Bearer {OLD}{text}") == (None if text.strip() else 0)


def test_every_token_is_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[bytes] = []

    def compare(token: bytes, offered: bytes) -> bool:
        compared.append(token)
        return token == offered

    monkeypatch.setattr("services.api.access.hmac.compare_digest", compare)
    access = Access.of(Settings.read({"SAMESKY_TOKENS": f"{OLD},{NEW}"}))
    for header, place in ((f"Bearer {OLD}", 0), (f"Bearer {NEW}", 1), ("Bearer neither", None), (None, None)):
        compared.clear()
        assert access.bearer(header) == place
        assert compared == [OLD.encode(), NEW.encode()]


def test_too_many_writes_are_put_off(door: Door, body: Callable[..., Body]) -> None:
    web = door(writes_per_minute="3")
    for _ in range(5):
        assert web.post("/v1/studies", json=body()).status_code == 401, "a stranger uses up nobody's writes"
    answers = [web.post("/v1/studies", json=body(), headers=bearing(OLD)) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [202, 202, 202, 429]
    assert (answers[-1].mimetype, answers[-1].json["code"]) == (PROBLEM, "too-many-writes")
    assert 0 < int(answers[-1].headers["Retry-After"]) <= 60
    assert web.post("/v1/studies", json=body(), headers=bearing(NEW)).status_code == 202, "each token counts for itself"
    assert all(web.get("/v1/studies").status_code == 200 for _ in range(5)), "reads are not counted"


def test_without_tokens_writes_are_counted_by_address(door: Door) -> None:
    web = door("", writes_per_minute="1")
    there = {"REMOTE_ADDR": "127.0.0.2"}
    codes = [web.post("/v1/studies", environ_overrides=given).status_code for given in ({}, {}, there)]
    assert codes == [415, 429, 415]


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8765", "127.0.0.1.evil.example", "[::2]", "[", "10.0.0.1"]
)
def test_without_tokens_a_name_that_strangers_gave_this_machine_is_refused(door: Door, host: str) -> None:
    for method in ("GET", "POST"):
        answer = door("").open("/v1/studies", method=method, headers={"Host": host})
        assert (answer.status_code, answer.mimetype) in ((403, PROBLEM), (400, PROBLEM))
    assert door().get("/v1/studies", headers={"Host": "samesky.example"}).status_code == 200


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1:8765", "127.9.9.9", "[::1]:8765"])
def test_without_tokens_this_machine_is_answered(door: Door, host: str) -> None:
    assert door("").get("/v1/studies", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost.evil.example", "http://["])
def test_without_tokens_no_page_of_another_site_may_write(door: Door, origin: str, body: Callable[..., Body]) -> None:
    web = door("")
    assert web.post("/v1/studies", json=body(), headers={"Origin": origin}).status_code == 403
    own = {"Origin": "http://localhost:8765"}
    assert web.post("/v1/studies", json=body(), headers=own).status_code == 202
    assert door().post("/v1/studies", json=body(), headers={"Origin": origin, **bearing(OLD)}).status_code == 202


def test_what_is_loopback() -> None:
    assert all(is_loopback(host) for host in ("127.0.0.1", "127.1.2.3", "::1", "localhost", "LocalHost"))
    assert not any(
        is_loopback(host) for host in ("0.0.0.0", "::", "10.0.0.1", "", "localhost.evil.example", "::ffff:1")
    )


def test_no_other_origin_is_let_in(door: Door, body: Callable[..., Body]) -> None:
    asked = {
        "Origin": "https://evil.example",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization, content-type",
    }
    web = door()
    answers = [
        web.open(path, method=method, headers=asked) for path in ("/", "/v1/studies") for method in ("GET", "OPTIONS")
    ]
    answers.append(web.post("/v1/studies", json=body(), headers={**asked, **bearing(OLD)}))
    answers.append(web.post("/v1/studies", json=body(), headers=asked))
    for answer in answers:
        assert not [name for name, _ in answer.headers if name.lower().startswith("access-control-")]


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/"), ("GET", "/v1/models"), ("POST", "/v1/studies"), ("GET", "/x")]
)
def test_every_answer_is_guarded_in_the_browser(door: Door, method: str, path: str) -> None:
    headers = door().open(path, method=method).headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Content-Security-Policy"].startswith("default-src 'none'; ")
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert "Set-Cookie" not in headers


def test_the_openapi_document_says_who_needs_a_token(door: Door) -> None:
    def guarded(web: FlaskClient) -> set[tuple[str, str]]:
        document = web.get("/v1/openapi.json", headers=bearing(OLD)).json
        validate_openapi(document)
        assert document["components"]["securitySchemes"]["token"]["scheme"] == "bearer"
        assert OLD not in str(document)
        return {
            (method, path)
            for path, methods in document["paths"].items()
            for method, operation in methods.items()
            if operation.get("security") == [{"token": []}] and "401" in operation["responses"]
        }

    writes = {(endpoint.method.lower(), endpoint.path) for endpoint in ENDPOINTS if endpoint.method not in READS}
    assert guarded(door("")) == set()
    assert guarded(door()) == writes
    closed = guarded(door(reads="closed"))
    assert closed >= writes | {("get", "/v1/scores")}
    assert not closed & {("get", "/"), ("get", "/livez"), ("get", "/readyz")}


def test_no_secret_is_logged_or_answered(
    door: Door, known: Studies, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> None:
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(known, "list", broken)
    web = door(reads="closed", writes_per_minute="1")
    with caplog.at_level(logging.DEBUG):
        answers = [web.get("/v1/studies", headers=bearing(OLD))]
        answers += [web.post("/v1/studies", headers=bearing(OLD)) for _ in range(2)]
        answers.append(web.post("/v1/studies", headers=bearing(OLD + "x")))
    assert [answer.status_code for answer in answers] == [500, 415, 429, 401]
    assert "a fault of ours" in caplog.text
    for text in (caplog.text, *(answer.text + str(answer.headers) for answer in answers)):
        assert OLD not in text
        assert NEW not in text
