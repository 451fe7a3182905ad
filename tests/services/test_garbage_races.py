"""What is swept, and what is not: whatever comes into use between the look and the removal stays."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest

from services.board import Board
from services.garbage import Garbage
from services.leases import manifest_step_id
from services.ledger import Ledger
from services.reopening import ending_of
from shared import keys
from shared.contracts import EmbeddingSpec, Study
from shared.embeddings import commit_manifest, load_object_ids, read_manifest, read_receipts, store_part
from shared.endings import add_ending, list_endings
from shared.outcomes import Attempt
from shared.states import State
from shared.store import MemoryStore
from shared.vectors import Vectors

MakeStudy = Callable[..., Study]


# keys.NEIGHBOURS is the last that a look lists.
class Moving(MemoryStore):
    """A store in which something happens while it is looked through."""

    def __init__(self) -> None:
        super().__init__()
        self.after_listing: dict[str, Callable[[], None]] = {}

    def keys(self, prefix: str) -> Iterator[str]:
        found = super().keys(prefix)
        self.after_listing.get(prefix, lambda: None)()
        return found


@pytest.fixture
def store() -> Moving:
    """An empty store."""
    return Moving()


@pytest.fixture
def garbage(store: Moving, ledger: Ledger, board: Board) -> Garbage:
    """The garbage of the test's store."""
    return Garbage(store, ledger, board)


def store_parts(store: MemoryStore, spec: EmbeddingSpec, *indices: int) -> None:
    for index in indices:
        start, stop = spec.part_range(index)
        rows = np.ones((stop - start, 4), np.float32)
        store_part(
            store,
            spec,
            Attempt(name="attempt", worker="test"),
            index,
            Vectors(tuple(f"g{row}" for row in range(start, stop)), rows),
            dropped={},
            repaired={},
            seconds=1.0,
            at="2026-01-01T00:00:00.000+00:00",
            device="cpu",
            packages={},
        )


def finish(store: MemoryStore, spec: EmbeddingSpec) -> None:
    store_parts(store, spec, *range(spec.parts()))
    commit_manifest(store, spec, read_receipts(store, spec))


def given_up(store: MemoryStore, study: Study) -> EmbeddingSpec:
    store.put(keys.study(study.id), study.to_json())
    add_ending(store, keys.study_endings(), ending_of(study.id, "", State.CANCELLED))
    spec = study.embeddings[0]
    store_parts(store, spec, 0, 1)
    return spec


def test_what_only_a_cancelled_study_wanted_goes(store: Moving, garbage: Garbage, make_study: MakeStudy) -> None:
    spec = given_up(store, make_study())
    stored = list(store.keys(keys.EMBEDDINGS))
    assert garbage.find() == stored
    assert garbage.remove() == stored
    assert list(store.keys(keys.EMBEDDINGS)) == []
    assert read_manifest(store, spec) is None


def test_an_embedding_that_became_whole_meanwhile_stays_whole(
    store: Moving, garbage: Garbage, make_study: MakeStudy
) -> None:
    spec = given_up(store, make_study())
    store.after_listing[keys.NEIGHBOURS] = lambda: finish(store, spec)
    assert garbage.remove() == []
    manifest = read_manifest(store, spec)
    assert manifest is not None
    assert len(load_object_ids(store, manifest)) == spec.dataset.rows


def test_an_embedding_that_is_being_declared_whole_is_left(
    store: Moving, garbage: Garbage, board: Board, make_study: MakeStudy
) -> None:
    spec = given_up(store, make_study())
    with board.leases.lease(manifest_step_id(spec.digest), "a worker"):
        assert garbage.remove() == []
    assert garbage.remove() != []


def test_sound_parts_of_a_manifest_that_is_just_taken_back_stay(
    store: Moving, garbage: Garbage, make_study: MakeStudy
) -> None:
    spec = make_study().embeddings[0]
    finish(store, spec)
    store.after_listing[keys.EMBEDDINGS] = lambda: store.delete(keys.manifest(spec))
    assert garbage.find() == []


def test_values_of_a_score_that_was_made_meanwhile_stay(store: Moving, garbage: Garbage, make_study: MakeStudy) -> None:
    (score, *_) = make_study().scores()
    store.put(keys.score_objects(score), b"values")
    assert garbage.find() == [keys.score_objects(score)]
    store.after_listing[keys.NEIGHBOURS] = lambda: store.put(keys.score(score), b"{}")
    assert garbage.remove() == []
    assert store.get(keys.score_objects(score)) == b"values"


def test_keys_that_are_none_of_ours_are_left_alone(store: Moving, garbage: Garbage, make_study: MakeStudy) -> None:
    study = make_study()
    spec = given_up(store, study)
    garbage.remove()
    strange = [
        f"{keys.embedding_prefix(spec)}notes.txt",
        f"{keys.attempts_prefix(spec)}notes.txt",
        "embeddings/notes.txt",
        "endings/studies/notes.txt",
        f"endings/studies/{study.id}/notes.txt",
        "neighbours/notes.txt",
        "scores/notes.txt",
        "scores/sky/notes.objects.parquet",
    ]
    for key in strange:
        store.put(key, b"somebody's")
    assert garbage.remove() == []
    assert set(list_endings(store, keys.study_endings())) == {study.id}
    assert add_ending(store, keys.study_endings(), ending_of(study.id, "", State.QUEUED))
