"""The S3 store against servers that refuse, fail, hang, are gone, or lose their answers."""

from __future__ import annotations

import hashlib
import http.client
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from shared.errors import BadSetting, ObjectMissing, StoreUnavailable
from shared.s3 import S3Store, make_client
from shared.store import ObjectStore

pytestmark = pytest.mark.usefixtures("s3_credentials")

Handler = type[BaseHTTPRequestHandler]


def _store(endpoint: str, bucket: str = "samesky-tests", **options: float) -> S3Store:
    return S3Store(bucket, uuid.uuid4().hex, make_client(endpoint, "us-east-1", **options))


@pytest.fixture
def serve() -> Iterator[Callable[[Handler], str]]:
    """Start a small HTTP server of this handler, and tell its URL."""
    running: list[tuple[ThreadingHTTPServer, threading.Thread]] = []

    def start(handler: Handler) -> str:
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        running.append((server, thread))
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server, thread in running:
        server.shutdown()
        thread.join()
        server.server_close()


def _answering(status: int, code: str) -> Handler:
    body = f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode()

    class Refuse(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_PUT = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return Refuse


def _every_act(store: ObjectStore) -> list[Callable[[], object]]:
    return [
        lambda: store.put("key", b"x"),
        lambda: store.get("key"),
        lambda: list(store.keys("")),
    ]


def test_a_server_that_is_gone_is_unavailable_soon() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        store = _store(f"http://127.0.0.1:{closed.getsockname()[1]}")
    started = time.monotonic()
    with pytest.raises(StoreUnavailable, match="SAMESKY_S3_ENDPOINT"):
        store.get("key")
    assert time.monotonic() - started < 30


def test_a_server_that_hangs_is_unavailable_in_bounded_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        store = _store(f"http://127.0.0.1:{silent.getsockname()[1]}", answer_seconds=0.1)
        started = time.monotonic()
        with pytest.raises(StoreUnavailable):
            store.exists("key")
        assert time.monotonic() - started < 30


def test_a_server_that_fails_is_unavailable(serve: Callable[[Handler], str]) -> None:
    store = _store(serve(_answering(500, "InternalError")))
    with pytest.raises(StoreUnavailable, match="PutObject with 500 InternalError"):
        store.put("key", b"x")


@pytest.mark.parametrize("code", ["404", "NoSuchKez", ""])
def test_an_answer_that_does_not_say_what_is_missing_is_asked_for_again(
    serve: Callable[[Handler], str], code: str
) -> None:
    with pytest.raises(StoreUnavailable, match="GetObject with 404"):
        _store(serve(_answering(404, code))).get("key")


@pytest.mark.parametrize(("status", "code"), [(403, "AccessDenied"), (400, "AuthorizationHeaderMalformed")])
def test_a_refusal_is_a_setting_to_mend(serve: Callable[[Handler], str], status: int, code: str) -> None:
    for act in _every_act(_store(serve(_answering(status, code)))):
        with pytest.raises(BadSetting, match=f"{status} {code}"):
            act()


def test_a_wrong_secret_is_refused_and_not_told(rclone_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-the-secret-of-the-tests")
    for act in _every_act(_store(rclone_endpoint)):
        with pytest.raises(BadSetting, match="403") as told:
            act()
        assert "not-the-secret" not in str(told.value)


def test_no_credentials_is_a_setting_to_mend(moto_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    with pytest.raises(BadSetting, match="AWS_ACCESS_KEY_ID"):
        _store(moto_endpoint).get("key")


def test_an_endpoint_that_is_no_url_is_a_setting_to_mend() -> None:
    with pytest.raises(BadSetting, match="SAMESKY_S3_ENDPOINT"):
        make_client("not a url", "us-east-1")


@pytest.mark.parametrize("server", ["moto_endpoint", "rclone_endpoint"])
def test_a_bucket_that_is_not_there_is_made(server: str, request: pytest.FixtureRequest) -> None:
    store = _store(request.getfixturevalue(server), bucket=f"new-{uuid.uuid4().hex}")
    with pytest.raises(BadSetting, match="NoSuchBucket"):
        store.put("key", b"x")
    assert not store.exists("key")
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: store.prepare(), range(4)))
    store.put("key", b"x")
    assert store.get("key") == b"x"


def test_a_bucket_of_another_region_is_made(moto_endpoint: str) -> None:
    store = S3Store(f"new-{uuid.uuid4().hex}", "", make_client(moto_endpoint, "eu-west-3"))
    store.prepare()
    store.put("key", b"x")
    assert list(store.keys("")) == ["key"]


@pytest.mark.parametrize("server", ["moto_endpoint", "rclone_endpoint"])
def test_more_keys_than_one_page_are_listed_in_order(server: str, request: pytest.FixtureRequest) -> None:
    client = make_client(request.getfixturevalue(server), "us-east-1")
    asked: list[dict[str, object]] = []

    def three_a_page(params: dict[str, object], **_: object) -> None:
        asked.append(params)
        params["MaxKeys"] = 3

    client.meta.events.register("before-parameter-build.s3.ListObjectsV2", three_a_page)
    store = S3Store("samesky-tests", uuid.uuid4().hex, client)
    store.prepare()
    keys = [f"many{sign}/{number:02d}" for sign in ("", "+", "-", ".x") for number in range(4)]
    for key in keys:
        store.put(key, b".")
    assert list(store.keys("many")) == sorted(keys)
    assert len(asked) == 6


def _losing_first_answer(endpoint: str) -> Handler:
    """A proxy that passes everything on, but loses the answer to the first conditional PUT."""
    address = endpoint.removeprefix("http://")
    lost: list[str] = []

    class Proxy(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _pass_on(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            server = http.client.HTTPConnection(address, timeout=10)
            server.request(self.command, self.path, body, dict(self.headers))
            answer = server.getresponse()
            data = answer.read()
            server.close()
            if self.command == "PUT" and "If-None-Match" in self.headers and not lost:
                lost.append(self.path)
                self.close_connection = True
                return
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in ("connection", "transfer-encoding", "date", "server", "content-length"):
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_PUT = do_HEAD = _pass_on  # noqa: N815

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return Proxy


def test_a_first_write_whose_answer_was_lost_is_still_ours(serve: Callable[[Handler], str], moto_endpoint: str) -> None:
    store = _store(serve(_losing_first_answer(moto_endpoint)))
    store.prepare()
    assert store.put_if_absent("key", b"value")
    assert store.get("key") == b"value"
    assert not store.put_if_absent("key", b"other")


def test_missing_names_the_key_not_the_place(moto_endpoint: str) -> None:
    store = _store(moto_endpoint)
    store.prepare()
    with pytest.raises(ObjectMissing, match="no object at some/key"):
        store.get("some/key")


def _giving(give: Callable[[str], tuple[bytes, str | None]]) -> Handler:
    class Give(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body, tag = give(self.path)
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            if tag is not None:
                self.send_header("ETag", tag)
            self.end_headers()
            self.wfile.write(body)

    return Give


@pytest.mark.parametrize("item", ["<Kex>a</Kex>", "<Kex/>", "<Key>a</Key"])
def test_a_list_that_came_altered_is_an_answer_that_did_not_come(serve: Callable[[Handler], str], item: str) -> None:
    listed = f"<ListBucketResult><Contents>{item}</Contents></ListBucketResult>".encode()
    with pytest.raises(StoreUnavailable):
        _store(serve(_giving(lambda _: (listed, None)))).keys("a/")


@pytest.mark.parametrize("tag", [None, '"0123456789abcdef0123456789abcdef-2"', '"0123456789abcdef0123456789abcdef"'])
def test_one_object_whose_tag_is_no_md5_does_not_end_the_comparing(
    serve: Callable[[Handler], str], tag: str | None
) -> None:
    altered = iter([b"who1e"])

    def give(path: str) -> tuple[bytes, str | None]:
        if path.endswith("/pieces"):
            return b"whole", tag
        return next(altered, b"whole"), f'"{hashlib.md5(b"whole", usedforsecurity=False).hexdigest()}"'

    store = _store(serve(_giving(give)))
    assert store.get("copied/in/pieces") == b"whole"
    assert store.get("a") == b"whole"
