"""Layers of one model are made in one pass: sent once, made once, and each of them finished, or failed, by itself."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from embedder.adapters.fake import FakeAdapter
from embedder.samples import Floats
from services import embed_worker
from services.bench import Bench
from services.board import Board, Waiting
from services.broker import ANNOUNCE, EMBED, SCORE, Sender, make_app
from services.dispatch import Dispatcher, part_step_id
from services.field_errors import validate
from services.leases import manifest_step_id
from services.ledger import Ledger
from services.meters import Meters
from services.reconciler import Reconciler
from services.studies import Studies
from shared import keys
from shared.contracts import EmbeddingSpec, Study
from shared.embeddings import list_parts, load_vectors, read_manifest, read_receipts
from shared.errors import StoreUnavailable
from shared.requests import StudyRequest
from shared.settings import Settings
from shared.states import State
from shared.store import MemoryStore

ROWS, PARTS, LAYERS = 40, 2, ("block-00", "block-01", "final")
Accept = Callable[..., Study]
Change = Callable[[str, Floats], Floats]


class Killed(BaseException):
    """Stands for the end of a worker."""


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty objects in two images, which are two parts of a fake model; and as many that show nothing."""
    folder = tmp_path_factory.mktemp("tables")
    random = np.random.default_rng(5)
    for name, amplitude in (("sky", 1.0), ("flat", 0.0)):
        columns = {}
        for band in ("near", "far"):
            fluxes = (amplitude * random.normal(size=(ROWS, 1, 8, 8))).astype(np.float32).tolist()
            columns[f"{band}_image"] = [{"band": [band], "flux": flux, "scale": [1.0]} for flux in fluxes]
        (folder / name).mkdir()
        pq.write_table(pa.table(columns), folder / name / "train-00000-of-00001.parquet")
    return folder


@pytest.fixture
def here(redis_url: str, tables: Path) -> Settings:
    """Settings of the test's Redis and tables, in batches of 16."""
    return Settings.read(
        {
            "SAMESKY_REDIS_URL": redis_url,
            "SAMESKY_DATASET_ROOTS": str(tables),
            "SAMESKY_BATCH": "16",
            "SAMESKY_LEASE_SECONDS": "2",
        }
    )


@pytest.fixture
def studies(here: Settings, store: MemoryStore, board: Board) -> Studies:
    """The api's side of it."""
    return Studies(here, store, board, Sender(make_app(here)))


@pytest.fixture
def accept(studies: Studies, tables: Path) -> Accept:
    """Accepts a study of a fake model on two images, at these layers."""

    def make(layers: Sequence[str] = ("all",), dataset: str = "sky", model: str = "fake-small") -> Study:
        own = {
            "name": dataset,
            "folder": str(tables / dataset),
            "modalities": {band: {"column": f"{band}_image", "bands": [band]} for band in ("near", "far")},
        }
        body = {"datasets": [own], "models": [model], "pairs": ["crossmodal"], "layers": list(layers)}
        return studies.accept(validate(StudyRequest, body))[0]

    return make


def message_of(waiting: Waiting) -> dict[str, Any]:
    """What a worker is given of a message, as kombu keeps it."""
    (message,), *_ = json.loads(base64.b64decode(json.loads(waiting.raw)["body"]))
    return dict(message)


class Worker:
    """Takes messages from the queue and does them in this process, by the code that a worker's pool child runs.

    passes: how many layers each batch was encoded for. change: what becomes of the vectors of a layer.
    """

    def __init__(self, board: Board, reconciler: Reconciler) -> None:
        self._board, self._reconciler = board, reconciler
        self.passes: list[int] = []
        self.change: Change = lambda layer, vectors: vectors

    def do_next(self) -> dict[str, Any] | None:
        """Do one message, and return it; None when there is none."""
        waiting = self._board.waiting_steps(EMBED).values()
        if not waiting:
            return None
        first = min(waiting, key=lambda each: each.priority)  # the oldest of them
        assert self._board.withdraw(first)
        message = message_of(first)
        embed_worker.embed_part.run(message)
        return message

    def settle(self) -> int:
        """Do all there is to do, as the reconciler sees it; how many steps that were."""
        for steps in range(100):
            self._reconciler.look()
            if not self.do_next():
                return steps
        pytest.fail("the work does not come to an end")


