"""The client against the real api, in this process and once over a real socket."""

from __future__ import annotations

import ast
import io
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import httpx
import pyarrow.parquet as pq
import pytest
import yaml
from flask import Flask

from samesky import Client
from services.api import create_app
from services.field_errors import validate
from services.seeing import Seeing
from services.studies import Studies
from shared.contracts import Study
from shared.errors import (
    ApiUnavailable,
    BadSetting,
    BadStudy,
    StoreUnavailable,
    TooFewObjects,
    TooManyWrites,
    Unauthorised,
    UnknownName,
    error_kinds,
)
from shared.progress import StudyProgress
from shared.requests import StudyRequest
from shared.settings import Settings
from shared.states import State
from shared.store import MemoryStore

Body = dict[str, Any]


@pytest.fixture
def client(app: Flask) -> Iterator[Client]:
    with Client("http://localhost", transport=httpx.WSGITransport(app)) as opened:
        yield opened


def test_a_mapping_a_request_and_a_file_are_one_study(
    client: Client, body: Callable[..., Body], tmp_path: Path
) -> None:
    file = tmp_path / "twins.yaml"
    file.write_text(yaml.safe_dump(body(), sort_keys=False))
    ids = {client.submit(study).id for study in (body(), validate(StudyRequest, body()), file, str(file))}
    assert len(ids) == 1
    (study_id,) = ids
    assert client.status(study_id).state is State.QUEUED
    assert [study.id for study in client.studies()] == [study_id]


def test_results_come_back_whole(client: Client, accept: Callable[..., Study], finish: Callable[[Study], None]) -> None:
    study = accept(models=("fake-small", "fake-large"))
    finish(study)
    assert [job.state for job in client.jobs(study.id)] == [State.DONE] * 4
    assert [pair.state for pair in client.pairs(study.id)] == [State.DONE] * 4
    rows = client.scores(study.id)
    without_q = [{name: cell for name, cell in row.items() if name != "q_value"} for row in rows]
    assert sorted(client.scores(dataset="twin"), key=str) == sorted(without_q, key=str)
    assert len(client.scores(kind="crossmodal")) == 2
    assert pq.read_table(io.BytesIO(client.score_table("parquet", study.id))).to_pylist() == rows
    assert client.score_table("csv", study.id).count(b"\r\n") == 5
    assert client.score(rows[0]["score"])["provenance"]["right_manifest"] == rows[0]["right_manifest"]
    assert len(client.embeddings(model="fake-large")) == 2
    assert client.figure(study.id, format="svg").lstrip().startswith(b"<?xml")


def test_pages_are_followed_to_the_end(
    client: Client, accept: Callable[..., Study], monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = {accept(limit=limit).id for limit in range(12, 17)}
    monkeypatch.setattr("services.client._PAGE", 2)
    assert {study.id for study in client.studies()} == ids
    assert len(client.studies(3)) == 3
    assert {row["name"] for row in client.datasets()} >= {"mocksky", "jwst_hsc"}
    assert len(client.models(family="efficientnet-lite")) == 3


def test_errors_come_back_by_name(client: Client, body: Callable[..., Body]) -> None:
    with pytest.raises(UnknownName, match="did you mean efficientnet-lite0") as caught:
        client.submit({**body(), "models": ["efficientnet-lit0"]})
    assert caught.value.expected == "a known model"
    with pytest.raises(TooFewObjects, match="k = 24"):
        client.submit({**body(), "scoring": {"k": 24}})
    with pytest.raises(UnknownName, match="there is no study"):
        client.status("0" * 32)
    with pytest.raises(UnknownName, match="there is no figure"):
        client.figure("0" * 32, "scalin")


def test_a_bad_study_is_refused_before_it_is_sent(body: Callable[..., Body]) -> None:
    with Client("http://127.0.0.1:1") as nowhere, pytest.raises(BadStudy, match=r"scoring\.k: should be") as caught:
        nowhere.submit({**body(), "scoring": {"k": "ten"}})
    assert caught.value.code == "bad-study"


def test_the_api_refuses_by_itself_what_the_client_would(client: Client) -> None:
    unchecked = StudyRequest.model_construct(datasets=(), models=("a",), pairs=("all",))
    with pytest.raises(BadStudy, match="datasets: should not be empty"):
        client.submit(unchecked)


def test_every_error_has_a_code_of_its_own() -> None:
    kinds = error_kinds()
    assert kinds["unknown-name"] is UnknownName
    assert all(kind("").code == code for code, kind in kinds.items())


def test_no_api_is_said_in_one_line() -> None:
    with Client("http://127.0.0.1:1") as client, pytest.raises(ApiUnavailable, match="samesky up"):
        client.models()


@pytest.mark.parametrize("url", ["http://api:port", "not a url", "ftp://api", "api:8765", "http://", "http:///v1"])
def test_an_address_that_cannot_be_is_refused(url: str) -> None:
    with pytest.raises(BadSetting, match="is not the address of an api"):
        Client(url)


def test_a_connection_that_the_server_gave_up_meanwhile_is_no_error_for_what_only_reads() -> None:
    page = b'{"items": [], "next": null}'
    answer = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(page), page)

    def serve(listening: socket.socket) -> None:
        for requests in (1, 2):  # the first connection is answered once, and closed when it is used again
            connection, _ = listening.accept()
            for _ in range(requests):
                connection.recv(65536)
                connection.sendall(answer)
            if requests == 1:
                connection.recv(65536)
            connection.close()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve, args=(listening,))
        thread.start()
        with Client(f"http://127.0.0.1:{listening.getsockname()[1]}") as client:
            assert [client.models(), client.models(), client.models()] == [[], [], []]
        thread.join(10)


