"""The promises, on real processes that are killed, stopped and starved; the chaos harness does it at random."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil
import pytest
from redis import Redis

from chaos.cluster import Cluster, wait_until
from chaos.study import MODALITIES, write_tables
from services.client import Client
from shared import keys
from shared.errors import AlreadyOver
from shared.outcomes import Transition
from shared.progress import StudyProgress
from shared.states import State

STEP_LIMIT, LEASE = 10, 2
SETTINGS = {
    "SAMESKY_LEASE_SECONDS": str(LEASE),
    "SAMESKY_VISIBILITY_SECONDS": "2",
    "SAMESKY_STEP_LIMIT_SECONDS": str(STEP_LIMIT),
    "SAMESKY_ATTEMPTS": "3",
    "SAMESKY_HEART_SECONDS": "30",
}
Asked = dict[str, Any]


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small tables of images."""
    folder = tmp_path_factory.mktemp("tables")
    write_tables(folder, 1)
    return folder


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, tables: Path) -> Iterator[Cluster]:
    """An installation with short leases and limits, on a directory store."""
    with Cluster(tmp_path_factory.mktemp("cluster"), tables, "folder", scorers=1, settings=SETTINGS) as cluster:
        yield cluster


@pytest.fixture
def client(cluster: Cluster) -> Iterator[Client]:
    """A client of the cluster's api."""
    with Client(cluster.api_url) as client:
        yield client


@pytest.fixture
def ask(tables: Path) -> Callable[..., Asked]:
    """Makes studies of two bands; `limit` makes each another study."""

    def make(*models: str, limit: int, pairs: str = "crossmodal") -> Asked:
        modalities = {name: {"column": "image", "bands": [band]} for name, band in list(MODALITIES.items())[:2]}
        dataset = {"name": "kills", "folder": str(tables / "chaos-0"), "id_column": "object_id", "limit": limit}
        return {
            "datasets": [dataset | {"modalities": modalities}],
            "models": list(models),
            "pairs": [pairs],
            "scoring": {"k": 5, "permutations": 99, "resamples": 99},
        }

    return make


def history_of_first(client: Client, study: StudyProgress) -> list[Transition]:
    """All that happened to a study's first job."""
    return list(client.job(study.id, client.jobs(study.id)[0].embedding).history)


def starts(history: list[Transition]) -> int:
    """How often a step was begun."""
    return sum(told.state is State.RUNNING for told in history)


def _runs(redis: Redis, step: str) -> bool:
    """Whether the last that was noted of a step is that it runs."""
    last = redis.lindex(f"samesky:history:{step}", -1)
    return last is not None and '"state":"running"' in str(last)


def busy_embedder(cluster: Cluster, study: StudyProgress, client: Client) -> str:
    """The name of an embedder that works on the study now."""
    found: list[str] = []

    def look() -> bool:
        digests = tuple(job.embedding for job in client.jobs(study.id))
        with Redis.from_url(cluster.redis_url, decode_responses=True) as redis:
            held = [str(key).removeprefix("samesky:lease:") for key in redis.keys("samesky:lease:*")]  # type: ignore[union-attr]
            begun = [step for step in held if step.startswith(digests) and _runs(redis, step)]
            values = [redis.get(f"samesky:lease:{step}") for step in begun]
        pids = {str(value).rpartition(":")[2] for value in values if value}
        found[:] = [name for name in cluster.embedders if str(cluster.pid(name)) in pids]
        return bool(found)

    wait_until(look, 30, "an embedder that works")
    return found[0]


def test_a_killed_pool_child_is_noticed_at_once(cluster: Cluster, client: Client, ask: Callable[..., Asked]) -> None:
    told: list[Transition] = []
    for limit in (70, *range(77, 92)):  # a child may come to the end of its step a moment before it is killed
        study = client.submit(ask("fake-slow", limit=limit))
        child = cluster.pool_child(busy_embedder(cluster, study, client))
        assert child is not None
        psutil.Process(child).kill()
        assert client.wait(study.id, timeout=60).state is State.DONE
        told = [step for job in client.jobs(study.id) for step in client.job(study.id, job.embedding).history]
        if any("its process died" in step.why for step in told):
            break
    (lost,) = [step for step in told if "its process died" in step.why]
    again = next(step for step in told if step.state is State.RUNNING and step.step == lost.step and step.at > lost.at)
    assert again.worker != lost.worker


def test_work_that_kills_its_worker_stops_after_three_starts_and_may_be_retried(
    client: Client, ask: Callable[..., Asked]
) -> None:
    study = client.submit(ask("fake-poison", limit=20))
    assert client.wait(study.id, timeout=90).state is State.FAILED
    for job in client.jobs(study.id):
        assert job.failure is not None
        assert (job.failure.code, job.failure.attempts) == ("stopped", 3)
        assert "signal 9" in job.failure.wrong
    first = history_of_first(client, study)
    assert starts(first) == 4  # the fourth only says that it is over
    assert client.retry(study.id).state in (State.QUEUED, State.RUNNING)
    assert client.wait(study.id, timeout=90).state is State.FAILED
    again = history_of_first(client, study)
    assert again[: len(first)] == first
    assert [told.state for told in again].count(State.FAILED) == 2


