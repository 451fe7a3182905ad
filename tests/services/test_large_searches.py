"""A large search comes before the scores that need it: sent in steps, counted, failed, taken up again, and outlived."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from redis import Redis

from chaos.cluster import wait_until
from scorer.metrics import metric_versions
from scorer.pipeline import score
from scorer.records import read_score
from scorer.search import grid
from scorer.search.records import Search, read_join, read_search
from services import score_worker
from services.bench import Bench
from services.board import Board
from services.broker import PLAN_SEARCHES, SCORE, SCORE_PAIR, SEARCH_STEP, Sender, make_app
from services.dispatch import Dispatcher, search_step_id
from services.failures import describe_failure
from services.garbage import Garbage
from services.ledger import Ledger
from services.local import Child
from services.reconciler import Reconciler
from services.reopening import ending_of
from services.studies import Studies
from shared import keys
from shared.contracts import EmbeddingSpec, ScoreSpec, Scoring, Study
from shared.embeddings import commit_manifest, store_part
from shared.endings import add_ending
from shared.errors import OutOfMemory
from shared.outcomes import Attempt
from shared.settings import Settings
from shared.states import State
from shared.store import DirectoryStore, MemoryStore, ObjectStore
from shared.vectors import Vectors

MakeStudy = Callable[..., Study]
ROWS, DIMENSION, K = 48, 4, 5
PRODUCTS = 16 * 16 * DIMENSION
"""Of 3 by 3 tiles."""
STEPS = 3 * 3 + 3 + 1


def keep(store: ObjectStore, spec: EmbeddingSpec, seed: int, *, zero: bool = False) -> None:
    """Store an embedding of random vectors, in an order of its own."""
    rng = np.random.default_rng(seed)
    rows = spec.dataset.rows
    matrix = rng.normal(size=(rows, DIMENSION)).astype(np.float32)
    matrix[7] *= not zero
    ids, parts = [f"g{row:04d}" for row in rng.permutation(rows)], {}
    for index in range(spec.parts()):
        part = slice(*spec.part_range(index))
        parts[index] = store_part(
            store, spec, Attempt(name=f"{seed:016d}-a", worker="w"), index, Vectors(tuple(ids[part]), matrix[part]),
            dropped={}, repaired={}, seconds=0, at="2026-01-01T00:00:00.000+00:00", device="cpu", packages={},
        )  # fmt: skip
    commit_manifest(store, spec, parts)


def searched(store: ObjectStore, spec: ScoreSpec) -> list[Search]:
    """The searches of a pair that are planned, and not yet over."""
    join = read_join(store, spec.pair)
    assert join
    prefixes = [keys.neighbours_prefix(each.digest, join.id_set, K) for each in (spec.pair.left, spec.pair.right)]
    return [search for prefix in prefixes if (search := read_search(store, prefix))]


def scores_in_one_step(store: ObjectStore, study: Study) -> dict[str, Any]:
    """What the scores and neighbour tables of a study are where nothing is cut, by key; hashes of tables."""
    plain = MemoryStore()
    for key in store.keys(keys.EMBEDDINGS):
        plain.put(key, store.get(key))
    for spec in study.scores():
        score(spec, store=plain, threads=1, attempt=Attempt(name="a", worker="w"))
    return results(plain, study)


def results(store: ObjectStore, study: Study) -> dict[str, Any]:
    """Results of all scores and hashes of all tables, by key."""
    found: dict[str, Any] = {}
    for spec in study.scores():
        record = read_score(store, spec)
        assert record
        found[keys.score(spec)] = (record.results, record.per_object_sha256, record.nulls_sha256)
    tables = [key for key in store.keys(keys.NEIGHBOURS) if keys.is_neighbours(key)]
    return found | {key: hashlib.sha256(store.get(key)).hexdigest() for key in tables}


@pytest.fixture
def study(make_study: MakeStudy, store: MemoryStore) -> Study:
    """A study of two models, whose four embeddings are whole."""
    study = of_few_draws(make_study(models=2, rows=ROWS))
    store.put(keys.study(study.id), study.to_json())
    for seed, spec in enumerate(study.embeddings):
        keep(store, spec, seed)
    return study


def of_few_draws(study: Study) -> Study:
    scoring = Scoring(k=K, permutations=99, resamples=99)
    return study.model_copy(update={"scoring": scoring, "metric_versions": metric_versions(scoring, probes=False)})


class Scorer:
    """Takes messages from the queue and does them in this process, by the code that a worker's pool child runs."""

    def __init__(self, board: Board, ledger: Ledger, sender: Sender) -> None:
        self._board = board
        dispatcher = Dispatcher(ledger, board, sender, limit=64, products=PRODUCTS)
        self.reconciler = Reconciler(ledger, board, dispatcher)

    def waiting(self) -> list[dict[str, Any]]:
        """What waits, as Celery wrote it."""
        return self._board.queued_messages(SCORE)

    def do_next(self) -> str:
        """Do one message; the name of its task, or nothing when there is none."""
        found = self._board.waiting_steps(SCORE)
        if not found:
            return ""
        first = min(found.values(), key=lambda each: each.priority)
        assert self._board.withdraw(first)
        told = json.loads(first.raw)
        (message,), *_ = json.loads(base64.b64decode(told["body"]))
        tasks = {
            SCORE_PAIR: score_worker.score_pair,
            PLAN_SEARCHES: score_worker.plan_searches,
            SEARCH_STEP: score_worker.search_step,
        }
        task: str = told["headers"]["task"]
        tasks[task].run(message)
        return task

    def settle(self) -> list[str]:
        """Do all there is to do, as the reconciler sees it; the tasks that were done."""
        done: list[str] = []
        for _ in range(1000):
            self.reconciler.look()
            task = self.do_next()
            if not task:
                return done
            done.append(task)
        pytest.fail("the work does not come to an end")


