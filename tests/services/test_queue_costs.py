"""What the queue costs, in calls to the store and round trips to Redis: bounded for a step, and not by the study."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from redis.connection import AbstractConnection

from services import ledger as ledgers
from services.board import Board
from services.broker import EMBED, SCORE, Sender, make_app, queue_lists
from services.dispatch import Dispatcher, Step, part_step
from services.ledger import Ledger
from services.meters import Meters
from services.reconciler import Reconciler
from services.steps import Runner, StepWork
from services.studies import Studies
from shared import keys
from shared.contracts import EmbeddingSpec, PairPolicy, Scoring, Study
from shared.embeddings import commit_manifest, read_receipts, store_part
from shared.outcomes import Attempt
from shared.planning import expand
from shared.requests import StudyRequest
from shared.settings import Settings
from shared.store import MemoryStore
from shared.vectors import Vectors

MakeStudy = Callable[..., Study]
Release = Callable[[int], Dispatcher]


class CountingStore(MemoryStore):
    """A store that counts what it is asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: Counter[str] = Counter()

    def get(self, key: str) -> bytes:
        self.calls["get"] += 1
        return super().get(key)

    def exists(self, key: str) -> bool:
        self.calls["exists"] += 1
        return super().exists(key)

    def keys(self, prefix: str) -> Iterator[str]:
        self.calls["keys"] += 1
        return super().keys(prefix)

    def put_if_absent(self, key: str, data: bytes) -> bool:
        self.calls["put_if_absent"] += 1
        return super().put_if_absent(key, data)


@pytest.fixture
def store() -> CountingStore:
    """An empty object store that counts."""
    return CountingStore()


