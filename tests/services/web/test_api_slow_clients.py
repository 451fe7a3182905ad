"""Clients that dribble, stall, linger or never read hold no thread for long, and others are served meanwhile."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from services.api.server import _THREADS
from services.client import Client

ROOT = Path(__file__).resolve().parents[3]
TOKEN = "a-token-of-the-slow-tests"
CLIENT_SECONDS = 2
# What a thread may be held for: to send, to take the answer, to part; and what a machine with other work may add.
HELD_SECONDS = 3 * CLIENT_SECONDS + 6
PROBLEM = "application/problem+json"


@pytest.fixture(scope="module")
def server(redis_url: str, table_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """`samesky api` on a free port, with a token and little patience: its url, and what it said."""
    folder = tmp_path_factory.mktemp("slow")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    environment = {
        **os.environ,
        "SAMESKY_REDIS_URL": redis_url,
        "SAMESKY_STORE_URL": f"file://{folder / 'store'}",
        "SAMESKY_DATASET_ROOTS": str(table_folder.parent),
        "SAMESKY_API_PORT": str(port),
        "SAMESKY_TOKENS": TOKEN,
        "SAMESKY_CLIENT_SECONDS": str(CLIENT_SECONDS),
    }
    log, url = folder / "log", f"http://127.0.0.1:{port}"
    with log.open("wb") as sink:
        process = subprocess.Popen(
            [sys.executable, "-m", "services.cli", "api"], cwd=ROOT, env=environment, stderr=sink
        )
    try:
        deadline = time.monotonic() + 60
        while True:
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(f"{url}/readyz", timeout=5).status_code == 200:
                    break
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        yield url, log
    finally:
        process.terminate()
        process.wait(30)
    assert "Traceback" not in log.read_text(), log.read_text()
    assert TOKEN not in log.read_text()


@pytest.fixture
def connect(server: tuple[str, Path]) -> Iterator[Callable[[], socket.socket]]:
    """Opens raw connections to the server, and closes them."""
    address = urlsplit(server[0])
    with contextlib.ExitStack() as opened:

        def open_() -> socket.socket:
            connection = socket.create_connection((str(address.hostname), address.port or 0), timeout=30)
            return opened.enter_context(connection)

        yield open_


Connect = Callable[[], socket.socket]


def answer_of(connection: socket.socket) -> bytes:
    """All that the server sends until it closes."""
    said = b""
    with contextlib.suppress(ConnectionResetError):
        while piece := connection.recv(65536):
            said += piece
    return said


def test_dribbled_headers_are_cut_off_and_others_are_served(server: tuple[str, Path], connect: Connect) -> None:
    slow = [connect() for _ in range(_THREADS + 8)]  # more than there are threads
    started = time.monotonic()
    for connection in slow:
        connection.sendall(b"POST /v1/studies HTTP/1.1\r\nHost: x\r\nX-Slow: ")
    cut: set[int] = set()
    with Client(server[0], token=TOKEN) as client:
        assert client.models(), "a client who asks as usual is answered"
    assert time.monotonic() - started < HELD_SECONDS
    while len(cut) < len(slow) and time.monotonic() - started < 2 * HELD_SECONDS:
        for place, connection in enumerate(slow):
            try:
                connection.sendall(b"x")
            except (BrokenPipeError, ConnectionResetError):
                cut.add(place)
        time.sleep(0.2)
    assert len(cut) == len(slow), "a byte now and then keeps no connection open"


def seconds_until_cut(connection: socket.socket, piece: bytes) -> float:
    """How long the server lets a client send `piece` again and again."""
    started = time.monotonic()
    while time.monotonic() - started < 3 * HELD_SECONDS:
        try:
            connection.sendall(piece)
        except TimeoutError:
            continue  # the server takes no more before its answers are taken
        except (BrokenPipeError, ConnectionResetError):
            return time.monotonic() - started
        time.sleep(0.001)
    pytest.fail("the connection was never cut")


@pytest.mark.parametrize(
    ("framing", "piece"), [("Content-Length: 100000", b"["), ("Transfer-Encoding: chunked", b"1\r\n[\r\n")]
)
def test_a_dribbled_body_is_cut_off(connect: Connect, framing: str, piece: bytes) -> None:
    connection = connect()
    head = ["POST /v1/studies HTTP/1.1", "Host: x", f"Authorization: Bearer {TOKEN}", framing]
    connection.sendall("\r\n".join([*head, "Content-Type: application/json", "", ""]).encode())
    assert CLIENT_SECONDS - 0.5 < seconds_until_cut(connection, piece) < HELD_SECONDS


def test_a_client_that_never_reads_is_cut_off(connect: Connect) -> None:
    connection = connect()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.settimeout(0.2)
    seconds_until_cut(connection, b"GET /v1/openapi.json HTTP/1.1\r\nHost: x\r\n\r\n")


def test_silent_connections_hold_no_thread(server: tuple[str, Path], connect: Connect) -> None:
    silent = [connect() for _ in range(2 * _THREADS)]
    started = time.monotonic()
    assert httpx.get(f"{server[0]}/livez", timeout=30).status_code == 200
    assert time.monotonic() - started < CLIENT_SECONDS, "it waited for none of them"
    assert all(answer_of(connection) == b"" for connection in silent)


def test_clients_that_linger_after_the_answer_do_not_stop_the_others(
    server: tuple[str, Path], connect: Connect
) -> None:
    lingering = [connect() for _ in range(8)]
    for connection in lingering:
        connection.sendall(b"GET /livez HTTP/1.0\r\n\r\n")  # and never closes
    started = time.monotonic()
    assert httpx.get(f"{server[0]}/livez", timeout=60).status_code == 200
    assert time.monotonic() - started < 8, "gunicorn's main loop would wait 2 s for each"
    assert all(b"alive" in answer_of(connection) for connection in lingering)


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET /%s HTTP/1.1\r\nHost: x\r\n\r\n" % (b"x" * 10_000), 414),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: %s\r\n\r\n" % (b"x" * 20_000), 431),
        (b"GET / HTTP/1.1\r\nHost: x\r\n%s\r\n" % (b"X-Many: 1\r\n" * 200), 431),
        (b"GET / HTTP/1.1\r\nHost: x\r\nAuthorization : Bearer %s\r\n\r\n" % TOKEN.encode(), 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \x00%s\r\n\r\n" % TOKEN.encode(), 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: br\r\n\r\n", 501),
        (b"GET /\x01 HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET / HTTP/9.9\r\nHost: x\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
        (b"hello\r\n\r\n", 400),
    ],
)
def test_what_is_no_request_is_a_problem_with_the_same_headers(connect: Connect, request_: bytes, status: int) -> None:
    connection = connect()
    connection.sendall(request_)
    head, _, said = answer_of(connection).partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines[1:])}
    assert lines[0].split()[1] == str(status)
    assert headers["content-type"] == PROBLEM
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-security-policy"].startswith("default-src 'none'")
    assert f'"status":{status}'.encode() in said
    assert TOKEN.encode() not in said


def test_a_body_that_is_too_large_is_413_however_it_comes(server: tuple[str, Path]) -> None:
    def pieces() -> Iterator[bytes]:
        for _ in range(20):
            yield b" " * 65536

    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
    for content in (b" " * (1024 * 1024 + 1), pieces()):
        answer = httpx.post(f"{server[0]}/v1/studies", content=content, headers=headers, timeout=30)
        assert (answer.status_code, answer.headers["Content-Type"]) == (413, PROBLEM), answer.text


def test_the_server_does_not_say_its_version(server: tuple[str, Path]) -> None:
    said = str(httpx.get(f"{server[0]}/livez").headers.get("Server", ""))
    assert not re.search(r"\d", said)


def test_a_write_without_the_token_is_refused_over_the_wire(server: tuple[str, Path], body: Callable[..., Any]) -> None:
    assert httpx.post(f"{server[0]}/v1/studies", json=body()).status_code == 401
    with Client(server[0], token=TOKEN) as client:
        assert client.submit(body()).id
