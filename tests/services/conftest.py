"""A board on a real Redis-protocol server, emptied for each test, and small specifications."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from redis import Redis

from services.board import Board
from services.broker import Sender, make_app
from services.dispatch import Dispatcher
from services.ledger import Ledger
from shared.contracts import DatasetRef, EmbeddingSpec, ModelRef, Scoring, Study
from shared.modalities import Modality
from shared.planning import expand
from shared.settings import Settings
from shared.store import MemoryStore


@pytest.fixture
def redis(redis_url: str) -> Iterator[Redis]:
    """An empty Redis."""
    client = Redis.from_url(redis_url, decode_responses=True)
    client.flushall()
    yield client
    client.close()


@pytest.fixture
def board(redis: Redis) -> Board:
    """A board with short leases."""
    return Board(redis, lease_seconds=2)


@pytest.fixture
def settings(redis_url: str) -> Settings:
    """Default settings on the test's Redis."""
    return Settings.read({"SAMESKY_REDIS_URL": redis_url})


@pytest.fixture
def sender(settings: Settings) -> Sender:
    """Puts messages on the test's queues."""
    return Sender(make_app(settings))


@pytest.fixture
def store() -> MemoryStore:
    """An empty object store."""
    return MemoryStore()


@pytest.fixture
def ledger(store: MemoryStore) -> Ledger:
    """The ledger of the test's store."""
    return Ledger(store)


@pytest.fixture
def dispatcher(ledger: Ledger, board: Board, sender: Sender) -> Dispatcher:
    """A dispatcher that lets eight messages wait in a queue."""
    return Dispatcher(ledger, board, sender, limit=8)


def model(name: str, parameters: float = 1.0, part_rows: int = 16) -> ModelRef:
    """A fake model."""
    return ModelRef(
        name=name,
        family="fake",
        adapter="fake",
        checkpoint=name,
        revision="1",
        pooling="mean",
        parameters=parameters,
        part_rows=part_rows,
    )


def modality(name: str) -> Modality:
    """A modality shown in one band."""
    return Modality(name=name, kind="image", column=f"{name}_image", recipe="arcsinh-image-v1", bands=("g",))


@pytest.fixture
def make_study() -> Callable[..., Study]:
    """Builds a crossmodal study of fake models on two modalities."""

    def make(models: int = 1, rows: int = 40, seed: int = 0, part_rows: int = 16) -> Study:
        dataset = DatasetRef(
            name="sky", revision=f"seed{seed}", source="mocksky", location=str(seed), rows=rows, simulated=True
        )
        return expand(
            [(dataset, [modality("hsc"), modality("jwst")])],
            [model(f"fake-{i}", i + 1, part_rows) for i in range(models)],
            ["crossmodal"],
            Scoring(),
            created_at="2026-01-01T00:00:00+00:00",
        )

    return make


@pytest.fixture
def spec(make_study: Callable[..., Study]) -> EmbeddingSpec:
    """One job of three parts."""
    return make_study().embeddings[0]
