"""One short seed of chaos, and the verdict on its results when somebody tampers with them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from chaos import verdict
from chaos.proxy import Entry
from chaos.run import judge
from shared import keys
from shared.contracts import EmbeddingSpec, ScoreSpec, Study
from shared.embeddings import read_manifest
from shared.progress import JobProgress, PairProgress
from shared.records import read_record
from shared.states import State
from shared.store import DirectoryStore


class History:
    """The results of the short run, in a copy that may be tampered with."""

    def __init__(self, run: Path, place: Path) -> None:
        shutil.copytree(run / "1" / "s3" / "chaos", place)
        self.store, self.undisturbed = DirectoryStore(place), DirectoryStore(run / "undisturbed" / "s3")
        lines = (run / "1" / "requests.jsonl").read_text(encoding="utf-8").splitlines()
        self.entries = [Entry(**json.loads(line)) for line in lines]
        self.shown = [self._show(plain) for plain in json.loads((run / "1" / "shown.json").read_text())]
        self.garbage = (run / "1" / "garbage.txt").read_text(encoding="utf-8").splitlines()
        self.study = self.shown[0].study

    def _show(self, plain: dict[str, Any]) -> verdict.Shown:
        study = read_record(self.store, keys.study(plain["study"]), Study)
        assert study
        jobs = [JobProgress.model_validate(each) for each in plain["jobs"]]
        pairs = [PairProgress.model_validate(each) for each in plain["pairs"]]
        return verdict.Shown(study, jobs, pairs, plain["poisoned"])

    @property
    def spec(self) -> EmbeddingSpec:
        return self.study.embeddings[0]

    @property
    def score(self) -> ScoreSpec:
        return self.study.scores()[0]

    def rewrite(self, key: str, change: Callable[[bytes], bytes]) -> None:
        """Put other bytes at a key."""
        self.store.put(key, change(self.store.get(key)))

    def checks(self) -> set[str]:
        """The names of the checks that fail."""
        breaches = judge(self.shown, self.store, self.undisturbed, self.entries, self.garbage, attempts=4)
        return {breach.check for breach in breaches}


@pytest.fixture
def history(short_run: Path, tmp_path: Path) -> History:
    """The short run's results."""
    return History(short_run, tmp_path / "store")


def test_a_short_run_keeps_every_promise(short_run: Path, history: History) -> None:
    report = json.loads((short_run / "report.json").read_text())
    assert (report["all"]["lost"], report["all"]["doubled"]) == (0, 0)
    assert report["all"]["total"] >= 3
    assert report["all"]["steps"] == 27 + 15
    assert "kept" in (short_run / "report.md").read_text()
    assert history.checks() == set()


def test_a_part_that_is_gone_is_caught(history: History) -> None:
    manifest = read_manifest(history.store, history.spec)
    assert manifest
    history.store.delete(manifest.parts[0].key)
    assert history.checks() == {"manifests"}


def test_a_part_that_is_altered_is_caught(history: History) -> None:
    manifest = read_manifest(history.store, history.spec)
    assert manifest
    history.rewrite(manifest.parts[1].key, lambda data: data[:-1] + bytes([data[-1] ^ 1]))
    assert history.checks() == {"manifests"}


def test_a_manifest_that_is_gone_is_caught(history: History) -> None:
    history.store.delete(keys.manifest(history.spec))
    assert {"manifests", "provenance"} <= history.checks()


def test_a_manifest_that_cannot_be_read_is_caught(history: History) -> None:
    history.rewrite(keys.manifest(history.spec), lambda data: data[:-20])
    assert {"manifests", "provenance"} <= history.checks()


def test_vectors_that_are_not_the_undisturbed_ones_are_caught(history: History, short_run: Path) -> None:
    other = DirectoryStore(history.store._root.parent / "undisturbed")
    shutil.copytree(short_run / "undisturbed" / "s3", other._root)
    key = keys.manifest(history.spec)
    plain = json.loads(other.get(key))
    plain["parts"][0]["sha256"] = "0" * 64
    other.put(key, json.dumps(plain).encode())
    history.undisturbed = other
    assert history.checks() == {"vectors"}