@pytest.fixture
def worker(
    here: Settings, store: MemoryStore, board: Board, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Worker]:
    """A worker on the test's store, which counts passes."""
    bench, app = Bench(here, EMBED), make_app(here)
    vars(bench)["store"] = store
    for name, value in (("_settings", here), ("_bench", bench), ("app", app)):
        monkeypatch.setattr(embed_worker, name, value)
    embed_worker._source.cache_clear()
    reconciler = Reconciler(ledger, board, Dispatcher(ledger, board, Sender(app), limit=64))
    worker, encode = Worker(board, reconciler), FakeAdapter.encode

    def counting(self: FakeAdapter, batch: Sequence[Any], layers: Sequence[str]) -> tuple[Floats, ...]:
        worker.passes.append(len(layers))
        vectors = encode(self, batch, layers)
        return tuple(worker.change(layer, each.copy()) for layer, each in zip(layers, vectors, strict=True))

    monkeypatch.setattr(FakeAdapter, "encode", counting)
    yield worker
    embed_worker._source.cache_clear()


def part_hashes(store: MemoryStore, spec: EmbeddingSpec) -> list[str]:
    manifest = read_manifest(store, spec)
    assert manifest is not None
    return [part.sha256 for part in manifest.parts]


def by_layer(study: Study, modality: str = "far") -> dict[str, EmbeddingSpec]:
    return {spec.layer: spec for spec in study.embeddings if spec.modality.name == modality}


def ends(studies: Studies, study: Study) -> dict[str, tuple[State, str]]:
    """State and reason of each job, by layer; both modalities come to the same."""
    studies._ledger.refresh()
    found: dict[str, set[tuple[State, str]]] = {}
    for job in studies.jobs(study):
        found.setdefault(job.layer, set()).add((job.state, job.failure.code if job.failure else ""))
    assert all(len(each) == 1 for each in found.values()), found
    return {layer: each.pop() for layer, each in found.items()}


DONE = (State.DONE, "")
BATCHES = 2 * (2 + 1)
"""Of 16 objects, in parts of 32 and 8, in two modalities."""


def test_all_layers_are_made_in_one_pass(
    accept: Accept, worker: Worker, board: Board, studies: Studies, store: MemoryStore
) -> None:
    study = accept()
    assert len(study.embeddings) == 2 * len(LAYERS)
    assert len(board.queued(EMBED)) == 2 * PARTS
    assert worker.settle() == 2 * PARTS
    assert worker.passes == [3] * BATCHES
    assert ends(studies, study) == dict.fromkeys(LAYERS, DONE)
    announced = [message for message in board.queued_messages(SCORE) if message["headers"]["task"] == ANNOUNCE]
    assert len(announced) == len(study.embeddings)
    plain, made = by_layer(accept(["final"]))["final"], by_layer(study)
    assert plain.digest == made["final"].digest
    together = part_hashes(store, plain)
    for key in list(store.keys(keys.embedding_prefix(plain))):
        store.delete(key)
    board.begin_epoch()
    worker.settle()
    assert part_hashes(store, plain) == together
    manifest = read_manifest(store, made["block-00"])
    assert manifest is not None
    assert load_vectors(store, manifest).matrix.shape == (ROWS, 32)


def test_a_step_is_counted_once_and_its_vectors_all(accept: Accept, worker: Worker, redis: Any) -> None:
    study = accept()
    worker.settle()
    counted = Meters(redis).read()
    assert counted["samesky_rows_total"][()].value == len(study.embeddings) * ROWS
    assert sum(counted["samesky_part_seconds"]["fake-small",].buckets.values()) == 2 * PARTS


