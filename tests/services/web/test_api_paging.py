"""Pages, copies kept by readers, and the OpenAPI document."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st
from openapi_spec_validator import validate as validate_openapi

from services.api.paging import cut_page
from shared import keys
from shared.contracts import Study
from shared.store import MemoryStore

NAMES = st.text("abc", max_size=3)
KEYS = st.tuples(NAMES, st.integers(-3, 3), st.floats(allow_nan=False, allow_infinity=False))


@given(st.sets(KEYS), st.sets(KEYS), st.integers(1, 5), st.booleans())
def test_a_walk_meets_every_item_once_whatever_is_added_meanwhile(
    items: set[tuple[str, int, float]], added: set[tuple[str, int, float]], limit: int, newest_first: bool
) -> None:
    there, late, met, cursor = set(items), sorted(added), list[tuple[str, int, float]](), None
    while True:
        page, cursor = cut_page(there, lambda item: item, limit=limit, cursor=cursor, newest_first=newest_first)
        assert len(page) <= limit
        met += page
        if late:
            there.add(late.pop())
        if cursor is None:
            break
    assert met == sorted(met, reverse=newest_first)
    assert len(set(met)) == len(met), "an item was met twice"
    assert items <= set(met)


def test_following_next_lists_all_studies_newest_first(web: FlaskClient, accept: Callable[..., Study]) -> None:
    ids = {accept(limit=limit).id for limit in range(12, 17)}
    address, met = "/v1/studies?limit=2", list[str]()
    while address:
        answer = web.get(address)
        met += [item["id"] for item in answer.json["items"]]
        address = answer.json["next"]
        link = answer.headers.get("Link")
        assert link == (f'<{address}>; rel="next"' if address else None)
        if len(met) < 6:
            accept(limit=16 + len(met))
    assert len(met) == len(set(met))
    assert ids <= set(met)


@pytest.mark.parametrize("cursor", ["x", "!", "e30", "W10", "W251bGxd", "W1t9XV0"])  # junk, {}, [], [null], [[}]]
def test_a_cursor_that_no_list_gave_is_refused_by_an_empty_list_too(web: FlaskClient, cursor: str) -> None:
    for address in ("/v1/studies", "/v1/scores", "/v1/embeddings", "/v1/models"):
        answer = web.get(f"{address}?cursor={cursor}")
        assert (answer.status_code, answer.json["code"]) == (422, "bad-input"), address


def test_pages_of_scores_join_to_all_of_them_and_read_their_own_records_alone(
    web: FlaskClient,
    store: MemoryStore,
    accept: Callable[..., Study],
    finish: Callable[[Study], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    study = accept(models=("fake-small", "fake-large"))
    finish(study)
    read: list[str] = []
    get = store.get
    monkeypatch.setattr(store, "get", lambda key: (read.append(key), get(key))[1])
    for first in ("/v1/scores", f"/v1/studies/{study.id}/scores"):
        whole = web.get(first).json["items"]
        assert len(whole) == len(study.pairs) == 4
        address, met = f"{first}?limit=1", list[dict[str, object]]()
        while address:
            read.clear()
            page = web.get(address).json
            assert sum(map(keys.is_score, (key for key in read if key.startswith(keys.SCORES)))) <= 3
            met, address = met + page["items"], page["next"]
        assert met == whole
    read.clear()
    digest = study.scores()[-1].digest
    assert web.get(f"/v1/scores/{digest}").json["spec"]["pair"]["left"]["dataset"]["name"] == "twin"
    assert len([key for key in read if key.startswith(keys.SCORES)]) == 1


def test_filters_go_with_the_cursor(
    web: FlaskClient, accept: Callable[..., Study], finish: Callable[[Study], None]
) -> None:
    finish(accept(models=("fake-small", "fake-large")))
    page = web.get("/v1/scores?kind=intramodal&limit=1").json
    assert "kind=intramodal" in page["next"]
    rest = web.get(page["next"]).json
    rows = page["items"] + rest["items"]
    assert [(row["kind"], row["left_modality"]) for row in rows] == [("intramodal", "far"), ("intramodal", "near")]
    assert rest["next"] is None


def test_a_copy_that_is_still_right_is_not_sent_again(
    web: FlaskClient, accept: Callable[..., Study], finish: Callable[[Study], None]
) -> None:
    address = f"/v1/studies/{accept().id}/scores"
    tag = web.get(address).headers["ETag"]
    same = web.get(address, headers={"If-None-Match": tag})
    assert (same.status_code, same.data) == (304, b"")
    finish(accept())
    changed = web.get(address, headers={"If-None-Match": tag})
    assert changed.status_code == 200
    assert changed.headers["ETag"] != tag


def test_every_answer_has_the_guarding_headers(web: FlaskClient, accept: Callable[..., Study]) -> None:
    for path in ("/", "/livez", "/v1/studies", "/v1/scores?format=csv", "/v1/nowhere"):
        headers = web.get(path).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Content-Security-Policy"].startswith("default-src 'none'")
        assert headers["Referrer-Policy"] == "no-referrer"


def test_the_openapi_document_is_valid_and_names_every_route(web: FlaskClient, app: Flask) -> None:
    document = web.get("/v1/openapi.json").json
    validate_openapi(document)
    routes = {
        (re.sub(r"<(?:[^<>]*:)?(\w+)>", r"{\1}", rule.rule), method.lower())
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    described = {(path, method) for path, methods in document["paths"].items() for method in methods}
    assert described == routes
    operations = [operation for methods in document["paths"].values() for operation in methods.values()]
    assert len({operation["operationId"] for operation in operations}) == len(operations)


def test_the_openapi_document_knows_the_request(web: FlaskClient) -> None:
    document = web.get("/v1/openapi.json").json
    reference = document["paths"]["/v1/studies"]["post"]["requestBody"]["content"]["application/json"]["schema"]["$ref"]
    schema = document["components"]["schemas"][reference.rsplit("/", 1)[1]]
    assert set(schema["required"]) == {"datasets"}