@pytest.fixture
def trips(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """A list that grows by one with each round trip to Redis; a pipeline is one."""
    sent: list[object] = []
    send = AbstractConnection.send_packed_command

    def counting(self: Any, command: Any, *arguments: Any, **options: Any) -> Any:
        sent.append(command)
        return send(self, command, *arguments, **options)

    monkeypatch.setattr(AbstractConnection, "send_packed_command", counting)
    return sent


@pytest.fixture
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets lists stay fresh for a minute, so that a slow machine asks no more often."""
    monkeypatch.setattr(ledgers, "_FRESH_SECONDS", 60.0)


@pytest.fixture
def widened(make_study: MakeStudy) -> Callable[..., Study]:
    """Builds a study of a model on many modalities."""

    def make(modalities: int, policies: Sequence[PairPolicy] = ("all",), models: int = 1) -> Study:
        embeddings = make_study(models=models, rows=12).embeddings
        taken = list({spec.model.name: spec.model for spec in embeddings}.values())
        base = embeddings[0].modality
        seen = [base.model_copy(update={"name": f"m{number}"}) for number in range(modalities)]
        return expand([(embeddings[0].dataset, seen)], taken, policies, Scoring(k=5), created_at="now")

    return make


def finish(store: MemoryStore, spec: EmbeddingSpec) -> None:
    ids = tuple(f"g{row}" for row in range(spec.dataset.rows))
    vectors = Vectors(ids, np.random.default_rng(7).normal(size=(len(ids), 4)).astype(np.float32))
    store_part(
        store, spec, Attempt(name="attempt", worker="test"), 0, vectors,
        dropped={}, repaired={}, seconds=1.0, at="2026-01-01T00:00:00.000+00:00", device="cpu", packages={},
    )  # fmt: skip
    commit_manifest(store, spec, read_receipts(store, spec))


def announce(
    study: Study, spec: EmbeddingSpec, store: CountingStore, board: Board, sender: Sender, trips: list[object]
) -> tuple[int, Counter[str], int]:
    """Announce an embedding to a worker that knows nothing yet: scores sent, store calls, round trips to Redis."""
    store.put(keys.study(study.id), study.to_json())
    board.want(study.id, [each.digest for each in study.embeddings])
    sender.send("warm", SCORE, {})  # it opens its connections, and says once where the queue's messages go
    board._redis.delete(*queue_lists(SCORE))
    store.calls.clear()
    trips.clear()
    sent = Dispatcher(Ledger(store), board, sender, limit=1000).announced(spec)
    return sent, Counter(store.calls), len(trips)


def test_an_announcement_costs_the_same_however_large_the_study(
    widened: Callable[..., Study], store: CountingStore, board: Board, sender: Sender, trips: list[object]
) -> None:
    costs = []
    for models in (20, 70):
        study = widened(2, ["crossmodal"], models)
        assert len(study.embeddings) == 2 * models
        pair = study.scores()[3].pair
        finish(store, pair.left)
        finish(store, pair.right)
        costs.append(announce(study, pair.right, store, board, sender, trips))
        board._redis.flushall()
    assert costs[0] == costs[1]
    assert costs[0][:2] == (1, Counter({"get": 3, "exists": 1}))  # the study, both manifests; and the score


def test_an_announcement_costs_two_questions_and_one_message_for_each_pair_that_it_completes(
    widened: Callable[..., Study], store: CountingStore, board: Board, sender: Sender, trips: list[object]
) -> None:
    for embeddings in (40, 140):
        study = widened(embeddings)
        for spec in study.embeddings:
            finish(store, spec)
        sent, calls, round_trips = announce(study, study.embeddings[1], store, board, sender, trips)
        assert sent == embeddings - 1
        assert calls == Counter({"get": 1 + embeddings, "exists": sent})
        assert round_trips == 4 + sent + 3 * -(-sent // 64)  # who wants it, what waits; messages; a look at each batch
        board._redis.flushall()


def test_what_has_no_room_is_not_looked_at(dispatcher: Dispatcher, make_study: MakeStudy) -> None:
    study = make_study(rows=16_000)
    assert dispatcher.release([study]) == 8
    taken: list[int] = []

    def more() -> Iterator[Step]:
        for index in range(100, 200):
            taken.append(index)
            yield part_step(study.embeddings[1], index, study.id)

    assert dispatcher.send([more()], after=8) == 0
    assert len(taken) == 1


@pytest.mark.usefixtures("unhurried")
def test_a_look_at_full_queues_costs_redis_the_same_however_large_the_study(
    widened: Callable[..., Study], store: CountingStore, board: Board, sender: Sender, trips: list[object]
) -> None:
    costs = []
    for modalities in (30, 120):
        study = widened(modalities)
        store.put(keys.study(study.id), study.to_json())
        for spec in study.embeddings[:20]:
            finish(store, spec)
        ledger = Ledger(store)
        reconciler = Reconciler(ledger, board, Dispatcher(ledger, board, sender, limit=8))
        assert reconciler.look() == 16  # of either queue what it may hold
        trips.clear()
        store.calls.clear()
        assert reconciler.look() == 0
        costs.append((len(trips), store.calls["exists"], store.calls["keys"]))
        assert store.calls["get"] == 1 + modalities - 20  # the first that is not whole tells that the study is not done
        store.delete(keys.study(study.id))
        board._redis.flushall()
    assert costs[0] == costs[1]


def test_a_step_takes_five_round_trips_beside_its_work(
    redis_url: str, board: Board, store: CountingStore, trips: list[object]
) -> None:
    meters = Meters.open(Settings.read({"SAMESKY_REDIS_URL": redis_url}))
    step = StepWork("step", work="0" * 32, label="sky/hsc/fake", endings=keys.work_endings("sky"), part="part 3")
    runner, counts = Runner(board, store, meters, attempts=3, rest_seconds=5), []

    def work(*_: object) -> None:
        counts.append(len(trips))

    for _ in range(2):  # the first opens a connection, and gives the server the scripts of leases
        trips.clear()
        store.calls.clear()
        assert runner.run(step, work)
    assert counts[-1] == 3  # lease, whether it was cancelled, start
    assert len(trips) == 5  # and forgotten, and the lease given back
    assert store.calls == Counter({"keys": 1})  # whether it has failed


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """A dataset of thirty bands."""
    bands = [f"band-{number}" for number in range(30)]
    flux = np.random.default_rng(0).normal(size=(8, len(bands), 4, 4)).astype(np.float32).tolist()
    image = [{"band": bands, "flux": each, "scale": [1.0] * len(bands)} for each in flux]
    pq.write_table(pa.table({"image": image}), tmp_path / "train-00000-of-00001.parquet")
    return tmp_path


@pytest.mark.usefixtures("unhurried")
def test_accepting_a_study_asks_the_store_once_for_each_embedding_and_never_for_a_pair(
    redis_url: str, table: Path, store: CountingStore, board: Board, sender: Sender
) -> None:
    settings = Settings.read({"SAMESKY_REDIS_URL": redis_url, "SAMESKY_DATASET_ROOTS": str(table)})
    modalities = {f"band-{n}": {"column": "image", "bands": [f"band-{n}"]} for n in range(30)}
    calls = {}
    for policy in ("crossmodal", "all"):
        body = {
            "datasets": [{"name": "wide", "folder": str(table), "modalities": modalities}],
            "models": ["fake-small", "fake-large"],
            "pairs": [policy],
            "scoring": {"k": 5},
        }
        board._redis.flushall()
        store.calls.clear()
        studies = Studies(settings, store, board, Sender(make_app(settings)))
        study, created = studies.accept(StudyRequest.model_validate(body))
        assert created
        assert len(board.queued(EMBED)) == len(study.embeddings) == 60
        studies.progress(study)
        calls[len(study.pairs)] = Counter(store.calls)
    assert sorted(calls) == [2 * 30 * 29 // 2, 60 * 59 // 2]
    few, many = calls.values()
    assert few == many
    assert few["get"] == 60
    assert few["exists"] == 0
    assert few["keys"] <= 60 + 6  # the parts of each that is sent, and how work ended