def test_all_layers_are_seen_to_run_while_one_step_does(accept: Accept, worker: Worker, studies: Studies) -> None:
    study, seen = accept(), []
    worker.change = lambda layer, vectors: seen.append(studies.jobs(study)) or vectors  # type: ignore[func-returns-value]
    worker.do_next()
    first, second = ([job for job in jobs if job.modality == "far"] for jobs in (seen[0], seen[3]))
    assert [job.rows_done for job in first] == [0, 0, 0]
    assert [(job.state, job.rows_done) for job in second] == [(State.RUNNING, 16)] * 3


def spoil(bad: str, value: float) -> Change:
    def change(layer: str, vectors: Floats) -> Floats:
        if layer == bad:
            vectors[-1] = value
        return vectors

    return change


@pytest.mark.parametrize(
    ("bad", "value", "code"),
    [("block-00", np.nan, "not-finite"), ("block-01", 0, "zero-vector"), ("final", np.inf, "not-finite")],
)
def test_a_layer_that_fails_fails_no_other(
    accept: Accept, worker: Worker, studies: Studies, bad: str, value: float, code: str
) -> None:
    study = accept()
    worker.change = spoil(bad, value)
    worker.settle()
    assert ends(studies, study) == {layer: (State.FAILED, code) if layer == bad else DONE for layer in LAYERS}
    worker.change = lambda layer, vectors: vectors
    assert studies.retry(study) >= 2
    worker.settle()
    assert ends(studies, study) == dict.fromkeys(LAYERS, DONE)


def test_a_block_that_is_not_there_fails_alone(
    accept: Accept, worker: Worker, studies: Studies, store: MemoryStore
) -> None:
    accepted = accept(["block-01", "final"])
    for key in (keys.study(accepted.id), *store.keys(keys.EMBEDDINGS)):
        store.delete(key)
    embeddings = [
        spec.model_copy(update={"layer": {"block-01": "block-07"}.get(spec.layer, spec.layer)})
        for spec in accepted.embeddings
    ]
    study = accepted.model_copy(update={"embeddings": tuple(embeddings)})
    store.put(keys.study(study.id), study.to_json())
    worker.settle()
    assert ends(studies, study) == {"block-07": (State.FAILED, "checkpoint-unavailable"), "final": DONE}


def test_of_objects_that_show_nothing_each_layer_says_so_itself(
    accept: Accept, worker: Worker, studies: Studies
) -> None:
    study = accept(dataset="flat")
    worker.settle()
    assert ends(studies, study) == dict.fromkeys(LAYERS, (State.FAILED, "empty-dataset"))
    assert worker.passes == []


class Failing(MemoryStore):
    """A store in which something happens to some writes."""

    def __init__(self) -> None:
        super().__init__()
        self.before: Callable[[str], None] = lambda key: None

    def put(self, key: str, data: bytes) -> None:
        self.before(key)
        super().put(key, data)

    def put_if_absent(self, key: str, data: bytes) -> bool:
        self.before(key)
        return super().put_if_absent(key, data)


