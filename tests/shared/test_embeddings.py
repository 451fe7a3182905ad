"""Embeddings in a store: whole or not there, checked when read, the first manifest for good."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from shared import keys
from shared.contracts import EmbeddingSpec
from shared.embeddings import (
    commit_manifest,
    load_object_ids,
    load_vectors,
    read_manifest,
    read_manifest_with_hash,
    read_receipt,
    read_receipts,
    revoke_damaged,
    store_part,
)
from shared.errors import AlteredPart, BadRecord, DuplicateObjectIds, EmptyDataset, LeaseLost, MissingPart
from shared.outcomes import Attempt, Manifest, Part
from shared.s3 import S3Store, make_client
from shared.store import DirectoryStore, MemoryStore, ObjectStore
from shared.vectors import Vectors, write_part

SpecMaker = Callable[..., EmbeddingSpec]


@pytest.fixture
def spec(make_spec: SpecMaker) -> EmbeddingSpec:
    return make_spec()


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    return DirectoryStore(tmp_path)


def _vectors(start: int, stop: int, dimension: int = 4) -> Vectors:
    rows, columns = np.arange(start, stop), np.arange(1, dimension + 1)
    return Vectors(tuple(f"g{row}" for row in rows), np.cos(np.outer(rows, columns)).astype(np.float32))


def _put(
    store: ObjectStore,
    spec: EmbeddingSpec,
    attempt: str,
    index: int,
    vectors: Vectors | None = None,
    *,
    token: int = 0,
) -> Part:
    made = _vectors(*spec.part_range(index)) if vectors is None else vectors
    kept = len(made)
    start, stop = spec.part_range(index)
    lost = {"empty band": stop - start - kept} if kept < stop - start else {}
    return store_part(
        store,
        spec,
        Attempt(name=attempt, worker="tests", token=token),
        index,
        made,
        dropped=lost,
        repaired={"nan pixels": index},
        seconds=1.5,
        at=f"2026-01-01T00:00:0{index}.000+00:00",
        device=f"device of {attempt}",
        packages={"b": "2", "a": "1"},
    )


def _put_all(store: ObjectStore, spec: EmbeddingSpec, attempt: str) -> dict[int, Part]:
    return {index: _put(store, spec, attempt, index) for index in range(spec.parts())}


def test_an_embedding_comes_back_whole(store: ObjectStore, spec: EmbeddingSpec) -> None:
    assert read_manifest(store, spec) is None
    assert read_receipts(store, spec) == {}
    parts = _put_all(store, spec, "a1")
    assert read_manifest(store, spec) is None, "parts alone are no embedding"
    assert read_receipts(store, spec) == parts
    manifest = commit_manifest(store, spec, parts)
    assert read_manifest(store, spec) == manifest
    assert (manifest.rows, manifest.dimension, manifest.dropped) == (100, 4, {})
    assert manifest.repaired == {"nan pixels": 3}
    loaded = load_vectors(store, manifest)
    assert loaded.object_ids == load_object_ids(store, manifest) == _vectors(0, 100).object_ids
    assert loaded.matrix.tobytes() == _vectors(0, 100).matrix.tobytes()


def test_the_hash_is_that_of_the_stored_bytes(store: ObjectStore, spec: EmbeddingSpec) -> None:
    assert read_manifest_with_hash(store, spec) is None
    manifest = commit_manifest(store, spec, _put_all(store, spec, "a1"))
    stored = store.get(keys.manifest(spec))
    assert read_manifest_with_hash(store, spec) == (manifest, hashlib.sha256(stored).hexdigest())


def test_dropped_objects_are_counted(store: ObjectStore, spec: EmbeddingSpec) -> None:
    parts = _put_all(store, spec, "a1")
    parts[1] = _put(store, spec, "a2", 1, _vectors(41, 77))
    parts[2] = _put(store, spec, "a2", 2, _vectors(0, 0))
    manifest = commit_manifest(store, spec, parts)
    assert manifest.dropped == {"empty band": 4 + 20}
    assert manifest.rows == 40 + 36
    assert load_object_ids(store, manifest) == _vectors(0, 40).object_ids + _vectors(41, 77).object_ids


def test_an_embedding_of_nothing_is_an_error(store: ObjectStore, spec: EmbeddingSpec) -> None:
    parts = {index: _put(store, spec, "a1", index, _vectors(0, 0)) for index in range(3)}
    with pytest.raises(EmptyDataset, match="empty band: 100"):
        commit_manifest(store, spec, parts)
    assert read_manifest(store, spec) is None


def test_a_missing_part_cannot_be_declared_whole(store: ObjectStore, spec: EmbeddingSpec) -> None:
    parts = _put_all(store, spec, "a1")
    del parts[1]
    with pytest.raises(ValueError, match="every part once"):
        commit_manifest(store, spec, parts)
    assert read_manifest(store, spec) is None


def test_parts_of_several_attempts_make_one_embedding(store: ObjectStore, spec: EmbeddingSpec) -> None:
    _put(store, spec, "a2", 0)
    late = _put(store, spec, "a2", 1)
    early = _put(store, spec, "a1", 0)
    last = _put(store, spec, "a3", 2)
    found = read_receipts(store, spec)
    assert found == {0: early, 1: late, 2: last}
    assert list(found) == [0, 1, 2]
    assert load_vectors(store, commit_manifest(store, spec, found)).object_ids == _vectors(0, 100).object_ids


def test_what_a_stalled_holder_stores_late_does_not_displace_its_successors(
    store: ObjectStore, spec: EmbeddingSpec
) -> None:
    successor = _put(store, spec, "0002-b", 0, token=2)
    _put(store, spec, "0001-a", 0, token=1)
    assert read_receipts(store, spec)[0] == successor == read_receipt(store, spec, 0)


def test_a_manifest_follows_from_its_parts(store: ObjectStore, spec: EmbeddingSpec) -> None:
    parts = _put_all(store, spec, "a1") | {1: _put(store, spec, "a2", 1)}
    manifest = commit_manifest(store, spec, parts)
    assert manifest.device == "device of a1, device of a2"
    assert manifest.packages == {"a": "1", "b": "2"}
    assert manifest.created_at == "2026-01-01T00:00:02.000+00:00"
    store.delete(keys.manifest(spec))
    assert commit_manifest(store, spec, read_receipts(store, spec) | parts) == manifest


def test_a_refused_commit_writes_nothing(store: ObjectStore, spec: EmbeddingSpec) -> None:
    def refuse() -> None:
        raise LeaseLost("another worker came after")

    parts = _put_all(store, spec, "a1")
    with pytest.raises(LeaseLost):
        commit_manifest(store, spec, parts, before_commit=refuse)
    assert read_manifest(store, spec) is None


@pytest.mark.parametrize("damage", ["gone", "altered"])
def test_a_damaged_part_is_taken_back_with_its_manifest_and_the_sound_ones_stay(
    store: ObjectStore, spec: EmbeddingSpec, damage: str
) -> None:
    parts = _put_all(store, spec, "a1")
    commit_manifest(store, spec, parts)
    assert not revoke_damaged(store, spec)
    if damage == "gone":
        store.delete(parts[1].key)
    else:
        store.put(parts[1].key, b"other bytes")
    assert revoke_damaged(store, spec)
    assert read_manifest(store, spec) is None
    assert sorted(read_receipts(store, spec)) == [0, 2]
    _put(store, spec, "a2", 1)
    whole = commit_manifest(store, spec, read_receipts(store, spec))
    assert load_vectors(store, whole).matrix.tobytes() == _vectors(0, 100).matrix.tobytes()


def test_receipts_of_another_cut_or_place_are_left_out(
    store: ObjectStore, spec: EmbeddingSpec, caplog: pytest.LogCaptureFixture
) -> None:
    good = _put(store, spec, "a2", 0)
    for attempt, change in (
        ("a0", {"stop": 39, "rows": 39}),
        ("a1", {"index": 1}),
        ("a11", {"key": keys.part(spec, "a2", 0)}),
    ):
        other = good.model_copy(update={"key": keys.part(spec, attempt, 0), **change})
        store.put(keys.part_receipt(spec, attempt, 0), other.to_json())
    store.put(keys.part_receipt(spec, "a12", 0), b"{half a rec")
    store.put(keys.part_receipt(spec, "a13", 7), good.to_json())
    assert read_receipts(store, spec) == {0: good}
    assert "a part will be made again" in caplog.text
    assert caplog.text.count("is left out") == 4


def test_vectors_without_a_receipt_are_not_there(store: ObjectStore, spec: EmbeddingSpec) -> None:
    store.put(keys.part(spec, "a1", 0), write_part(_vectors(0, 40)))
    assert read_receipts(store, spec) == {}


def _flip(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


@pytest.mark.parametrize(
    "change", [_flip, lambda data: data[:-7], lambda _: b"", lambda data: data + b"x"], ids=["bit", "cut", "no", "more"]
)
def test_an_altered_part_is_named(store: ObjectStore, spec: EmbeddingSpec, change: Callable[[bytes], bytes]) -> None:
    manifest = commit_manifest(store, spec, _put_all(store, spec, "a1"))
    key = manifest.parts[1].key
    store.put(key, change(store.get(key)))
    for load in (load_vectors, load_object_ids):
        with pytest.raises(AlteredPart, match=key):
            load(store, manifest)


def test_a_missing_part_is_named(store: ObjectStore, spec: EmbeddingSpec) -> None:
    parts = _put_all(store, spec, "a1")
    manifest = commit_manifest(store, spec, parts)
    store.delete(parts[2].key)
    for load in (load_vectors, load_object_ids):
        with pytest.raises(MissingPart, match=parts[2].key):
            load(store, manifest)
    store.delete(keys.manifest(spec))
    with pytest.raises(MissingPart, match=parts[2].key):
        commit_manifest(store, spec, parts)


def test_an_object_in_two_parts_is_named(store: ObjectStore, spec: EmbeddingSpec) -> None:
    parts = _put_all(store, spec, "a1")
    parts[2] = _put(store, spec, "a2", 2, _vectors(39, 59))
    with pytest.raises(DuplicateObjectIds, match="'g39' is in part 0 and in part 2"):
        commit_manifest(store, spec, parts)
    assert read_manifest(store, spec) is None


def test_parts_of_two_dimensions_are_refused(store: ObjectStore, spec: EmbeddingSpec) -> None:
    parts = _put_all(store, spec, "a1")
    parts[1] = _put(store, spec, "a2", 1, _vectors(40, 80, dimension=5))
    with pytest.raises(BadRecord, match=parts[1].key):
        commit_manifest(store, spec, parts)


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"{}", b'{"version": 2}'])
def test_what_is_no_manifest_is_a_bad_record(store: ObjectStore, spec: EmbeddingSpec, data: bytes) -> None:
    store.put(keys.manifest(spec), data)
    with pytest.raises(BadRecord, match=keys.manifest(spec)):
        read_manifest(store, spec)


def test_the_manifest_of_another_embedding_is_a_bad_record(store: ObjectStore, make_spec: SpecMaker) -> None:
    ours, theirs = make_spec(), make_spec(model__name="fake-9")
    commit_manifest(store, theirs, _put_all(store, theirs, "a1"))
    store.put(keys.manifest(ours), store.get(keys.manifest(theirs)))
    with pytest.raises(BadRecord, match="fake-9"):
        read_manifest(store, ours)


def test_a_manifest_that_contradicts_its_parts_is_a_bad_record(store: ObjectStore, spec: EmbeddingSpec) -> None:
    manifest = commit_manifest(store, spec, _put_all(store, spec, "a1"))
    wrong = manifest.model_copy(update={"dimension": 5})
    for load in (load_vectors, load_object_ids):
        with pytest.raises(BadRecord, match="holds"):
            load(store, wrong)


@pytest.fixture(params=["memory", "directory", "moto"])
def racing_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ObjectStore]:
    if request.param == "memory":
        yield MemoryStore()
    elif request.param == "directory":
        yield DirectoryStore(tmp_path)
    else:
        endpoint = request.getfixturevalue("moto_endpoint")
        store = S3Store("samesky-tests", request.node.name.split("[")[0].replace("_", "-"), make_client(endpoint, "x"))
        store.prepare()
        yield store


def test_of_racing_manifests_the_first_stays(racing_store: ObjectStore, spec: EmbeddingSpec) -> None:
    racers = 8
    parts = [_put_all(racing_store, spec, f"a{racer}") for racer in range(racers)]
    gate = threading.Barrier(racers)
    seen: list[Manifest] = []
    over = threading.Event()

    def read() -> None:
        while not over.is_set():
            manifest = read_manifest(racing_store, spec)
            if manifest:
                seen.append(manifest)

    def commit(racer: int) -> Manifest:
        gate.wait(30)
        return commit_manifest(racing_store, spec, parts[racer])

    with ThreadPoolExecutor(racers + 1) as pool:
        reader = pool.submit(read)
        returned = list(pool.map(commit, range(racers)))
        while not seen and not reader.done():
            over.wait(0.01)
        over.set()
        reader.result()
    stored = read_manifest(racing_store, spec)
    assert stored
    assert all(manifest == stored for manifest in [*returned, *seen])
    assert load_vectors(racing_store, stored).matrix.tobytes() == _vectors(0, 100).matrix.tobytes()


def test_what_was_first_stays_and_is_returned(store: ObjectStore, spec: EmbeddingSpec) -> None:
    first = commit_manifest(store, spec, _put_all(store, spec, "a1"))
    second = commit_manifest(store, spec, _put_all(store, spec, "a2"))
    assert second == first == read_manifest(store, spec)


def test_an_embedding_cut_otherwise_is_the_same_embedding(store: ObjectStore, make_spec: SpecMaker) -> None:
    cut, otherwise = make_spec(model__part_rows=40), make_spec(model__part_rows=30)
    manifest = commit_manifest(store, cut, _put_all(store, cut, "a1"))
    assert read_manifest(store, otherwise) == manifest
    assert list(read_receipts(store, otherwise)) == [], "parts of another cut cannot be mixed in"


class Watched(MemoryStore):
    """A store that alters the first reading of each key in `once`, and tells what was deleted, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.once: set[str] = set()
        self.deleted: list[str] = []

    def get(self, key: str) -> bytes:
        data = super().get(key)
        if key in self.once:
            self.once.remove(key)
            return data[:-1] + bytes([data[-1] ^ 1])
        return data

    def delete(self, key: str) -> None:
        self.deleted.append(key)
        super().delete(key)


def test_what_came_altered_once_is_not_taken_back(spec: EmbeddingSpec) -> None:
    store = Watched()
    parts = _put_all(store, spec, "a1")
    commit_manifest(store, spec, parts)
    store.once = {keys.manifest(spec), parts[0].key, parts[2].key}
    assert not revoke_damaged(store, spec)
    assert store.deleted == []
    assert store.once == set()


def test_a_manifest_is_taken_back_before_what_it_names(spec: EmbeddingSpec) -> None:
    store = Watched()
    parts = _put_all(store, spec, "a1")
    commit_manifest(store, spec, parts)
    store.put(parts[1].key, b"altered")
    assert revoke_damaged(store, spec)
    assert store.deleted == [keys.manifest(spec), keys.part_receipt(spec, "a1", 1), parts[1].key]
    assert set(read_receipts(store, spec)) == {0, 2}
