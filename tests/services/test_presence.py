"""Who is alive is counted, who fell silent is forgotten; a real worker says so on its beat."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from redis import Redis

from services.presence import Presence
from services.refreshed import Refreshed
from shared.errors import StoreUnavailable
from shared.settings import Settings

ROOT = Path(__file__).resolve().parents[2]

# A worker as services/ runs it, that says it is alive on every beat.
_WORKER = """
from services.failures import worker_name
from services.heartbeat_step import call_while_consuming
from services.presence import Presence
from services.worker import make_worker_app, run_worker
from shared.settings import Settings

settings = Settings.read()
app = make_worker_app(settings, "present_worker")

if __name__ == "__main__":
    from present_worker import app as named
    presence = Presence.open(settings)
    call_while_consuming(named, lambda: presence.say_alive("embedder", worker_name()))
    run_worker(named, settings, queue="presence-test", service="embedder")
"""


def test_the_silent_are_forgotten(redis: Redis) -> None:
    presence = Presence(redis)
    assert presence.count() == {"embedder": 0, "scorer": 0, "reconciler": 0}
    for name in ("a:1", "a:1", "b:7"):
        presence.say_alive("embedder", name)
    presence.say_alive("scorer", "a:1", seconds=0.2)
    assert presence.count() == {"embedder": 2, "scorer": 1, "reconciler": 0}
    time.sleep(0.3)
    presence.say_gone("embedder", "b:7")
    assert presence.count() == {"embedder": 1, "scorer": 0, "reconciler": 0}
    presence.say_alive("reconciler", "a:2")
    assert redis.zcard("samesky:alive") == 2, "who was forgotten takes no room"


def test_work_goes_on_without_redis() -> None:
    presence = Presence.open(Settings.read({"SAMESKY_REDIS_URL": "redis://127.0.0.1:1/0"}))
    presence.say_alive("embedder", "a:1")
    presence.say_gone("embedder", "a:1")


def test_a_worker_says_that_it_is_alive(redis: Redis, redis_url: str, tmp_path: Path) -> None:
    (tmp_path / "present_worker.py").write_text(_WORKER)
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)]),
        "SAMESKY_REDIS_URL": redis_url,
        "SAMESKY_STORE_URL": f"file://{tmp_path / 'store'}",
    }
    command = [sys.executable, str(tmp_path / "present_worker.py")]
    worker = subprocess.Popen(command, env=environment, start_new_session=True)
    try:
        _wait_until(lambda: Presence(redis).count()["embedder"] == 1, 60)
        redis.flushall()
        _wait_until(lambda: Presence(redis).count()["embedder"] == 1, 10)
    finally:
        os.killpg(worker.pid, signal.SIGKILL)
        worker.wait(10)


def test_a_value_is_found_out_once_for_all_who_ask() -> None:
    asked: list[int] = []
    value = Refreshed(lambda: asked.append(0) or len(asked), every=60, patience=5)  # type: ignore[func-returns-value]
    threads = [threading.Thread(target=value.get) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (value.get(), len(asked)) == (1, 1)


def test_who_asks_does_not_wait_for_what_hangs() -> None:
    answer, asked = threading.Event(), threading.Event()

    def find() -> str:
        asked.set()
        answer.wait(30)
        return "found"

    value = Refreshed(find, every=60, patience=0.1)
    assert value.get() is None
    assert value.get() is None
    assert asked.is_set()
    answer.set()
    _wait_until(lambda: value.get() == "found", 5)


def test_a_value_grown_old_is_given_on_only_where_that_is_allowed() -> None:
    for stale, expected in ((60.0, "first"), (0.0, None)):
        answers = iter(["first"])
        release = threading.Event()

        def find(answers: object = answers, release: threading.Event = release) -> str:
            first = next(answers, None)  # type: ignore[call-overload]
            if first is None:
                release.wait(30)
            return first or "second"

        value = Refreshed(find, every=0.05, patience=0.1, stale=stale)
        assert value.get() == "first"
        time.sleep(0.2)
        assert value.get() == expected
        release.set()
        _wait_until(lambda value=value: value.get() == "second", 5)  # type: ignore[misc]


def test_what_cannot_be_found_out_is_nothing() -> None:
    def find() -> int:
        raise StoreUnavailable("no answer")

    assert Refreshed(find, every=60, patience=5).get() is None


def _wait_until(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"did not happen in {seconds} s"
        time.sleep(0.05)
