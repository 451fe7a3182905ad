"""The whole installation as a user runs it: real processes, real Redis protocol, a folder as object store."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from services.client import Client
from services.local import Stack, running
from shared import keys
from shared.contracts import Study
from shared.embeddings import read_receipts
from shared.errors import UnknownName
from shared.records import read_record
from shared.settings import Settings
from shared.states import State
from shared.store import DirectoryStore

STUDY = {
    "title": "two fake models on a simulated sky",
    "datasets": [{"name": "mocksky", "limit": 96, "modalities": ["hsc", "jwst"]}],
    "models": ["fake-small", "fake-large"],
    "pairs": ["crossmodal", "intramodal"],
    "scoring": {"k": 5, "permutations": 99, "resamples": 99},
}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A running installation with leases short enough to see them taken over."""
    folder = tmp_path_factory.mktemp("installation")
    changed = {
        "SAMESKY_CACHE_DIR": str(tmp_path_factory.mktemp("cache")),
        "SAMESKY_LEASE_SECONDS": "3",
        "SAMESKY_RECONCILE_SECONDS": "1",
        "SAMESKY_API_PORT": "8799",
    }
    before = {name: os.environ.get(name) for name in changed}
    os.environ.update(changed)
    try:
        with running(Settings.read(), folder, any_port=True) as stack:
            yield stack
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def test_a_study_runs_to_its_end_and_again_in_no_time(stack: Stack) -> None:
    with Client(stack.api_url) as client:
        accepted = client.submit(STUDY)
        progress = client.wait(accepted.id, timeout=240)
        assert progress.state is State.DONE
        assert progress.simulated
        assert progress.rows_done == progress.rows == 4 * 96
        scores = client.scores(accepted.id)
        assert len(scores) == 4
        for score in scores:
            assert score["objects"] == 96
            assert score["chance"] == pytest.approx(5 / 95)
            assert score["low"] <= score["value"] <= score["high"]
        crossmodal = [score for score in scores if score["kind"] == "crossmodal"]
        assert all(score["p_value"] == pytest.approx(1 / 100) for score in crossmodal)

        files = sorted((stack.folder / "store").rglob("*"))
        assert client.submit(STUDY).id == accepted.id
        assert client.wait(accepted.id, timeout=30).state is State.DONE
        assert sorted((stack.folder / "store").rglob("*")) == files


def test_all_layers_of_a_part_are_made_by_one_step(stack: Stack) -> None:
    study = {**STUDY, "models": ["fake-small"], "layers": ["all"], "pairs": ["crossmodal"]}
    with Client(stack.api_url) as client:
        accepted = client.submit(study)
        assert client.wait(accepted.id, timeout=240).state is State.DONE
        assert len(client.scores(accepted.id)) == 3 * 3
    store = DirectoryStore(stack.folder / "store")
    made = read_record(store, keys.study(accepted.id), Study)
    assert made is not None
    assert sorted(map(len, made.passes)) == [3, 3]
    for layers in made.passes:
        blocks = [spec for spec in layers if spec.layer != "final"]  # the final ones were there before
        attempts = [[keys.attempt_of(part.key) for part in read_receipts(store, spec).values()] for spec in blocks]
        assert attempts[0] == attempts[1]
        assert len(set(attempts[0])) == layers[0].parts() == 3


def test_a_killed_embedder_loses_nothing(stack: Stack) -> None:
    with Client(stack.api_url) as client:
        undisturbed = {score["score"]: score["value"] for score in client.scores(client.submit(STUDY).id)}
        study = {**STUDY, "datasets": [{"name": "mocksky", "limit": 160, "modalities": ["hsc", "jwst"]}]}
        accepted = client.submit(study)
        embedder = next(child for child in stack._children if child.name == "embedder-0")
        for _ in range(2):
            time.sleep(1.5)
            assert embedder.process is not None
            os.killpg(embedder.process.pid, signal.SIGKILL)
        progress = client.wait(accepted.id, timeout=240)
        assert progress.state is State.DONE
        assert all(score["objects"] == 160 for score in client.scores(accepted.id))
        assert undisturbed == {score["score"]: score["value"] for score in client.scores(client.submit(STUDY).id)}


def test_a_study_that_cannot_be_is_refused_in_one_line(stack: Stack) -> None:
    with Client(stack.api_url) as client, pytest.raises(UnknownName, match="did you mean vit-base"):
        client.submit({**STUDY, "models": ["vit-bas"]})


def test_stopping_leaves_no_process(tmp_path: Path) -> None:
    with running(Settings.read(), tmp_path, any_port=True) as stack:
        session = [child.process.pid for child in stack._children if child.process]
        family = [p for pid in session for p in [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]]
        assert len(family) >= 6
    _, alive = psutil.wait_procs(family, timeout=5)
    assert not alive, alive