@pytest.mark.parametrize("field", ["value", "p_value", "chance"])
def test_a_score_that_differs_is_caught(history: History, field: str) -> None:
    def change(data: bytes) -> bytes:
        plain = json.loads(data)
        plain["results"][0][field] *= 0.999
        return json.dumps(plain).encode()

    history.rewrite(keys.score(history.score), change)
    assert history.checks() == {"scores"}


def test_times_of_a_score_may_differ(history: History) -> None:
    def change(data: bytes) -> bytes:
        plain = json.loads(data)
        plain["provenance"] |= {"seconds": 99.0, "worker": "elsewhere:1", "created_at": "2030-01-01T00:00:00+00:00"}
        return json.dumps(plain).encode()

    history.rewrite(keys.score(history.score), change)
    assert history.checks() == set()


def test_a_score_of_another_manifest_is_caught(history: History) -> None:
    def change(data: bytes) -> bytes:
        plain = json.loads(data)
        plain["provenance"]["left_manifest"] = "0" * 64
        return json.dumps(plain).encode()

    history.rewrite(keys.score(history.score), change)
    assert history.checks() == {"provenance"}


@pytest.mark.parametrize("of", [keys.score_objects, keys.score_nulls])
def test_values_that_differ_are_caught(history: History, of: Callable[[ScoreSpec], str]) -> None:
    history.rewrite(of(history.score), lambda data: data + b" ")
    assert history.checks() == {"scores"}


def test_a_score_that_is_gone_or_broken_is_caught(history: History) -> None:
    history.rewrite(keys.score(history.score), lambda data: data[:-20])
    assert history.checks() == {"scores"}
    history.store.delete(keys.score(history.score))
    assert history.checks() == {"scores"}


def test_an_orphan_is_caught(history: History) -> None:
    history.store.put("scores/sky/left-behind.bin", b"whose?")
    assert history.checks() == {"orphans"}


def test_what_garbage_collection_must_not_take_is_caught(history: History) -> None:
    studies = [one.study for one in history.shown]
    unnamed = verdict.find_unnamed(history.store, studies)
    assert not list(verdict.check_orphans(history.store, studies, unnamed))
    taken = unnamed | {keys.score(history.score)}
    assert [breach.what for breach in verdict.check_orphans(history.store, studies, taken)] == [
        f"{keys.score(history.score)} is in use, and would go"
    ]


def test_two_winners_are_caught(history: History) -> None:
    key = keys.manifest(history.spec)
    history.entries.append(Entry(0.0, "PUT", key, 200, "another", "another"))
    assert history.checks() == {"one manifest"}
    history.entries.append(Entry(0.0, "PUT", keys.score(history.score), 200, "another", "another"))
    assert history.checks() == {"one manifest", "one score"}


def test_work_without_its_end_is_caught(history: History) -> None:
    main, poison = history.shown
    jobs = [main.jobs[0].model_copy(update={"state": State.RUNNING}), *main.jobs[1:]]
    history.shown = [main._replace(jobs=jobs), poison]
    assert history.checks() == {"ends"}
    history.shown = [main._replace(pairs=main.pairs[1:]), poison]
    assert history.checks() == {"ends"}


def test_a_failure_after_too_many_attempts_or_without_a_reason_is_caught(history: History) -> None:
    main, poison = history.shown
    bad = next(job for job in poison.jobs if job.failure)
    assert bad.failure
    for change in ({"failure": None}, {"failure": bad.failure.model_copy(update={"attempts": 99})}):
        jobs = [job.model_copy(update=change) if job is bad else job for job in poison.jobs]
        history.shown = [main, poison._replace(jobs=jobs)]
        assert history.checks() == {"ends"}


def test_a_poison_that_was_started_too_often_is_counted(short_run: Path) -> None:
    logs = [path.read_text(encoding="utf-8") for path in (short_run / "1" / "logs").glob("embedder-*.log")]
    starts = "".join(logs).count("fake-poison kills process")
    assert starts >= 1
    assert not list(verdict.check_starts(logs, starts))
    assert [breach.check for breach in verdict.check_starts(logs, starts - 1)] == ["starts"]