class TestFailingStore:
    """What a worker does not live, or is not let, to store."""

    @pytest.fixture
    def store(self) -> Failing:
        return Failing()

    def test_a_killed_worker_loses_nothing_that_is_stored(
        self, accept: Accept, worker: Worker, studies: Studies, store: Failing
    ) -> None:
        study = accept()

        def die(key: str) -> None:
            if "/block-01/" in key:
                raise Killed

        store.before = die
        with pytest.raises(Killed):
            worker.do_next()
        store.before = lambda key: None
        begun = {layer: spec for layer, spec in by_layer(study).items() if read_receipts(store, spec)}
        assert list(begun) == ["block-00"]
        before = dict(read_receipts(store, begun["block-00"]))
        worker.passes.clear()
        worker.settle()
        assert ends(studies, study) == dict.fromkeys(LAYERS, DONE)
        assert sorted(worker.passes) == [2] * 2 + [3] * (BATCHES - 2)
        assert read_receipts(store, begun["block-00"]).items() >= before.items()

    def test_what_the_store_does_not_take_of_one_layer_is_no_failure_of_another(
        self, accept: Accept, worker: Worker, studies: Studies, store: Failing, redis: Any
    ) -> None:
        study = accept()

        def refuse(key: str) -> None:
            if "/block-01/" in key:
                raise StoreUnavailable("the disk is full")

        store.before = refuse
        for _ in range(3):
            worker.settle()
            redis.delete(*redis.keys("samesky:rest:*"), "none")  # the rests are over
        assert ends(studies, study) == {
            "block-00": DONE,
            "block-01": (State.FAILED, "store-unavailable"),
            "final": DONE,
        }

    def test_a_manifest_that_the_store_does_not_take_is_written_by_a_later_step(
        self, accept: Accept, worker: Worker, studies: Studies, store: Failing
    ) -> None:
        study, refused = accept(), set[str]()

        def refuse(key: str) -> None:
            if "/block-01/" in key and keys.is_manifest(key) and key not in refused:
                refused.add(key)
                raise StoreUnavailable("no answer")

        store.before = refuse
        worker.settle()
        assert len(refused) == 2  # that of each image once, by the step of another layer, which was done all the same
        assert ends(studies, study) == dict.fromkeys(LAYERS, DONE)
        assert list(store.keys(keys.ENDINGS)) == []


def test_a_layer_that_cannot_be_finished_fails_no_other(
    accept: Accept, worker: Worker, studies: Studies, store: MemoryStore
) -> None:
    study = accept()
    for modality in ("far", "near"):
        store.put(keys.manifest(by_layer(study, modality)["block-01"]), b"{half")
    worker.settle()
    assert ends(studies, study) == {"block-00": DONE, "block-01": (State.FAILED, "bad-record"), "final": DONE}
    assert list(store.keys(keys.ENDINGS)) == []  # no step failed


def queued(board: Board, study: Study) -> dict[str, list[str]]:
    """The layers of each waiting step of the far images, the one that leads first, by part."""
    labels = {spec.digest: spec.layer for spec in by_layer(study).values()}
    found = {}
    for waiting in board.waiting_steps(EMBED).values():
        message, step = message_of(waiting), json.loads(waiting.raw)["headers"]["id"]
        digest, _, index = step.partition(":")
        if digest in labels:
            assert message["embedding"]["layer"] == labels[digest]
            found[index] = [labels[digest], *message["layers"]]
    return found


def empty_queue(board: Board) -> None:
    for waiting in board.waiting_steps(EMBED).values():
        board.withdraw(waiting)


def test_the_first_layer_that_misses_a_part_leads_it(
    accept: Accept, board: Board, worker: Worker, store: MemoryStore, studies: Studies
) -> None:
    study = accept(["block-00", "final"])
    assert queued(board, study) == {str(index): ["block-00", "final"] for index in range(PARTS)}
    worker.settle()
    everything = accept()
    assert queued(board, everything) == {str(index): ["block-01"] for index in range(PARTS)}
    empty_queue(board)
    receipt = next(key for key in store.keys(keys.attempts_prefix(by_layer(study)["final"])) if key.endswith(".json"))
    store.delete(receipt)
    store.delete(keys.manifest(by_layer(study)["final"]))
    board.begin_epoch()
    studies.retry(everything)
    index = keys.receipt_index(receipt)
    expected = {str(part): ["block-01", "final"] if part == index else ["block-01"] for part in range(PARTS)}
    assert queued(board, everything) == expected
    worker.settle()
    assert ends(studies, everything) == dict.fromkeys(LAYERS, DONE)


def test_no_other_layer_leads_a_part_while_its_step_runs(
    accept: Accept, board: Board, worker: Worker, store: MemoryStore, ledger: Ledger, sender: Sender
) -> None:
    study = accept()
    layers = by_layer(study)
    worker.change = spoil("block-01", np.nan)  # so that parts are stored of two layers
    step = part_step_id(layers["block-00"].digest, 0)
    while step in board.queued(EMBED):
        worker.do_next()
    empty_queue(board)
    assert set(read_receipts(store, layers["block-00"])) > set(read_receipts(store, layers["block-01"]))
    dispatcher = Dispatcher(ledger, board, sender, limit=64)
    with board.leases.lease(step, "a worker that is about to store the others"):
        dispatcher.release([study])
        assert "0" not in queued(board, study)
    dispatcher.release([study])
    assert queued(board, study)["0"] == ["block-01"]


