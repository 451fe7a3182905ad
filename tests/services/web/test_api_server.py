"""The api as a process of its own, under gunicorn."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.api.server import _check_address
from services.client import Client
from shared.errors import BadSetting

ROOT = Path(__file__).resolve().parents[3]
Body = dict[str, Any]


@pytest.fixture
def server(redis_url: str, table_folder: Path, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`samesky api` on a free port, and its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {
        **os.environ,
        "HOME": str(tmp_path),
        "SAMESKY_REDIS_URL": redis_url,
        "SAMESKY_STORE_URL": f"file://{tmp_path / 'store'}",
        "SAMESKY_DATASET_ROOTS": str(table_folder.parent),
        "SAMESKY_API_PORT": str(port),
    }
    environment.pop("XDG_RUNTIME_DIR", None)
    command = [sys.executable, "-m", "services.cli", "api"]
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)
    yield process, f"http://127.0.0.1:{port}"
    if process.poll() is None:
        process.kill()
    process.communicate()


def await_ready(process: subprocess.Popen[str], url: str) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert process.poll() is None, process.stderr and process.stderr.read()
        try:
            if httpx.get(f"{url}/readyz", timeout=5).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    pytest.fail("the api was not ready in a minute")


def test_it_serves_until_it_is_told_to_stop(
    server: tuple[subprocess.Popen[str], str], body: Callable[..., Body], tmp_path: Path
) -> None:
    process, url = server
    await_ready(process, url)
    with Client(url) as client:
        study = client.submit(body())
        assert client.status(study.id).id == study.id
    assert (tmp_path / "store/studies" / f"{study.id}.json").is_file(), "accepted means durable"
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "Traceback" not in said
    assert said.count("whoever is on this machine may submit") == 1
    assert not list(tmp_path.rglob("*.ctl")), "no control socket"


def test_an_address_that_cannot_be_listened_on_is_refused_in_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        for host in ("127.0.0.1", "192.0.2.1", "a..b"):
            with pytest.raises(BadSetting, match=f"cannot listen on port {port} of {host}: .*SAMESKY_API_PORT"):
                _check_address(host, port)
        environment = {**os.environ, "SAMESKY_API_PORT": str(port), "SAMESKY_STORE_URL": f"file://{tmp_path}"}
        done = subprocess.run(
            [sys.executable, "-m", "services.cli", "api"],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.stderr
    _check_address("127.0.0.1", port)


def _refusal(tmp_path: Path, **settings: str) -> str:
    """What `samesky api` says when it does not start."""
    done = subprocess.run(
        [sys.executable, "-m", "services.cli", "api"],
        cwd=ROOT,
        env={**os.environ, "SAMESKY_STORE_URL": f"file://{tmp_path}", **settings},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.stderr
    return done.stderr


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])
def test_an_api_that_strangers_could_reach_needs_a_token(tmp_path: Path, host: str) -> None:
    said = _refusal(tmp_path, SAMESKY_API_HOST=host)
    assert "without a token" in said
    assert "set SAMESKY_TOKENS" in said


def test_a_token_that_cannot_be_is_refused_in_one_line_without_showing_it(tmp_path: Path) -> None:
    said = _refusal(tmp_path, SAMESKY_TOKENS="a-good-token-of-someone,too-short")
    assert "SAMESKY_TOKENS cannot be used" in said
    assert "too-short" not in said
    assert "someone" not in said


def test_reads_closed_to_all_is_refused(tmp_path: Path) -> None:
    assert "SAMESKY_READS='closed' without a token" in _refusal(tmp_path, SAMESKY_READS="closed")
