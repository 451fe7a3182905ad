"""Archives: what goes in, in what order, with what bytes; and what is said of what is not there."""

from __future__ import annotations

import io
import shutil
import subprocess
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from shared import keys
from shared.archive import ArchiveIndex, read_index, read_study, record_keys, write_archive
from shared.contracts import Study
from shared.embeddings import read_manifest
from shared.errors import BadArchive
from shared.records import sha256_of
from shared.store import MemoryStore
from shared.zip_store import ZipStore

Scored = tuple[MemoryStore, Study]


class Watched(MemoryStore):
    """A store that tells which keys were read, and refuses to list any."""

    def __init__(self, store: MemoryStore) -> None:
        super().__init__()
        self._objects = store._objects
        self.read: list[str] = []

    def get(self, key: str) -> bytes:
        self.read.append(key)
        return super().get(key)

    def keys(self, prefix: str) -> Iterator[str]:
        raise AssertionError(f"{prefix} was listed")


def unpack(pieces: Iterable[bytes]) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(b"".join(pieces))) as file:
        assert file.testzip() is None
        return {name: file.read(name) for name in file.namelist()}


def index_of(held: dict[str, bytes]) -> ArchiveIndex:
    return ArchiveIndex.model_validate_json(held[keys.ARCHIVE_INDEX])


@pytest.mark.parametrize("vectors", [False, True])
def test_it_holds_what_the_study_names_byte_for_byte_and_reads_nothing_else(scored: Scored, vectors: bool) -> None:
    store, study = scored
    watched = Watched(store)
    held = unpack(write_archive(watched, study, vectors=vectors))
    manifests = [read_manifest(store, spec) for spec in study.embeddings]
    parts = [part.key for manifest in manifests if manifest for part in manifest.parts]
    assert len(parts) == 12
    wanted = {*record_keys(study), *(parts if vectors else ())}
    assert set(held) == {keys.ARCHIVE_INDEX, *wanted}
    assert sorted(watched.read) == sorted(wanted), "each is read once"
    assert all(held[key] == store.get(key) for key in wanted)
    assert next(iter(held)) == keys.study(study.id)
    assert list(held)[-1] == keys.ARCHIVE_INDEX


def test_the_index_names_every_entry_with_size_and_hash(scored: Scored) -> None:
    held = unpack(write_archive(*scored))
    index = index_of(held)
    assert [entry.key for entry in index.entries] == [key for key in held if key != keys.ARCHIVE_INDEX]
    for entry in index.entries:
        assert (entry.size, entry.sha256) == (len(held[entry.key]), sha256_of(held[entry.key]))
    assert index.study == scored[1].id
    assert not index.vectors
    assert index.missing == ()
    assert index.packages["torch"] == "2.0"
    assert {"numpy", "faiss-cpu", "pyarrow"} <= index.packages.keys()
    assert index.made_at > "2026-01-02", "the newest record is a score"


def test_the_same_records_make_the_same_bytes(scored: Scored, scored_copy: MemoryStore) -> None:
    assert b"".join(write_archive(*scored)) == b"".join(write_archive(scored_copy, scored[1]))


def test_pieces_come_one_object_at_a_time(scored: Scored) -> None:
    store, study = scored
    watched = Watched(store)
    pieces = write_archive(watched, study, vectors=True)
    for read, _ in enumerate(zip(pieces, pieces, strict=False), 1):
        assert len(watched.read) <= read, "nothing is read before it is sent"
    assert max(map(len, write_archive(store, study))) <= max(20_000, *(len(store.get(key)) for key in store.keys("")))


def test_what_is_missing_is_said(scored: Scored, scored_copy: MemoryStore) -> None:
    _, study = scored
    score = study.scores()[2]
    gone = [keys.manifest(study.embeddings[1]), keys.score(score), keys.score_objects(score), keys.score_nulls(score)]
    for key in gone:
        scored_copy.delete(key)
    held = unpack(write_archive(scored_copy, study, vectors=True))
    assert list(index_of(held).missing) == gone
    assert not set(gone) & set(held)


def test_what_cannot_be_read_goes_in_as_it_is(scored: Scored, scored_copy: MemoryStore) -> None:
    _, study = scored
    for key, data in (
        (keys.manifest(study.embeddings[0]), b"{"),
        (keys.score(study.scores()[0]), b'{"provenance": 3}'),
    ):
        scored_copy.put(key, data)
        held = unpack(write_archive(scored_copy, study, vectors=True))
        assert held[key] == data


def test_a_manifest_draws_in_no_parts_but_its_own(scored: Scored, scored_copy: MemoryStore) -> None:
    _, study = scored
    mine, other = (keys.manifest(spec) for spec in study.embeddings[:2])
    scored_copy.put("secret", b"of another study")
    manifest = read_manifest(scored_copy, study.embeddings[0])
    assert manifest is not None
    scored_copy.put(mine, scored_copy.get(mine).replace(manifest.parts[0].key.encode(), b"secret"))
    held = unpack(write_archive(scored_copy, study, vectors=True))
    assert "secret" not in held
    assert other in held


def test_another_reader_reads_it(scored: Scored, tmp_path: Path) -> None:
    unzip = shutil.which("unzip")
    if unzip is None:
        pytest.skip("no unzip on this machine")
    (tmp_path / "study.zip").write_bytes(b"".join(write_archive(*scored)))
    done = subprocess.run([unzip, "-tq", tmp_path / "study.zip"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_index_and_study_are_read_back(scored: Scored, tmp_path: Path) -> None:
    store, study = scored
    (tmp_path / "study.zip").write_bytes(b"".join(write_archive(store, study)))
    with ZipStore(tmp_path / "study.zip") as archive:
        assert read_study(archive, read_index(archive).study) == study


def test_a_store_is_no_archive(scored: Scored) -> None:
    with pytest.raises(BadArchive, match=r"there is no archive\.json in it"):
        read_index(scored[0])
    with pytest.raises(BadArchive, match=r"there is no studies/0+\.json in it"):
        read_study(scored[0], "0" * 32)
