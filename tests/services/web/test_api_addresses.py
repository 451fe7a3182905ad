"""Every name in an address is refused by the same two answers, 404 or 422, whatever it is made of."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from werkzeug.datastructures import Headers

from services.api import ENDPOINTS
from shared.contracts import Study
from shared.store import MemoryStore

PROBLEM = "application/problem+json"
NAMES = (
    "..",
    "%2e%2e",
    "%2e%2e%2f%2e%2e%2fetc%2fpasswd",
    "..%2f..%2f..%2fetc%2fpasswd",
    "..%5c..%5cwindows",
    "%252e%252e%252fsecrets",
    "....%2f%2f",
    "%2fetc%2fpasswd",
    "~",
    ".",
    "a%00b",
    "%00",
    "a%0d%0aSet-Cookie:%20x=1",
    "%07%08%1b[31m",
    "%7f",
    "%c3%a9toile",
    "%f0%9f%8c%8c",
    "%e2%80%ae%e2%80%8b",
    "%ef%bc%8e%ef%bc%8e",
    "%ff%fe",
    "%c0%ae%c0%ae",
    "%ed%a0%80",
    "%",
    "%zz",
    "*",
    "%3cscript%3ealert(1)%3c%2fscript%3e",
    "{{7*7}}",
    "%24%7bjndi:ldap://x%7d",
    "' OR 1=1--",
    "a b",
    "CON",
    "-1",
    "0",
    "null",
    "manifest.json",
    "x" * 300,
    "x" * 5_000,
    "%41" * 2_000,
    "0" * 31,
    "0" * 33,
    "G" * 32,
    "A" * 32,
)
# Every place where a name stands in an address: the method, and the address with `{}` there.
PLACES = sorted(
    {
        (
            endpoint.method,
            re.sub(r"\{\w+\}", "0" * 32, endpoint.path.replace(f"{{{name}}}", "{}").replace("{form}", "png")),
        )
        for endpoint in ENDPOINTS
        for name in re.findall(r"\{(\w+)\}", endpoint.path.replace("{form}", "png"))
    }
)


def test_every_place_of_a_name_is_tried() -> None:
    addresses = {address for _, address in PLACES}
    assert {"/v1/studies/{}", "/v1/studies/{}/jobs", "/v1/scores/{}", "/v1/problems/{}"} <= addresses
    assert any("/figures/{}.png" in address for address in addresses)
    assert all(address.count("{}") == 1 for address in addresses)


@pytest.mark.parametrize("name", NAMES)
def test_a_name_that_cannot_be_is_404_or_422_and_nothing_else(web: FlaskClient, store: MemoryStore, name: str) -> None:
    for method, address in PLACES:
        answer = web.open(address.format(name), method=method)
        assert answer.status_code in (404, 422), address
        assert answer.mimetype == PROBLEM, address
        assert "Traceback" not in answer.text
        assert "Set-Cookie" not in answer.headers
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert not list(store.keys(""))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(min_size=1, max_size=60))
def test_no_text_whatever_is_a_study(web: FlaskClient, name: str) -> None:
    answer = web.get(
        "/v1/studies/name/jobs", environ_overrides={"PATH_INFO": f"/v1/studies/{name}/jobs".encode().decode("latin-1")}
    )
    assert answer.status_code in (404, 422)
    assert answer.mimetype == PROBLEM


@pytest.mark.parametrize("value", ["../../etc/passwd", "a\x00b", "é☃\u202e", "x" * 5000, "\r\nX: y", "{{7*7}}", "*"])
def test_a_name_in_a_query_finds_nothing_or_is_refused(
    web: FlaskClient, accept: Callable[..., Study], finish: Callable[[Study], None], value: str
) -> None:
    finish(accept())
    for parameter in ("dataset", "model", "modality", "family", "kind", "cursor", "format", "limit", "nothing"):
        answer = web.get("/v1/scores", query_string={parameter: value})
        if answer.status_code == 200:
            assert answer.json == {"items": [], "next": None}, parameter
        else:
            assert answer.status_code in (404, 422), parameter
            assert answer.mimetype == PROBLEM


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Accept", "*/*;q=x, ../../etc, \x7f"),
        ("Accept", "text/csv;" * 500),
        ("If-None-Match", '"' + "x" * 5000),
        ("If-None-Match", "é"),
        ("If-Modified-Since", "yesterday"),
        ("Range", "bytes=0-0,5-,-1"),
        ("Content-Type", "application/json; charset=utf-7"),
        ("Authorization", "Bearer"),
        ("Authorization", 'Digest username="x", realm'),
        ("Authorization", "Basic !!!!"),
        ("Cookie", "session=" + "x" * 4000),
        ("X-Forwarded-For", "127.0.0.1, é"),
        ("X-Forwarded-Host", "evil.example"),
        ("X-HTTP-Method-Override", "DELETE"),
        ("Forwarded", "for=127.0.0.1;host=evil.example"),
        ("Content-Length", "x"),
        ("Transfer-Encoding", "gzip"),
        ("Expect", "the unexpected"),
    ],
)
def test_a_header_that_means_nothing_does_nothing(web: FlaskClient, name: str, value: str) -> None:
    answer = web.get("/v1/models", headers=Headers([(name, value)]))
    assert answer.status_code in (200, 406)
    assert "evil.example" not in answer.text + str(answer.headers)
    assert web.get("/livez").status_code == 200