@pytest.fixture
def here(redis_url: str) -> Settings:
    """Settings of the test's Redis, that cut the searches of the test's embeddings."""
    return Settings.read(
        {
            "SAMESKY_REDIS_URL": redis_url,
            "SAMESKY_SEARCH_PRODUCTS": str(PRODUCTS),
            "SAMESKY_THREADS": "1",
            "SAMESKY_LEASE_SECONDS": "2",
        }
    )


@pytest.fixture
def scorer(
    here: Settings, store: MemoryStore, board: Board, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Scorer]:
    """A scorer on the test's store."""
    bench, app = Bench(here, SCORE), make_app(here)
    vars(bench)["store"] = store
    for name, value in (("_settings", here), ("_bench", bench), ("app", app)):
        monkeypatch.setattr(score_worker, name, value)
    score_worker._known.cache_clear()
    yield Scorer(board, ledger, Sender(app))
    score_worker._known.cache_clear()


@pytest.fixture
def studies(here: Settings, store: MemoryStore, board: Board, sender: Sender) -> Studies:
    """The api's side of it."""
    return Studies(here, store, board, sender)


def test_searches_come_before_scores_and_the_scores_are_those_of_one_step(
    scorer: Scorer, store: MemoryStore, study: Study, studies: Studies
) -> None:
    done = scorer.settle()
    assert {task: done.count(task) for task in done} == {
        PLAN_SEARCHES: len(study.pairs),
        SEARCH_STEP: STEPS * len(study.embeddings),
        SCORE_PAIR: len(study.pairs),
    }
    assert results(store, study) == scores_in_one_step(store, study)
    assert studies.progress(study).state is State.DONE
    left = [key for key in store.keys(keys.NEIGHBOURS) if not keys.is_neighbours(key)]
    assert left == []


def test_the_setting_is_what_a_search_is_cut_by_where_nothing_is_set() -> None:
    assert Settings.read({}).search_products == grid.PRODUCTS


