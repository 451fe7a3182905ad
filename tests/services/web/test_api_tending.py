"""Studies cancelled and taken up again, their history, and garbage, over HTTP, the client and the command line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient
from redis import Redis
from typer.testing import CliRunner, Result

from services.board import Board
from services.cli import app
from services.client import Client
from services.dispatch import part_step_id
from shared import keys
from shared.contracts import Study
from shared.embeddings import read_manifest
from shared.endings import read_endings
from shared.errors import AlreadyOver, UnknownName
from shared.outcomes import Transition
from shared.states import State
from shared.store import MemoryStore

Body = dict[str, Any]


@pytest.fixture
def run(api_url: str) -> Callable[..., Result]:
    """Runs `samesky` with these arguments."""
    return lambda *arguments: CliRunner().invoke(app, [*map(str, arguments)], env={"SAMESKY_API_URL": api_url})


def test_a_cancelled_study_shows_it_and_its_steps_may_not_begin(
    web: FlaskClient, accept: Callable[..., Study], board: Board, store: MemoryStore
) -> None:
    study = accept()
    answer = web.post(f"/v1/studies/{study.id}/cancel")
    assert (answer.status_code, answer.json["state"]) == (200, "cancelled")
    assert answer.json["jobs"]["cancelled"] == 2
    assert all(board.cancelled(spec.digest) for spec in study.embeddings)
    (ending,) = read_endings(store, keys.study_endings(), study.id)
    assert (ending.state, bool(ending.at), bool(ending.worker)) == (State.CANCELLED, True, True)
    assert web.post(f"/v1/studies/{study.id}/cancel").json["state"] == "cancelled"
    assert len(read_endings(store, keys.study_endings(), study.id)) == 1


def test_work_that_another_study_wants_goes_on(web: FlaskClient, accept: Callable[..., Study], board: Board) -> None:
    study, other = accept(), accept(models=("fake-small", "fake-large"))
    shared = {spec.digest for spec in study.embeddings} & {spec.digest for spec in other.embeddings}
    assert len(shared) == 2
    web.post(f"/v1/studies/{other.id}/cancel")
    for spec in other.embeddings:
        assert board.cancelled(spec.digest) is (spec.digest not in shared)


@pytest.mark.parametrize("how", ["retry", "submit"])
def test_what_was_cancelled_is_taken_up_again(
    web: FlaskClient, accept: Callable[..., Study], body: Callable[..., Body], board: Board, redis: Redis, how: str
) -> None:
    study = accept()
    web.post(f"/v1/studies/{study.id}/cancel")
    redis.delete("embed")
    again = web.post(f"/v1/studies/{study.id}/retry") if how == "retry" else web.post("/v1/studies", json=body())
    assert (again.status_code, again.json["state"]) == (202, "queued")
    assert not any(board.cancelled(spec.digest) for spec in study.embeddings)
    assert set(board.queued("embed")) == {part_step_id(spec.digest, 0) for spec in study.embeddings}


def test_what_failed_is_taken_up_again_and_its_history_stays(
    web: FlaskClient, accept: Callable[..., Study], fail: Callable[[Study], None]
) -> None:
    study = accept()
    fail(study)
    job = study.embeddings[0].digest
    assert web.get(f"/v1/studies/{study.id}/jobs").json["items"][0]["state"] == "failed"
    assert web.post(f"/v1/studies/{study.id}/retry").status_code == 202
    detail = web.get(f"/v1/studies/{study.id}/jobs/{job}").json
    assert detail["job"]["state"] == "queued"
    assert [told["state"] for told in detail["history"] if not told["step"]][:2] == ["failed", "queued"]


def test_a_damaged_embedding_is_made_again_when_its_study_is_retried(
    web: FlaskClient, accept: Callable[..., Study], finish: Callable[[Study], None], store: MemoryStore, board: Board
) -> None:
    study = accept()
    finish(study)  # its manifests name parts that are not there
    for score in study.scores():
        store.delete(keys.score(score))
    spec = study.embeddings[0]
    store.put(keys.manifest(spec), b"{half")
    assert web.get(f"/v1/studies/{study.id}/jobs").json["items"][0]["state"] == "failed"
    before = board.epoch()
    assert web.post(f"/v1/studies/{study.id}/retry").status_code == 202
    assert read_manifest(store, spec) is None
    assert board.epoch() != before
    assert web.get(f"/v1/studies/{study.id}/jobs").json["items"][0]["state"] == "queued"


def test_a_score_that_cannot_be_read_is_left_out_and_made_again_when_its_study_is_retried(
    web: FlaskClient, accept: Callable[..., Study], finish: Callable[[Study], None], store: MemoryStore, board: Board
) -> None:
    study = accept()
    finish(study)
    (score,) = study.scores()
    assert web.get(f"/v1/studies/{study.id}").json["state"] == "done"
    store.put(keys.score(score), b"{half")
    assert web.get(f"/v1/studies/{study.id}/scores").json["items"] == []
    assert web.post(f"/v1/studies/{study.id}/retry").json["state"] == "running"
    assert not store.exists(keys.score(score))
    assert board.queued("score") == [score.digest]


def test_a_job_tells_that_its_study_was_cancelled(web: FlaskClient, accept: Callable[..., Study]) -> None:
    study = accept()
    web.post(f"/v1/studies/{study.id}/cancel")
    history = web.get(f"/v1/studies/{study.id}/jobs/{study.embeddings[0].digest}").json["history"]
    assert (history[-1]["state"], history[-1]["why"]) == ("cancelled", "asked for")


def test_the_history_of_what_is_under_way_is_told(api_url: str, accept: Callable[..., Study], board: Board) -> None:
    study = accept()
    spec, score = study.embeddings[0], study.scores()[0]
    running = Transition(state=State.RUNNING, at="2026-01-02T00:00:00.000+00:00", worker="w:1", step="part 0")
    board.begin(part_step_id(spec.digest, 0), running, token=7)
    with Client(api_url) as client:
        history = client.job(study.id, spec.digest).history
        assert running in history
        assert State.QUEUED in {told.state for told in history}
        assert client.pair(study.id, score.digest).history == ()
        with pytest.raises(UnknownName, match="no job"):
            client.job(study.id, "0" * 32)
        with pytest.raises(UnknownName, match="no pair"):
            client.pair(study.id, "no-such-pair")


def test_cancel_retry_and_history_by_command(
    run: Callable[..., Result], accept: Callable[..., Study], fail: Callable[[Study], None]
) -> None:
    study = accept()
    fail(study)
    cancelled = run("cancel", study.id)
    assert (cancelled.exit_code, "is failed" in cancelled.stdout) == (0, True), cancelled.output
    retried = run("retry", study.id)
    assert (retried.exit_code, "is queued" in retried.stdout) == (0, True)
    label = study.embeddings[0].label
    told = run("history", study.id, label)
    assert told.exit_code == 0
    assert "test:1" in told.stdout
    near = run("history", study.id, label[:-1])
    assert (near.exit_code, "did you mean" in near.stderr) == (2, True)


def test_what_is_over_cannot_be_cancelled(
    run: Callable[..., Result], api_url: str, accept: Callable[..., Study], finish: Callable[[Study], None]
) -> None:
    study = accept()
    finish(study)
    assert run("cancel", study.id).exit_code == 2
    with Client(api_url) as client, pytest.raises(AlreadyOver):
        client.cancel(study.id)


def test_gc_looks_first_and_removes_when_told(
    run: Callable[..., Result], accept: Callable[..., Study], store: MemoryStore
) -> None:
    study = accept()
    lonely = keys.score_objects(study.scores()[0])
    store.put(lonely, b"objects without their score")
    looked = run("gc")
    assert looked.stdout.splitlines() == [lonely]
    assert "samesky gc --remove" in looked.stderr
    assert store.exists(lonely)
    removed = run("gc", "--remove")
    assert (removed.exit_code, removed.stdout.splitlines()) == (0, [lonely])
    assert not store.exists(lonely)
    assert run("gc").stdout == ""