def test_something_else_at_the_address_is_said() -> None:
    class Other(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<p>hello</p>")

        def log_message(self, *_: object) -> None:
            return

    server = HTTPServer(("127.0.0.1", 0), Other)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        with (
            Client(f"http://127.0.0.1:{server.server_port}") as client,
            pytest.raises(ApiUnavailable, match="no api of"),
        ):
            client.models()
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_the_token_is_sent_and_its_lack_has_a_name(
    known: Studies, seeing: Seeing, body: Callable[..., Body], monkeypatch: pytest.MonkeyPatch
) -> None:
    right, wrong = "the-right-token-of-the-tests", "a-wrong-token-of-the-tests"
    app = create_app(known, seeing, Settings.read({"SAMESKY_TOKENS": right, "SAMESKY_WRITES_PER_MINUTE": "2"}))

    def submit(token: str | None = None) -> StudyProgress:
        with Client("http://api", token=token, transport=httpx.WSGITransport(app)) as client:
            assert right not in repr(vars(client))
            return client.submit(body())

    with pytest.raises(Unauthorised, match=r"there is no token; .* SAMESKY_TOKEN "):
        submit()
    with pytest.raises(Unauthorised, match="lets nobody in") as refused:
        submit(wrong)
    assert wrong not in str(refused.value)
    assert submit(right).id
    monkeypatch.setenv("SAMESKY_TOKEN", right)
    assert submit().id
    with pytest.raises(TooManyWrites, match="at most 2; wait "):
        submit()


def test_wait_over_a_real_socket(api_url: str, accept: Callable[..., Study], finish: Callable[[Study], None]) -> None:
    study = accept()
    seen: list[State] = []

    def look(progress: StudyProgress) -> None:
        seen.append(progress.state)
        finish(study)

    with Client(api_url) as client:
        assert client.wait(study.id, timeout=30, on_progress=look).state is State.DONE
        assert seen == [State.QUEUED, State.DONE]
        assert len(client.scores(study.id)) == 1


def test_wait_ends_in_time(client: Client, accept: Callable[..., Study]) -> None:
    with pytest.raises(TimeoutError, match="was not over within 0 s"):
        client.wait(accept().id, timeout=0)


def test_wait_outlasts_a_store_that_is_away_for_a_moment(
    client: Client,
    accept: Callable[..., Study],
    finish: Callable[[Study], None],
    store: MemoryStore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    study, get, failures = accept(), store.get, iter(range(2))
    looks: list[State] = []

    def shaky(key: str) -> bytes:
        if next(failures, None) is not None:
            raise StoreUnavailable("the object store did not answer")
        return get(key)

    def look(progress: StudyProgress) -> None:
        looks.append(progress.state)
        finish(study)
        monkeypatch.setattr(store, "get", shaky)

    assert client.wait(study.id, timeout=30, on_progress=look).state is State.DONE
    assert next(failures, None) is None, "the store was never away"
    assert looks == [State.QUEUED, State.DONE]


def test_the_first_study_uses_nothing_but_the_client() -> None:
    tree = ast.parse((Path(__file__).resolve().parents[3] / "examples/first_study.py").read_text())
    imports = [ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    assert imports == ["from samesky import Client"]
    used = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    assert {"submit", "wait", "scores"} <= used
    assert all(hasattr(Client, name) for name in ("submit", "wait", "scores"))