def test_embeddings_that_fit_one_step_are_asked_nothing(
    board: Board, ledger: Ledger, sender: Sender, study: Study, store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.whole_of(study)
    asked: list[str] = []
    for name in ("get", "exists", "keys"):
        real = getattr(store, name)
        monkeypatch.setattr(store, name, lambda key, real=real: (asked.append(key), real(key))[1])
    dispatcher = Dispatcher(ledger, board, sender, limit=64)
    assert len([step for steps in dispatcher.missing(study) for step in steps if step.task == SCORE_PAIR]) == len(
        study.pairs
    )
    assert not [key for key in asked if key.startswith((keys.NEIGHBOURS, keys.JOINS))]


def test_progress_tells_of_pairs_whose_neighbours_are_searched_for(
    scorer: Scorer, study: Study, studies: Studies
) -> None:
    scorer.reconciler.look()
    assert studies.progress(study).pairs[State.QUEUED] == len(study.pairs)
    while scorer.do_next() == PLAN_SEARCHES:
        pass
    studies._ledger.refresh()
    assert studies.progress(study).pairs[State.RUNNING] == len(study.pairs)


def test_a_redis_that_is_wiped_between_steps_changes_nothing(
    scorer: Scorer, store: MemoryStore, study: Study, redis: Redis
) -> None:
    done: list[str] = []
    for step in range(1000):
        scorer.reconciler.look()
        if not scorer.waiting():
            break
        done.append(scorer.do_next())
        if step % 7 == 0:
            redis.flushall()
    assert results(store, study) == scores_in_one_step(store, study)
    assert done.count(SEARCH_STEP) == STEPS * len(study.embeddings), "no step is done twice"


def test_a_message_of_a_search_that_is_over_or_of_a_score_that_must_wait_does_nothing(
    scorer: Scorer, store: MemoryStore, study: Study
) -> None:
    spec = study.scores()[0]
    score_worker.score_pair.run({"study": study.id, "score": spec.model_dump(mode="json")})
    assert not list(store.keys(keys.SCORES))
    score_worker.plan_searches.run({"study": study.id, "score": spec.model_dump(mode="json")})
    search = searched(store, spec)[0]
    message = {"study": study.id, "score": spec.digest, "search": search.model_dump(mode="json")}
    for name in ("tile-00000-00003", "strip-00003", "tile-0-0", "elsewhere", ""):
        score_worker.search_step.run(message | {"step": name})
    other = message | {"search": message["search"] | {"block": 1}, "step": "tile-00000-00003"}  # type: ignore[operator]
    score_worker.search_step.run(other)
    assert not [key for key in store.keys(search.prefix) if keys.piece_of(key)]
    scorer.settle()
    before = list(store.keys(""))
    score_worker.search_step.run(message | {"step": "tile-00000-00001"})
    assert list(store.keys("")) == before


def test_a_search_that_fails_fails_the_scores_that_need_it_until_they_are_retried(
    scorer: Scorer, store: MemoryStore, study: Study, studies: Studies
) -> None:
    first, second = study.scores()[:2]
    scorer.reconciler.look()
    while scorer.do_next() == PLAN_SEARCHES:
        pass
    search = searched(store, first)[0]
    whole = {key: store.get(key) for key in store.keys(keys.attempts_prefix(search.embedding))}
    for key, data in whole.items():
        store.put(key, data[:-1] if key.endswith("part-00001.parquet") else data)
    scorer.settle()
    studies._ledger.refresh()
    by_score = {pair.score: pair for pair in studies.pairs(study)}
    failed = by_score[first.digest]
    assert failed.state is State.FAILED
    assert failed.failure
    assert failed.failure.code == "altered-part"
    assert f"there is no table of the {K} neighbours in {search.embedding.label}" in failed.failure.wrong
    assert by_score[second.digest].state is State.DONE, "the other pair has other embeddings"
    for key, data in whole.items():
        store.put(key, data)
    assert studies.retry(study) == 1
    scorer.settle()
    studies._ledger.refresh()
    assert studies.progress(study).state is State.DONE
    assert results(store, study) == scores_in_one_step(store, study)


def test_vectors_that_have_no_neighbours_fail_their_pairs_before_the_first_tile(
    scorer: Scorer, store: MemoryStore, study: Study, studies: Studies
) -> None:
    spoilt = study.scores()[0].pair.left
    for key in list(store.keys(keys.embedding_prefix(spoilt))):
        store.delete(key)
    keep(store, spoilt, 9, zero=True)
    done = scorer.settle()
    studies._ledger.refresh()
    failed, other = studies.pairs(study)
    assert failed.failure
    assert failed.failure.code == "zero-vector"
    assert other.state is State.DONE
    assert done.count(SEARCH_STEP) == STEPS * 2


def test_steps_of_a_cancelled_study_are_not_begun(
    scorer: Scorer, store: MemoryStore, study: Study, studies: Studies, board: Board
) -> None:
    scorer.reconciler.look()
    while scorer.do_next() == PLAN_SEARCHES:
        pass
    scorer.reconciler.look()
    studies.cancel(study)
    assert scorer.waiting()
    while scorer.do_next():
        pass
    planned = [search for spec in study.scores() for search in searched(store, spec)]
    pieces = [key for key in store.keys(keys.NEIGHBOURS) if keys.piece_of(key)]
    assert len(pieces) <= 1, "what ran before"
    assert {keys.search_record(search.prefix) for search in planned} <= set(studies.garbage(remove=False))
    studies.retry(study)
    scorer.settle()
    assert results(store, study) == scores_in_one_step(store, study)


def test_a_damaged_table_is_searched_in_steps_again(scorer: Scorer, store: MemoryStore, study: Study) -> None:
    scorer.settle()
    whole = scores_in_one_step(store, study)
    spec = study.scores()[0]
    for key in list(store.keys(keys.NEIGHBOURS)):
        store.put(key, store.get(key)[:-1])
    for key in list(store.keys(keys.SCORES)):
        store.delete(key)
    score_worker._known.cache_clear()
    score_worker._shelf.cache_clear()  # a worker that begins, and has no table of its own
    scorer.reconciler._ledger.forget()
    scorer.reconciler._complete.clear()
    scorer._board.begin_epoch()
    for _ in range(3):  # each start of a score rests after it found a table damaged
        scorer.settle()
        for each in study.scores():
            scorer._board.forget([each.digest])
    assert keys.score(spec) in set(store.keys(keys.SCORES))
    assert results(store, study) == whole


def test_what_is_left_of_a_search_is_garbage_once_its_table_is_there(
    scorer: Scorer, store: MemoryStore, study: Study, ledger: Ledger, board: Board
) -> None:
    scorer.reconciler.look()
    while scorer.do_next() == PLAN_SEARCHES:
        pass
    scorer.reconciler.look()
    scorer.do_next()
    garbage = Garbage(store, ledger, board)
    assert garbage.find() == [], "a search that goes on is none"
    (piece,) = [key for key in store.keys(keys.NEIGHBOURS) if keys.piece_of(key)]
    late, stale = store.get(piece), piece.replace(keys.piece_of(piece)[0], "0" * 32)  # type: ignore[index]
    store.put(stale, late)
    assert garbage.find() == [stale]
    scorer.settle()
    store.put(piece, late)
    assert piece in garbage.find()
    store.delete(keys.manifest(study.scores()[0].pair.left))
    assert keys.join(study.scores()[0].pair) in garbage.find()
    garbage.remove()
    assert garbage.find() == []


def test_a_failed_search_is_known_after_redis_is_wiped(
    scorer: Scorer, store: MemoryStore, study: Study, redis: Redis, ledger: Ledger
) -> None:
    scorer.reconciler.look()
    while scorer.do_next() == PLAN_SEARCHES:
        pass
    search = searched(store, study.scores()[0])[0]
    endings = keys.work_endings(search.embedding.dataset.name)
    failure = describe_failure(OutOfMemory("no room"), work=search.digest, label=search.label, attempts=3)
    failed = ending_of(search.digest, search.label, State.FAILED).model_copy(update={"failure": failure})
    add_ending(store, endings, failed)
    redis.flushall()
    scorer.reconciler.look()
    waiting = [message["headers"]["id"] for message in scorer.waiting()]
    assert waiting
    assert not [step for step in waiting if step.startswith(search.digest)]
    other = searched(store, study.scores()[1])[0]
    assert search_step_id(other, next(iter(other.grid.steps()))) in waiting


ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture
def processes(redis_url: str, redis: Redis, tmp_path: Path) -> Iterator[dict[str, Child]]:
    """A reconciler and two scorers, on a store in a folder; not yet started."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SAMESKY_")} | {
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
        "SAMESKY_REDIS_URL": redis_url,
        "SAMESKY_STORE_URL": f"file://{tmp_path / 'store'}",
        "SAMESKY_SEARCH_PRODUCTS": str(80 * 80 * DIMENSION),
        "SAMESKY_THREADS": "1",
        "SAMESKY_LEASE_SECONDS": "2",
        "SAMESKY_VISIBILITY_SECONDS": "2",
        "SAMESKY_RECONCILE_SECONDS": "1",
        "SAMESKY_REST_SECONDS": "1",
    }
    children = {
        name: Child(
            name,
            [sys.executable, "-m", "services.cli", name.partition("-")[0]],
            environment,
            tmp_path / f"{name}.log",
        )
        for name in ("reconciler", "scorer-0", "scorer-1")
    }
    yield children
    for child in children.values():
        child.signal_all(signal.SIGKILL)
        child.wait(5)


def test_two_scorers_one_of_which_is_killed_give_the_bits_of_one_step(
    processes: dict[str, Child], tmp_path: Path, make_study: MakeStudy, redis: Redis
) -> None:
    store = DirectoryStore(tmp_path / "store")
    study = of_few_draws(make_study(models=1, rows=400, part_rows=64))
    for seed, spec in enumerate(study.embeddings):
        keep(store, spec, seed)
    store.put(keys.study(study.id), study.to_json())
    for child in processes.values():
        child.start()

    def pieces() -> int:
        return sum(keys.piece_of(key) is not None for key in store.keys(keys.NEIGHBOURS))

    wait_until(lambda: pieces() > 4, 60, "the first tiles")
    processes["scorer-0"].signal_all(signal.SIGKILL)
    processes["scorer-0"].wait(5)
    assert not list(store.keys(keys.SCORES)), "it is killed in the middle"
    redis.flushall()
    time.sleep(0.5)
    processes["scorer-0"].start()
    wait_until(lambda: read_score(store, study.scores()[0]) is not None, 60, "the score")
    assert results(store, study) == scores_in_one_step(store, study)
    assert not [key for key in store.keys(keys.NEIGHBOURS) if not keys.is_neighbours(key)]