def test_a_hung_step_is_ended_at_its_limit_and_starts_once_however_often_it_becomes_visible(
    cluster: Cluster, client: Client, ask: Callable[..., Asked]
) -> None:
    study = client.submit(ask("fake-hung", limit=21))
    assert client.wait(study.id, timeout=120).state is State.FAILED
    (job, _) = client.jobs(study.id)
    assert job.failure is not None
    assert f"limit of {STEP_LIMIT} s" in job.failure.wrong
    begun = [
        datetime.fromisoformat(told.at) for told in history_of_first(client, study) if told.state is State.RUNNING
    ][:3]
    # the visibility timeout is a fifth of the limit: a message that came again must not have begun the step again.
    # That renewal keeps it from coming at all is test_delivery's; a busy machine may renew late, and the lease holds.
    assert all((later - earlier).total_seconds() >= STEP_LIMIT for earlier, later in pairwise(begun))


def test_a_stalled_worker_is_fenced_out(cluster: Cluster, client: Client, ask: Callable[..., Asked]) -> None:
    study = client.submit(ask("fake-slow", limit=71))
    stalled = busy_embedder(cluster, study, client)
    cluster.signal(stalled, signal.SIGSTOP)
    try:
        assert client.wait(study.id, timeout=60).state is State.DONE
    finally:
        cluster.signal(stalled, signal.SIGCONT)
    time.sleep(3)  # in which it ends its part, and would store it
    receipts = [key for key in cluster.open_store().keys(keys.EMBEDDINGS) if keys.receipt_index(key) is not None]
    for job in client.jobs(study.id):
        assert sum(job.embedding in key for key in receipts) == 3, "one receipt for each part, and none of the stalled"


@pytest.mark.parametrize(("number", "limit"), [(signal.SIGTERM, 72), (signal.SIGQUIT, 73)])
def test_a_stopped_worker_loses_nothing_and_wastes_one_part_at_most(
    cluster: Cluster, client: Client, ask: Callable[..., Asked], number: signal.Signals, limit: int
) -> None:
    study = client.submit(ask("fake-slow", limit=limit))
    cluster.terminate(busy_embedder(cluster, study, client), number)
    assert client.wait(study.id, timeout=60).state is State.DONE
    jobs = client.jobs(study.id)
    begun = sum(starts(list(client.job(study.id, job.embedding).history)) for job in jobs)
    parts = sum(-(-job.rows // 32) for job in jobs)
    assert begun <= parts + (number is signal.SIGQUIT)


def test_a_wiped_and_a_silent_redis_are_outlived(cluster: Cluster, client: Client, ask: Callable[..., Asked]) -> None:
    study = client.submit(ask("fake-slow", limit=74))
    busy_embedder(cluster, study, client)
    with Redis.from_url(cluster.redis_url) as redis:
        redis.flushall()
    busy_embedder(cluster, study, client)
    cluster.signal("redis", signal.SIGSTOP)
    time.sleep(5)
    cluster.signal("redis", signal.SIGCONT)
    assert client.wait(study.id, timeout=60).state is State.DONE


def test_a_restarted_redis_is_outlived(cluster: Cluster, client: Client, ask: Callable[..., Asked]) -> None:
    study = client.submit(ask("fake-slow", limit=75))
    busy_embedder(cluster, study, client)
    cluster.signal("redis", signal.SIGKILL)
    assert client.wait(study.id, timeout=90).state is State.DONE


def test_fifty_posts_at_once_are_one_study_which_outlives_the_api_and_redis(
    cluster: Cluster, client: Client, ask: Callable[..., Asked]
) -> None:
    asked = ask("fake-small", limit=76)
    with ThreadPoolExecutor(50) as pool:
        ids = {accepted.id for accepted in pool.map(lambda _: client.submit(asked), range(50))}
    cluster.signal("api", signal.SIGKILL)
    cluster.signal("redis", signal.SIGKILL)
    (study_id,) = ids
    wait_until(lambda: _answers(client), 30, "the api")
    assert client.wait(study_id, timeout=60).state is State.DONE
    assert [study.id for study in client.studies()].count(study_id) == 1


def _answers(client: Client) -> bool:
    try:
        client.studies(1)
    except Exception:  # noqa: BLE001 - whatever a dying api makes of it
        return False
    return True


def test_a_cancelled_study_begins_nothing_more_and_can_be_taken_up_again(
    cluster: Cluster, client: Client, ask: Callable[..., Asked]
) -> None:
    asked = ask("fake-slow", limit=96)
    study = client.submit(asked)
    busy_embedder(cluster, study, client)
    assert client.cancel(study.id).state is not State.DONE
    time.sleep(2)  # longer than a part
    then = client.status(study.id)
    time.sleep(2)
    after = client.status(study.id)
    assert after.state is State.CANCELLED
    assert after.rows_done == then.rows_done < after.rows
    assert after.jobs[State.CANCELLED] > 0
    assert client.submit(asked).id == study.id
    assert client.wait(study.id, timeout=60).state is State.DONE
    with pytest.raises(AlreadyOver):
        client.cancel(study.id)


def test_a_small_study_does_not_wait_for_a_huge_one(client: Client, ask: Callable[..., Asked]) -> None:
    huge = client.submit(ask("fake-slow", "fake-large", limit=95, pairs="all"))
    small = client.submit(ask("fake-small", limit=12))
    assert client.wait(small.id, timeout=60).state is State.DONE
    assert client.status(huge.id).state is State.RUNNING
    assert client.wait(huge.id, timeout=120).state is State.DONE


def test_what_all_this_left_behind_is_garbage_and_can_be_removed(cluster: Cluster, client: Client) -> None:
    scores, embeddings = client.scores(), client.embeddings()
    found = client.garbage()
    assert client.garbage(remove=True) == found
    assert client.garbage() == []
    assert (client.scores(), client.embeddings()) == (scores, embeddings)
