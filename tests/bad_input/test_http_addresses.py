"""Addresses asked over HTTP: paths, queries, cursors and methods are answered, or refused with a problem.

Through the WSGI application, on a real Redis and a store of files; after each refusal both are as they were.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given
from hypothesis import settings as tuned
from hypothesis import strategies as some

JSON = "application/json"
Plain = dict[str, Any]
Check = Callable[..., Plain]

STUDY = "0" * 32
LISTS = ("studies", "models", "datasets", "embeddings", "scores", "studies/{study}/jobs", "studies/{study}/pairs")
QUERIES = [
    ("a limit of nought", "limit=0", "limit"),
    ("a limit below nought", "limit=-1", "limit"),
    ("a limit of 1,001", "limit=1001", "limit"),
    ("a limit that is a text", "limit=ten", "limit"),
    ("a limit without a value", "limit=", "limit"),
    ("a limit of 1,000 digits", f"limit={'9' * 1000}", "limit"),
    ("a limit that is not a number", "limit=NaN", "limit"),
    ("a limit given twice", "limit=1&limit=2", "limit"),
    ("a cursor nobody gave", "cursor=!!", "cursor"),
    ("a cursor of another list", "cursor=W251bGxd", "cursor"),
    ("a cursor of an object", "cursor=e30", "cursor"),
    ("a cursor of NaN", "cursor=W05hTl0", "cursor"),
    ("a cursor too long", f"cursor={'A' * 2049}", "cursor"),
    ("a cursor given twice", "cursor=a&cursor=b", "cursor"),
    ("a parameter nobody takes", "lmit=3", "lmit"),
    ("a parameter without letters", "=3", ""),
    ("a parameter with a NUL", "a%00b=3", "a\0b"),
]


@pytest.mark.parametrize("name", LISTS)
@pytest.mark.parametrize(("query", "parameter"), [pytest.param(*case, id=name) for name, *case in QUERIES])
@pytest.mark.usefixtures("nothing_written")
def test_a_query_that_cannot_be_used_is_422(
    web: FlaskClient, problem_of: Check, accepted: str, name: str, query: str, parameter: str
) -> None:
    problem = problem_of(web.get(f"/v1/{name.format(study=accepted)}?{query}"), 422, "")
    assert [error["parameter"] for error in problem["errors"]] == [parameter]


FILTERS = [
    ("a format nobody has", "/v1/scores?format=xlsx", 422, "format"),
    ("a format given twice", "/v1/scores?format=csv&format=json", 422, "is given twice"),
    ("a kind nobody has", "/v1/scores?kind=crosmodal", 422, "kind"),
    ("a dataset that climbs", "/v1/scores?dataset=../../etc", 404, "cannot be a name"),
    ("a dataset of embeddings that climbs", "/v1/embeddings?dataset=..%2F..", 404, "cannot be a name"),
    ("a dataset with a NUL", "/v1/embeddings?dataset=a%00", 404, "cannot be a name"),
    ("a dataset of 1,000 letters", f"/v1/scores?dataset={'x' * 1000}", 404, "cannot be a name"),
    ("a study nobody has", f"/v1/studies/{STUDY}", 404, "there is no study"),
    ("a study that climbs", "/v1/studies/..%2f..%2fetc%2fpasswd", 404, "not found"),
    ("a study with a NUL", "/v1/studies/%00", 404, "is not a digest"),
    ("a study of 10,000 letters", f"/v1/studies/{'a' * 10_000}", 404, "is not a digest"),
    ("a study of other letters", "/v1/studies/%D0%B0", 404, "is not a digest"),
    ("a study of broken letters", "/v1/studies/%ff%fe", 404, "is not a digest"),
    ("the jobs of a study nobody has", f"/v1/studies/{STUDY}/jobs", 404, "there is no study"),
    ("the pairs of a study nobody has", f"/v1/studies/{STUDY}/pairs", 404, "there is no study"),
    ("the scores of a study nobody has", f"/v1/studies/{STUDY}/scores?format=csv", 404, "there is no study"),
    ("a figure nobody draws", f"/v1/studies/{STUDY}/figures/scalling.png", 404, "scaling"),
    ("a figure in no form", f"/v1/studies/{STUDY}/figures/scaling.exe", 404, "not found"),
    ("a figure that climbs", f"/v1/studies/{STUDY}/figures/..%2f..%2fx.png", 404, "not found"),
    ("a dataset of broken letters", "/v1/scores?dataset=%ff%fe", 404, "cannot be a name"),
    ("a score nobody has", f"/v1/scores/{STUDY}", 404, "there is no score"),
    ("a score with a NUL", "/v1/scores/%00", 404, "there is no score"),
    ("a problem nobody has", "/v1/problems/unknown-nam", 404, "unknown-name"),
    ("another version", "/v2/studies", 404, "not found"),
    ("a folder above", "/v1/../etc/passwd", 404, "not found"),
    ("a path of 10,000 letters", f"/{'x' * 10_000}", 404, "not found"),
]


@pytest.mark.parametrize(("path", "status", "says"), [pytest.param(*case, id=name) for name, *case in FILTERS])
@pytest.mark.usefixtures("nothing_written")
def test_an_address_that_cannot_be_answered(
    web: FlaskClient, problem_of: Check, path: str, status: int, says: str
) -> None:
    problem_of(web.get(path), status, says)


METHODS = [
    (method, path)
    for path in ("/v1/studies", f"/v1/studies/{STUDY}", "/v1/scores", "/livez")
    for method in ("PUT", "PATCH", "DELETE", "TRACE", "POST", "BREW")
    if (method, path) != ("POST", "/v1/studies")
]


@pytest.mark.parametrize(("method", "path"), METHODS)
@pytest.mark.usefixtures("nothing_written")
def test_a_method_that_is_not_taken_is_405(web: FlaskClient, problem_of: Check, method: str, path: str) -> None:
    answer = web.open(path, method=method, data=b"x" * 10)
    problem_of(answer, 405, "Method Not Allowed")
    assert "GET" in answer.headers["Allow"]


NUMBERS = some.lists(some.none() | some.integers() | some.floats() | some.text(max_size=9), max_size=4)
QUIET = [HealthCheck.function_scoped_fixture]


@tuned(max_examples=150, deadline=None, derandomize=True, database=None, suppress_health_check=QUIET)
@given(some.binary(max_size=60) | NUMBERS.map(lambda numbers: json.dumps(numbers).encode()))
def test_any_cursor_is_one_the_list_gave_or_problem_of(web: FlaskClient, problem_of: Check, inside: bytes) -> None:
    for cursor in (base64.urlsafe_b64encode(inside).decode().rstrip("="), inside.decode("latin-1")):
        answer = web.get("/v1/studies", query_string={"cursor": cursor})
        assert answer.status_code in (200, 422), cursor
