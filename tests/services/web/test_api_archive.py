"""A study as one file: over HTTP, by the client, by the command line; and `samesky verify` on what came."""

from __future__ import annotations

import io
import threading
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import httpx
import pytest
from flask import Flask
from flask.testing import FlaskClient
from typer.testing import CliRunner, Result

from services.cli import app as command
from services.client import Client
from shared import keys
from shared.archive import write_archive
from shared.contracts import Study
from shared.errors import ApiUnavailable, UnknownName
from shared.store import MemoryStore

Run = Callable[..., Result]


@pytest.fixture
def study(scored: tuple[MemoryStore, Study], store: MemoryStore) -> Study:
    """A study that is done, in the api's store."""
    for key in scored[0].keys(""):
        store.put(key, scored[0].get(key))
    return scored[1]


@pytest.fixture
def run(api_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs `samesky` with these arguments in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: CliRunner().invoke(command, [*map(str, arguments)], env={"SAMESKY_API_URL": api_url})


@pytest.mark.parametrize("vectors", [False, True])
def test_the_answer_is_the_archive(web: FlaskClient, store: MemoryStore, study: Study, vectors: bool) -> None:
    answer = web.get(f"/v1/studies/{study.id}/archive", query_string={"vectors": str(vectors).lower()})
    assert answer.status_code == 200
    assert answer.mimetype == "application/zip"
    assert answer.headers["Content-Disposition"] == f'attachment; filename="samesky-{study.id}.zip"'
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "ETag" not in answer.headers
    assert answer.data == b"".join(write_archive(store, study, vectors=vectors))


def test_it_is_made_as_it_is_sent(web: FlaskClient, store: MemoryStore, study: Study) -> None:
    answer = web.get(f"/v1/studies/{study.id}/archive", buffered=False)
    assert answer.is_streamed
    assert len(list(answer.response)) == len(list(write_archive(store, study)))


def test_a_large_object_is_sent_in_pieces_that_a_slow_client_can_take(
    web: FlaskClient, store: MemoryStore, study: Study
) -> None:
    store.put(keys.score_objects(study.scores()[0]), bytes(1_000_000))
    answer = web.get(f"/v1/studies/{study.id}/archive", buffered=False)
    pieces = list(answer.response)
    assert max(map(len, pieces)) <= 1 << 17
    assert b"".join(pieces) == b"".join(write_archive(store, study))


def test_its_head_has_no_body(web: FlaskClient, study: Study) -> None:
    answer = web.head(f"/v1/studies/{study.id}/archive")
    assert (answer.status_code, answer.mimetype, answer.data) == (200, "application/zip", b"")


def test_what_is_not_there_or_not_asked_for_is_refused(web: FlaskClient, study: Study) -> None:
    assert web.get(f"/v1/studies/{'0' * 32}/archive").status_code == 404
    assert web.get("/v1/studies/x/archive").status_code == 404
    for query in ("vectors=perhaps", "data=true", "vectors=1&vectors=1"):
        assert web.get(f"/v1/studies/{study.id}/archive?{query}").status_code == 422


def test_the_client_writes_it_over_a_socket(api_url: str, store: MemoryStore, study: Study) -> None:
    with Client(api_url) as client:
        target = io.BytesIO()
        client.archive(study.id, target, vectors=True)
        assert target.getvalue() == b"".join(write_archive(store, study, vectors=True))
        with pytest.raises(UnknownName, match="there is no study"):
            client.archive("0" * 32, io.BytesIO())


def test_the_client_writes_it_in_this_process(app: Flask, store: MemoryStore, study: Study) -> None:
    with Client("http://localhost", transport=httpx.WSGITransport(app)) as client:
        target = io.BytesIO()
        client.archive(study.id, target)
    assert target.getvalue() == b"".join(write_archive(store, study))


class _BreaksOff(BaseHTTPRequestHandler):
    """Promises more than it sends."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/zip")
        self.send_header("Content-Length", "1000")
        self.end_headers()
        self.wfile.write(b"PK\x03\x04")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@pytest.fixture
def broken_url() -> Iterator[str]:
    """A server whose answers break off."""
    server = HTTPServer(("127.0.0.1", 0), _BreaksOff)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_an_archive_that_breaks_off_is_an_error_and_no_file(
    broken_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with Client(broken_url) as client, pytest.raises(ApiUnavailable, match="broke off"):
        client.archive("0" * 32, io.BytesIO())
    done = CliRunner().invoke(command, ["archive", "0" * 32], env={"SAMESKY_API_URL": broken_url})
    assert (done.exit_code, list(tmp_path.iterdir())) == (3, [])
    assert "broke off" in done.stderr


def test_the_answer_of_a_stranger_is_no_archive() -> None:
    target = io.BytesIO()
    stranger = httpx.MockTransport(lambda _: httpx.Response(200, html="<p>welcome</p>"))
    with (
        Client("http://localhost", transport=stranger) as client,
        pytest.raises(ApiUnavailable, match="no api of ours"),
    ):
        client.archive("0" * 32, target)
    assert target.getvalue() == b""


def test_archive_then_verify(run: Run, study: Study, tmp_path: Path) -> None:
    done = run("archive", study.id)
    assert done.exit_code == 0, done.output
    assert done.stdout == f"samesky-{study.id}.zip: 17 objects of study {study.id}\n"
    assert [file.name for file in tmp_path.iterdir()] == [f"samesky-{study.id}.zip"]
    verified = run("verify", f"samesky-{study.id}.zip")
    assert verified.exit_code == 0, verified.output
    lines = verified.stdout.splitlines()
    assert [line.split()[:3] for line in lines] == [
        ["ok", "index", "1"],
        ["ok", "entries", "17"],
        ["ok", "study", "1"],
        ["ok", "manifests", "4"],
        ["ok", "keys", "17"],
        ["ok", "scores", "4"],
        ["ok", "provenance", "4"],
        ["ok", "results", "4"],
        ["ok", "tables", "12"],
        ["ok", "means", "4"],
        ["ok", "nulls", "4"],
        ["study", study.id, "of"],
    ]
    assert lines[-1].endswith(": all 11 checks passed")
    assert "of simulated objects, archived by samesky " in lines[-1]


def test_with_vectors_verify_scores_anew(run: Run, study: Study) -> None:
    assert run("archive", study.id, "-o", "whole.zip", "--vectors").exit_code == 0
    verified = run("verify", "whole.zip")
    assert verified.exit_code == 0, verified.output
    assert [line.split()[:3] for line in verified.stdout.splitlines()[-3:-1]] == [
        ["ok", "vectors", "4"],
        ["ok", "anew", "4"],
    ]


def test_an_unfinished_study_says_so(run: Run, store: MemoryStore, study: Study) -> None:
    store.delete(keys.score(study.scores()[0]))
    done = run("archive", study.id, "-o", "part.zip")
    assert done.exit_code == 0
    assert "1 objects are missing" in done.stderr
    verified = run("verify", "part.zip")
    assert verified.exit_code == 1
    assert f"there is no score of {study.scores()[0].pair.label}" in verified.stdout


def test_an_altered_archive_is_named_with_exit_status_1(run: Run, study: Study, tmp_path: Path) -> None:
    assert run("archive", study.id, "-o", "good.zip").exit_code == 0
    with zipfile.ZipFile("good.zip") as good, zipfile.ZipFile("bad.zip", "w") as bad:
        for name in good.namelist():
            bad.writestr(name, good.read(name).replace(b"hsc", b"hsd"))
    verified = run("verify", "bad.zip")
    assert verified.exit_code == 1
    failed = [line.split()[1] for line in verified.stdout.splitlines() if line.startswith("FAILED")]
    assert failed[:2] == ["entries", "study"]
    assert "the study in it has the digest" in verified.stdout
    assert verified.stdout.splitlines()[-1] == "bad.zip: 2 of 3 checks failed"


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["archive", "0" * 32], 2, "there is no study"),
        (["archive", "x"], 2, "is not a digest"),
        (["archive", "{study}", "-o", "none/x.zip"], 2, "cannot be written"),
        (["verify", "none.zip"], 2, "cannot be read: No such file"),
        (["verify", "."], 2, "cannot be read: Is a directory"),
        (["verify", "text.zip"], 1, "it is no zip file"),
        (["verify"], 2, "Missing argument"),
        (["reproduce", "text.zip"], 1, "it is no zip file"),
        (["reproduce", "none.zip"], 2, "cannot be read: No such file"),
        (["reproduce", "radio"], 2, "is neither a file nor the id of a study"),
        (["reproduce", "0" * 32], 2, "there is no study"),
        (["reproduce", "{study}", "--resume", "none"], 2, "there is no folder none to go on in"),
        (["reproduce", "{study}", "--resume", "."], 2, "holds something else than a reproduction"),
        (["reproduce", "{study}", "--data", "sky"], 2, "expected NAME=FOLDER"),
        (["reproduce", "{study}", "--data", "sky=."], 2, "the study reads no folder called 'sky'"),
    ],
)
def test_a_fault_is_one_line_and_an_exit_status(
    run: Run, study: Study, tmp_path: Path, arguments: list[str], status: int, words: str
) -> None:
    (tmp_path / "text.zip").write_text("a table")
    done = run(*(argument.format(study=study.id) for argument in arguments))
    assert done.exit_code == status, done.output
    assert words in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""
    assert [file.name for file in tmp_path.iterdir()] == ["text.zip"], "nothing is left"
