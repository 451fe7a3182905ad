"""A whole installation in real processes, to be broken: Redis and S3 servers, the proxy, api, reconciler, workers.

A supervisor starts again, at once, whatever ended, as an orchestrator would. Every process has a session of its
own and is gone, however the block ends.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from signal import SIGCONT, SIGKILL, SIGTERM, Signals
from types import MappingProxyType
from typing import Literal, Self

import httpx
import psutil
from redis import Redis
from redis.exceptions import RedisError

from chaos.proxy import Proxy
from services.local import Child
from shared.s3 import S3Store, make_client
from shared.store import DirectoryStore, ObjectStore

_log = logging.getLogger(__name__)
Storage = Literal["rclone", "moto", "folder"]
KEY, SECRET, BUCKET = "samesky-chaos", "a-secret-of-the-chaos", "chaos"
ROOT = Path(__file__).resolve().parent.parent
LEASE_SECONDS = 3
_START_SECONDS, _GRACE_SECONDS, _LOOK_SECONDS = 60, 10, 0.1


class Cluster:
    """The processes of one run, in `folder`, whose datasets lie under `data`.

    settings: to change.
    storage: `rclone` and `moto` are S3 servers behind the proxy; `folder` is a directory, for the undisturbed run.
    """

    def __init__(
        self,
        folder: Path,
        data: Path,
        storage: Storage,
        *,
        seed: int = 0,
        embedders: int = 2,
        scorers: int = 2,
        settings: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.folder, self.storage = folder.resolve(), storage
        shutil.rmtree(self.folder, ignore_errors=True)
        for name in ("logs", "redis", "s3", "cache"):
            (self.folder / name).mkdir(parents=True)
        self._data, self._seed, self._settings = data.resolve(), seed, settings
        self._redis_port, self._s3_port, self._api_port = free_port(), free_port(), free_port()
        self.redis_url, self.api_url = f"redis://127.0.0.1:{self._redis_port}/0", f"http://127.0.0.1:{self._api_port}"
        self.embedders = [f"embedder-{number}" for number in range(embedders)]
        self.scorers = [f"scorer-{number}" for number in range(scorers)]
        self.children: dict[str, Child] = {}
        self._down: set[str] = set()
        self.proxy: Proxy | None = None
        self._stack, self._over = ExitStack(), threading.Event()
        self._supervisor = threading.Thread(target=self._supervise, name="supervisor", daemon=True)

    def __enter__(self) -> Self:
        with ExitStack() as undo:
            undo.callback(self._stop)
            self._start_servers()
            self._start_services()
            undo.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def open_store(self) -> ObjectStore:
        """The store as it is, past the proxy."""
        if self.storage == "folder":
            return DirectoryStore(self.folder / "s3")
        return S3Store(BUCKET, "", make_client(f"http://127.0.0.1:{self._s3_port}", "us-east-1", answer_seconds=5))

    def signal(self, name: str, number: Signals) -> None:
        """Send a signal to a process and to all it started."""
        self.children[name].signal_all(number)

    def terminate(self, name: str, number: Signals) -> None:
        """Send a signal to a process alone."""
        process = self.children[name].process
        if process is not None:
            process.send_signal(number)

    @contextlib.contextmanager
    def kept_down(self, name: str) -> Iterator[None]:
        """Kill a process, and start it again only at the end of the block."""
        self._down.add(name)
        self.signal(name, SIGKILL)
        try:
            yield
        finally:
            self._down.discard(name)

    def pid(self, name: str) -> int:
        """Process id of a process as it runs now."""
        process = self.children[name].process
        return process.pid if process else 0

    def pool_child(self, name: str) -> int | None:
        """Process id of the pool child of a worker; None while it has none."""
        with contextlib.suppress(psutil.Error):
            for child in psutil.Process(self.pid(name)).children():
                if "spawn_main" in " ".join(child.cmdline()):
                    return child.pid
        return None

    def _start_servers(self) -> None:
        self._add("redis", sys.executable, "-m", "chaos.valkey", str(self._redis_port), str(self.folder / "redis"))
        if self.storage != "folder":
            os.environ.update(AWS_ACCESS_KEY_ID=KEY, AWS_SECRET_ACCESS_KEY=SECRET, AWS_EC2_METADATA_DISABLED="true")
            self._add("s3", *self._s3_command())
            self.proxy = self._stack.enter_context(
                Proxy("127.0.0.1", self._s3_port, seed=self._seed, log=self.folder / "requests.jsonl")
            )
        for child in self.children.values():
            child.start()
        self._supervisor.start()
        wait_until(self._servers_answer, _START_SECONDS, "Redis and S3 servers")
        self.open_store().prepare()

    def _s3_command(self) -> list[str]:
        address, beside = f"127.0.0.1:{self._s3_port}", Path(sys.executable).parent
        if self.storage == "moto":
            return [str(beside / "moto_server"), "--host", "127.0.0.1", "--port", str(self._s3_port)]
        arguments = ["serve", "s3", "--config", "", "--addr", address, "--auth-key", f"{KEY},{SECRET}"]
        return [str(beside / "rclone"), *arguments, str(self.folder / "s3")]

    def _start_services(self) -> None:
        services = [("api", "api"), *((name, "embedder") for name in self.embedders)]
        services += [*((name, "scorer") for name in self.scorers), ("reconciler", "reconciler")]
        for name, service in services:
            self._add(name, sys.executable, "-m", "services.cli", service).start()
        wait_until(self._api_answers, _START_SECONDS, "the api")

    def _add(self, name: str, *command: str) -> Child:
        child = Child(name, list(command), self._environment(), self.folder / "logs" / f"{name}.log")
        self.children[name] = child
        return child

    def _environment(self) -> Mapping[str, str]:
        store = f"file://{self.folder / 's3'}" if self.storage == "folder" else f"s3://{BUCKET}"
        wanted = {
            "SAMESKY_REDIS_URL": self.redis_url,
            "SAMESKY_STORE_URL": store,
            "SAMESKY_S3_ENDPOINT": self.proxy.url if self.proxy else "",
            "SAMESKY_CACHE_DIR": str(self.folder / "cache"),
            "SAMESKY_DATASET_ROOTS": str(self._data),
            "SAMESKY_API_PORT": str(self._api_port),
            "SAMESKY_DEVICE": "cpu",
            "SAMESKY_THREADS": "1",
            "SAMESKY_LEASE_SECONDS": str(LEASE_SECONDS),
            "SAMESKY_RECONCILE_SECONDS": "1",
            "SAMESKY_VISIBILITY_SECONDS": "5",
            "SAMESKY_STEP_LIMIT_SECONDS": "60",
            "SAMESKY_REST_SECONDS": "1",
            "SAMESKY_S3_SECONDS": "3",
        }
        wanted |= self._settings
        kept = {name: value for name, value in os.environ.items() if not name.startswith("SAMESKY_")}
        fixed = {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", "OMP_NUM_THREADS": "1"}
        return kept | fixed | wanted

    def _servers_answer(self) -> bool:
        try:
            with Redis.from_url(self.redis_url, socket_timeout=1) as redis:
                redis.ping()
            if self.storage != "folder":
                socket.create_connection(("127.0.0.1", self._s3_port), 1).close()
        except (RedisError, OSError):
            return False
        return True

    def _api_answers(self) -> bool:
        try:
            return httpx.get(f"{self.api_url}/readyz", timeout=5).status_code == 200
        except httpx.TransportError:
            return False

    def _supervise(self) -> None:
        while not self._over.wait(_LOOK_SECONDS):
            for child in list(self.children.values()):
                if child.ended() and child.name not in self._down and not self._over.is_set():
                    child.signal_all(SIGKILL)  # what the dead one left behind, as a container would
                    child.restarts += 1
                    child.start()

    def _stop(self) -> None:
        self._over.set()
        if self._supervisor.is_alive():
            self._supervisor.join()
        servers = [child for name, child in self.children.items() if name in ("redis", "s3")]
        services = [child for name, child in self.children.items() if name not in ("redis", "s3")]
        for child in self.children.values():
            child.signal_all(SIGCONT)
        for group in (services, servers):
            for child in group:
                child.signal_all(SIGTERM) if group is servers else child.terminate()
            deadline = time.monotonic() + _GRACE_SECONDS
            for child in group:
                child.wait(max(0.1, deadline - time.monotonic()))
        self._stack.close()


def wait_until(true: Callable[[], bool], seconds: float, what: str) -> None:
    """Return once `true()`; looks every tenth of a second. Raises TimeoutError, saying what was waited for."""
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds:g} s in vain for {what}")
        time.sleep(_LOOK_SECONDS)


def free_port() -> int:
    """A port of 127.0.0.1 that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