def test_layers_that_were_not_declared_whole_are_finished_by_one_step(
    accept: Accept, board: Board, worker: Worker, store: MemoryStore, studies: Studies
) -> None:
    study = accept()
    worker.settle()
    for spec in study.embeddings:
        store.delete(keys.manifest(spec))
    board.begin_epoch()
    studies._ledger.keep_up(board)
    worker.passes.clear()
    with board.leases.lease(manifest_step_id(by_layer(study)["block-01"].digest), "a worker that declares them whole"):
        studies.retry(study)
        assert queued(board, study) == {}
    assert worker.settle() == 2
    assert worker.passes == []
    assert ends(studies, study) == dict.fromkeys(LAYERS, DONE)


def test_a_cancelled_layer_holds_up_no_study_that_wants_the_others(
    accept: Accept, board: Board, worker: Worker, studies: Studies
) -> None:
    everything = accept()
    assert queued(board, everything)["0"] == list(LAYERS)
    some = accept(["block-01", "final"])
    studies.cancel(everything)
    worker.settle()
    assert ends(studies, some) == {"block-01": DONE, "final": DONE}
    assert ends(studies, everything)["block-00"] == (State.CANCELLED, "")
    assert sum(worker.passes) == 2 * BATCHES  # the cancelled ones that waited were not begun


def test_studies_of_different_layers_share_what_is_stored(
    accept: Accept, worker: Worker, studies: Studies, board: Board
) -> None:
    some, everything = accept(["final"]), accept()
    assert len(board.queued(EMBED)) == 4 * PARTS
    worker.settle()
    for study in (some, everything):
        assert set(ends(studies, study).values()) == {DONE}
    assert sum(worker.passes) == 3 * BATCHES  # no vector twice, whichever step came first


def test_work_that_kills_its_worker_is_stopped_layer_by_layer(
    accept: Accept, worker: Worker, studies: Studies, board: Board
) -> None:
    study = accept(["block-00", "final"])

    def kill(layer: str, vectors: Floats) -> Floats:
        raise Killed

    worker.change = kill
    for _ in range(100):
        try:
            if not worker.settle():
                break
        except Killed:
            continue
    assert ends(studies, study) == dict.fromkeys(("block-00", "final"), (State.FAILED, "stopped"))


def test_only_the_last_part_of_a_job_asks_the_store_for_all_of_them(
    accept: Accept, worker: Worker, store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = by_layer(accept(["final"]))["final"]
    asked: list[str] = []
    list_keys = MemoryStore.keys

    def counting(self: MemoryStore, prefix: str) -> Iterator[str]:
        asked.append(prefix)
        return list_keys(self, prefix)

    monkeypatch.setattr(MemoryStore, "keys", counting)
    listings = []
    while message := worker.do_next():
        if message["embedding"]["modality"]["name"] == "far":
            listings.append(asked.count(keys.attempts_prefix(spec)))
            asked.clear()
    assert listings == [1] * (PARTS - 1) + [3]
    assert store.exists(keys.manifest(spec))


def test_a_board_that_lost_count_delays_a_manifest_and_no_more(
    accept: Accept, worker: Worker, board: Board, studies: Studies, store: MemoryStore
) -> None:
    study = accept(["final"])
    while worker.do_next():
        board.forget_rows(spec.digest for spec in study.embeddings)
    assert [len(list_parts(store, spec)) for spec in study.embeddings] == [PARTS, PARTS]
    assert not any(store.exists(keys.manifest(spec)) for spec in study.embeddings)
    assert worker.settle() == 2
    assert ends(studies, study) == {"final": DONE}
