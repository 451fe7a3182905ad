"""A worker whose event loop stands still ends itself, while Redis answers."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil

from services.heart import EXIT_STATUS

ROOT = Path(__file__).resolve().parents[2]

# A worker as services/ runs it, whose event loop is made to stand still once it has begun to turn.
_WORKER = """
import time
from celery import bootsteps
from services.worker import make_worker_app, run_worker
from shared.settings import Settings

class Stop(bootsteps.StartStopStep):
    requires = ("celery.worker.consumer.tasks:Tasks",)

    def start(self, consumer):
        consumer.timer.call_after(1, time.sleep, (600,))

settings = Settings.read()
app = make_worker_app(settings, "still_worker")
app.steps["consumer"].add(Stop)

if __name__ == "__main__":
    from still_worker import app as named
    run_worker(named, settings, queue="heart-test", service="still")
"""


def test_a_worker_that_stands_still_ends_itself_and_its_child(redis_url: str, tmp_path: Path) -> None:
    file = tmp_path / "still_worker.py"
    file.write_text(_WORKER)
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)]),
        "SAMESKY_REDIS_URL": redis_url,
        "SAMESKY_STORE_URL": f"file://{tmp_path / 'store'}",
        "SAMESKY_HEART_SECONDS": "2",
    }
    process = subprocess.Popen([sys.executable, str(file)], env=environment, start_new_session=True)
    children: list[psutil.Process] = []
    try:
        while process.poll() is None:
            children = psutil.Process(process.pid).children(recursive=True) or children
            try:
                process.wait(0.5)
            except subprocess.TimeoutExpired:
                continue
            except psutil.NoSuchProcess:
                break
        assert process.returncode == EXIT_STATUS
        assert children, "the pool child was seen"
        _, alive = psutil.wait_procs(children, timeout=5)
        assert not alive
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
