"""How long until work goes on after Redis was silent, gone or wiped: `python -m chaos.silence`.

Each case has a study under way on a fresh installation with the default lease and visibility; Redis is stopped (its
connections stay, and say nothing), or killed and left away, or wiped; then the clock runs from the moment it answers
again until a part is stored by a worker that nobody touched.
"""

from __future__ import annotations

import argparse
import contextlib
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
from redis import Redis

from chaos import study
from chaos.cluster import Cluster, wait_until
from services.client import Client
from shared import keys
from shared.store import ObjectStore

_SETTINGS = dict.fromkeys(("SAMESKY_LEASE_SECONDS", "SAMESKY_VISIBILITY_SECONDS", "SAMESKY_RECONCILE_SECONDS"), "")


def main() -> None:
    """Run the cases, print a line for each."""
    parser = argparse.ArgumentParser(prog="python -m chaos.silence", description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("build/silence"))
    parser.add_argument("--seconds", type=int, nargs="*", default=[5, 60])
    asked = parser.parse_args()
    study.write_tables(asked.folder / "data", 3)
    for seconds in asked.seconds:
        for name, harm in (("stopped", _stopped), ("away", _away)):
            told = _measure(asked.folder, name, harm, seconds)
            print(
                f"Redis {name} for {seconds} s: work went on {told[0]:.1f} s after, and was done after {told[1]:.0f} s"
            )
    told = _measure(asked.folder, "wiped", _wiped, 0)
    print(f"Redis wiped: work went on {told[0]:.1f} s after, was done {told[1]:.0f} s after")


def _measure(
    folder: Path, name: str, harm: Callable[[Cluster, int], contextlib.AbstractContextManager[None]], seconds: int
) -> tuple[float, float]:
    data = folder / "data"
    with Cluster(folder / f"{name}-{seconds}", data, "folder", settings=_SETTINGS) as cluster:
        store = cluster.open_store()
        with Client(cluster.api_url) as client:
            asked = client.submit(study.main_study(data, 3))
            wait_until(lambda: _parts(store) >= 4, 60, "the first parts")
            workers = [psutil.Process(child.process.pid) for child in cluster.children.values() if child.process]
            with harm(cluster, seconds):
                time.sleep(seconds)
            before, back = _parts(store), time.monotonic()
            wait_until(lambda: _parts(store) > before, 120, "another part")
            went_on = time.monotonic() - back
            assert all(worker.is_running() for worker in workers[1:]), "nobody else was started again"
            client.wait(asked.id, timeout=300)
            return went_on, time.monotonic() - back


@contextlib.contextmanager
def _stopped(cluster: Cluster, _: int) -> Iterator[None]:
    cluster.signal("redis", signal.SIGSTOP)
    yield
    cluster.signal("redis", signal.SIGCONT)


@contextlib.contextmanager
def _away(cluster: Cluster, _: int) -> Iterator[None]:
    with cluster.kept_down("redis"):
        yield


@contextlib.contextmanager
def _wiped(cluster: Cluster, _: int) -> Iterator[None]:
    yield
    with Redis.from_url(cluster.redis_url) as redis:
        redis.flushall()


def _parts(store: ObjectStore) -> int:
    return sum(keys.receipt_index(key) is not None for key in store.keys(keys.EMBEDDINGS))


if __name__ == "__main__":
    main()
