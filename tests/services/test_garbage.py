"""Garbage: what nothing names goes, what something names stays."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pytest

from services.board import Board
from services.garbage import Garbage
from services.ledger import Ledger
from services.reopening import ending_of
from shared import keys
from shared.contracts import EmbeddingSpec, Study
from shared.embeddings import commit_manifest, read_receipts, store_part
from shared.endings import add_ending
from shared.errors import BrokerUnavailable
from shared.outcomes import Attempt, Part
from shared.states import State
from shared.store import MemoryStore
from shared.vectors import Vectors

MakeStudy = Callable[..., Study]


@pytest.fixture
def garbage(store: MemoryStore, ledger: Ledger, board: Board) -> Garbage:
    """Garbage, of which an hour makes vectors without a receipt."""
    return Garbage(store, ledger, board, old=3600)


def make_part(store: MemoryStore, spec: EmbeddingSpec, index: int, *, token: int) -> Part:
    start, stop = spec.part_range(index)
    ids = tuple(f"g{row}" for row in range(start, stop))
    matrix = np.random.default_rng(index).normal(size=(stop - start, 4)).astype(np.float32)
    return store_part(
        store,
        spec,
        Attempt(name=f"{token:016d}-a", worker="w", token=token),
        index,
        Vectors(ids, matrix),
        dropped={},
        repaired={},
        seconds=1,
        at="2026-01-01T00:00:00.000+00:00",
        device="cpu",
        packages={},
    )


def make_whole(store: MemoryStore, spec: EmbeddingSpec) -> None:
    for index in range(spec.parts()):
        make_part(store, spec, index, token=2)
    commit_manifest(store, spec, read_receipts(store, spec))


def accept(store: MemoryStore, study: Study) -> None:
    store.put(keys.study(study.id), study.to_json())


def test_a_whole_study_has_none_and_a_lonely_part_beside_a_manifest_is_some(
    garbage: Garbage, store: MemoryStore, make_study: MakeStudy
) -> None:
    study = make_study()
    accept(store, study)
    for spec in study.embeddings:
        make_whole(store, spec)
    for score in study.scores():
        store.put(keys.score_objects(score), b"objects")
        store.put(keys.score(score), b"{}")
    store.put(keys.neighbours(study.embeddings[0].digest, "0" * 32, 10), b"table")
    assert garbage.find() == []
    late = make_part(store, study.embeddings[0], 1, token=1)
    assert garbage.find() == [keys.receipt_beside(late.key), late.key]
    before = list(store.keys(""))
    assert garbage.remove() == [keys.receipt_beside(late.key), late.key]
    assert [key for key in before if key not in list(store.keys(""))] == [keys.receipt_beside(late.key), late.key]


def test_the_parts_of_work_under_way_stay_and_vectors_without_a_receipt_go_when_they_are_old(
    garbage: Garbage, store: MemoryStore, make_study: MakeStudy
) -> None:
    study = make_study()
    accept(store, study)
    spec, now = study.embeddings[0], int(time.time() * 1e6)
    make_part(store, spec, 0, token=1)
    being_written, abandoned = (
        make_part(store, spec, 1, token=now),
        make_part(store, spec, 2, token=now - 4_000 * 10**6),
    )
    for part in (being_written, abandoned):
        store.delete(keys.receipt_beside(part.key))
    assert garbage.find() == [abandoned.key]


def test_the_parts_of_cancelled_work_go_unless_another_study_wants_them(
    garbage: Garbage, store: MemoryStore, ledger: Ledger, make_study: MakeStudy
) -> None:
    study, other = make_study(), make_study(models=2)
    accept(store, study)
    make_part(store, study.embeddings[0], 0, token=1)
    add_ending(store, keys.study_endings(), ending_of(study.id, "", State.CANCELLED))
    assert len(garbage.find()) == 2
    accept(store, other)
    assert garbage.find() == []
    add_ending(store, keys.study_endings(), ending_of(other.id, "", State.CANCELLED))
    assert len(garbage.find()) == 2
    add_ending(store, keys.study_endings(), ending_of(study.id, "", State.QUEUED))
    assert garbage.find() == []


def test_per_object_values_without_a_score_go_when_nobody_works_on_it(
    garbage: Garbage, store: MemoryStore, board: Board, make_study: MakeStudy
) -> None:
    (score,) = make_study().scores()
    store.put(keys.score_objects(score), b"objects")
    with board.leases.lease(score.digest, "us"):
        assert garbage.find() == []
    assert garbage.find() == [keys.score_objects(score)]


def test_neighbours_of_what_is_not_whole_go(garbage: Garbage, store: MemoryStore, spec: EmbeddingSpec) -> None:
    key = keys.neighbours(spec.digest, "0" * 32, 10)
    store.put(key, b"table")
    assert garbage.find() == [key]
    make_whole(store, spec)
    assert garbage.find() == []


def test_what_is_none_of_ours_and_what_cannot_be_read_stay(
    garbage: Garbage, store: MemoryStore, spec: EmbeddingSpec
) -> None:
    make_whole(store, spec)
    store.put(keys.manifest(spec), b"{half")
    store.put("notes.txt", b"a person's")
    store.put("embeddings/readme.txt", b"a person's")
    assert garbage.find() == []


def test_without_redis_nothing_is_garbage(store: MemoryStore, ledger: Ledger, spec: EmbeddingSpec) -> None:
    from redis import Redis

    store.put(f"{keys.SCORES}sky/{'0' * 32}/{'1' * 32}.objects.parquet", b"objects")
    away = Board(Redis(port=1, socket_connect_timeout=0.2), lease_seconds=1)
    with pytest.raises(BrokerUnavailable):
        Garbage(store, ledger, away).remove()
    assert len(list(store.keys(""))) == 1
