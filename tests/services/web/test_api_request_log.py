"""One line for each request, under the id that its answer carries; no secret and no second line in it."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator

import pytest
from flask.testing import FlaskClient

from services.studies import Studies
from shared.log import JsonLines


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Iterator[list[dict[str, object]]]:
    """What the api logged, as its JSON lines, in order."""
    said: list[dict[str, object]] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(json.loads(JsonLines().format(record)))

    keep, log = Keep(), logging.getLogger("services.api")
    log.addHandler(keep)
    with caplog.at_level(logging.INFO, "services.api"):
        yield said
    log.removeHandler(keep)


def test_a_request_is_one_line_under_its_id(web: FlaskClient, lines: list[dict[str, object]]) -> None:
    answer = web.get("/v1/models?family=fake&token=secret", headers={"Authorization": "Bearer secret"})
    (line,) = lines
    assert (line["method"], line["path"], line["status"]) == ("GET", "/v1/models", 422)
    assert line["request"] == answer.headers["X-Request-Id"]
    assert isinstance(line["milliseconds"], int)
    assert "secret" not in json.dumps(line)


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ("job-7.a_B", True),
        ("a" * 64, True),
        ("a" * 65, False),
        ("-a", False),
        ("a b", False),
        ("a<script>", False),
        ("", False),
        ("é", False),
    ],
)
def test_an_id_is_taken_only_if_short_and_plain(web: FlaskClient, given: str, taken: bool) -> None:
    answered = web.get("/livez", headers={"X-Request-Id": given}).headers["X-Request-Id"]
    assert (answered == given) is taken
    assert re.fullmatch(r"[\w.-]{1,64}", answered, re.ASCII)


def test_every_line_of_a_request_has_its_id_and_the_next_has_another(
    web: FlaskClient, known: Studies, monkeypatch: pytest.MonkeyPatch, lines: list[dict[str, object]]
) -> None:
    def broken() -> None:
        logging.getLogger("services.api.studies").warning("something on the way")
        raise RuntimeError("a fault")

    monkeypatch.setattr(known, "list", broken)
    answers = [web.get("/v1/studies") for _ in range(2)]
    assert [answer.status_code for answer in answers] == [500, 500]
    ids = [answer.headers["X-Request-Id"] for answer in answers]
    assert [line["request"] for line in lines] == [ids[0], ids[0], ids[1], ids[1]]
    logging.getLogger("services.api").info("between requests")
    assert "request" not in lines[-1]


def test_a_path_cannot_make_a_second_line(web: FlaskClient, lines: list[dict[str, object]]) -> None:
    web.get("/v1/%0aERROR forged%1b[2J" + "x" * 5000)
    (line,) = lines
    assert str(line["path"]).startswith("/v1/%0AERROR%20forged%1B")
    assert len(str(line["path"])) < 700


def test_what_machines_ask_all_the_time_is_not_said(web: FlaskClient, lines: list[dict[str, object]]) -> None:
    for path in ("/livez", "/readyz", "/metrics"):
        web.get(path)
    assert lines == []
