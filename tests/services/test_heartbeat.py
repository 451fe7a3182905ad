"""The heartbeat: a busy worker beats on, a hung one is found out."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from services.broker import make_app
from services.heartbeat import BEAT_SECONDS, beat, check, heartbeat_age
from shared.settings import Settings

ROOT = Path(__file__).resolve().parents[2]

# A worker as services/ runs it, with one task that keeps its pool child busy.
_WORKER = """
import time
from services.worker import make_worker_app, run_worker
from shared.settings import Settings

settings = Settings.read()
app = make_worker_app(settings, "busy_worker")

@app.task(name="test.busy")
def busy(seconds, started):
    open(started, "w").close()
    time.sleep(seconds)

if __name__ == "__main__":
    from busy_worker import app as named
    run_worker(named, settings, queue="heartbeat-test", service="busy")
"""


@pytest.fixture
def settings(redis_url: str, tmp_path: Path) -> Settings:
    return Settings.read({"SAMESKY_REDIS_URL": redis_url, "SAMESKY_HEARTBEAT_FILE": str(tmp_path / "heartbeat")})


@pytest.fixture
def worker(settings: Settings, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    file = tmp_path / "busy_worker.py"
    file.write_text(_WORKER)
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)]),
        "SAMESKY_REDIS_URL": settings.redis_url,
        "SAMESKY_STORE_URL": f"file://{tmp_path / 'store'}",
        "SAMESKY_HEARTBEAT_FILE": str(settings.heartbeat_file),
    }
    process = subprocess.Popen([sys.executable, str(file)], env=environment, start_new_session=True)
    yield process
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(10)


def test_a_busy_worker_beats_and_a_hung_one_does_not(
    settings: Settings, worker: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    file, started = settings.heartbeat_file, tmp_path / "started"
    assert file is not None
    _wait_until(file.exists, 60)
    make_app(settings).send_task("test.busy", args=[60, str(started)], queue="heartbeat-test")
    _wait_until(started.exists, 60)

    busy_since = time.time()
    _wait_until(lambda: file.stat().st_mtime > busy_since, BEAT_SECONDS + 2)
    assert check(file, within=BEAT_SECONDS + 2) is None

    os.kill(worker.pid, signal.SIGSTOP)
    try:
        _wait_until(lambda: check(file, within=BEAT_SECONDS + 2) is not None, BEAT_SECONDS + 4)
    finally:
        os.kill(worker.pid, signal.SIGCONT)


def test_a_heartbeat_ages(tmp_path: Path) -> None:
    file = tmp_path / "heartbeat"
    assert heartbeat_age(file) is None
    assert check(file, within=30) == f"no heartbeat yet at {file}"
    beat(file)
    assert check(file, within=30) is None
    os.utime(file, (time.time() - 31, time.time() - 31))
    assert check(file, within=30) == "the last heartbeat is 31 s old, expected under 30 s"
    beat(file)
    assert check(file, within=30) is None


@pytest.mark.parametrize(("age", "status"), [(0, 0), (100, 1)])
def test_the_check_says_so_by_its_exit_status(tmp_path: Path, age: float, status: int) -> None:
    file = tmp_path / "heartbeat"
    beat(file)
    os.utime(file, (time.time() - age, time.time() - age))
    run = subprocess.run(
        [sys.executable, "-m", "services.heartbeat", "--within", "30"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "SAMESKY_HEARTBEAT_FILE": str(file)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == status
    assert ("the last heartbeat" in run.stderr) is bool(status)


def test_a_check_loads_no_celery() -> None:
    code = "import sys, services.heartbeat; sys.exit('celery' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def _wait_until(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"did not happen in {seconds} s"
        time.sleep(0.1)
