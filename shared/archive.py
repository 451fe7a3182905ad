"""One study as one file: a zip of the objects that it stands on, under the very keys and with the very bytes they have.

Imports the contracts, keys, records and the store's protocol. The same records make the same bytes: entries stand in
the study's order, carry no time of their own, and are not compressed, so that none unpacks to more than it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, TypeVar
from zlib import crc32

from pydantic import Field

from shared import keys
from shared.contract import Contract
from shared.contracts import EmbeddingSpec, Study
from shared.errors import BadArchive, BadRecord
from shared.names import Digest, Sha256
from shared.outcomes import Manifest
from shared.packages import package_versions
from shared.plain_json import load_json
from shared.records import parse_record, read_bytes, read_record, sha256_of
from shared.store import ObjectStore
from shared.zip_writing import ZipWriter

MEDIA = "application/zip"
_PIECE_BYTES = 1 << 20
Record = TypeVar("Record", bound=Contract)


class Entry(Contract):
    """One object of an archive, as it was in the store."""

    key: str
    size: int = Field(ge=0, description="bytes")
    sha256: Sha256


class ArchiveIndex(Contract):
    """What an archive holds. It stands last in it, as `archive.json`, and names every other entry.

    made_at: when the newest of its records was made, so that the same records make the same archive. samesky: version
    of the installation that exported it. packages: with which its vectors and scores were made, versions side by side.
    vectors: whether the parts of embeddings are in it. missing: keys of what the study wants and the store had not.
    """

    version: Literal[1] = 1
    study: Digest
    made_at: str
    samesky: str
    packages: dict[str, str] = {}
    vectors: bool = False
    entries: tuple[Entry, ...]
    missing: tuple[str, ...] = ()


def record_keys(study: Study) -> Iterator[str]:
    """Keys of the objects that an archive of this study holds, without vectors, in its order."""
    yield keys.study(study.id)
    yield from map(keys.manifest, study.embeddings)
    for a, b in study.pairs:
        spec = study.score(a, b)
        yield from (keys.score(spec), keys.score_objects(spec), keys.score_nulls(spec))


def part_keys(spec: EmbeddingSpec, manifest: Manifest) -> list[str]:
    """Keys of the parts that the manifest of `spec` names, and that are parts of it."""
    return [part.key for part in manifest.parts if part.key.startswith(keys.attempts_prefix(spec))]


def write_archive(store: ObjectStore, study: Study, *, vectors: bool = False) -> Iterator[bytes]:
    """The archive of a study as it stands, in pieces, of which the largest is one stored object or the directory.

    Reads what the study names and nothing else, one object at a time. What is not there is said in the index; what
    cannot be read as a record goes in as it is, for whoever verifies the archive to find. vectors: put the parts of the
    embeddings in too, so that it can be scored anew without the data. Raises what the store raises, at any piece.
    """
    packing = _Packing(store)
    manifests = {keys.manifest(spec): spec for spec in study.embeddings}
    for key in record_keys(study):
        added = packing.add(key)
        yield from added or ()
        if vectors and added and key in manifests:
            for part in _parts_named(added[1], manifests[key]):
                yield from packing.add(part) or ()
    yield from packing.end(study, vectors=vectors)


def _parts_named(data: bytes, spec: EmbeddingSpec) -> list[str]:
    try:
        return part_keys(spec, parse_record(keys.manifest(spec), data, Manifest))
    except BadRecord:  # it goes in as it is, and names no part
        return []


def read_index(archive: ObjectStore) -> ArchiveIndex:
    """The index of an archive. Raises BadArchive when there is none, or one of another kind."""
    return _read(archive, keys.ARCHIVE_INDEX, ArchiveIndex, "the index that `samesky archive` writes")


def read_study(archive: ObjectStore, study_id: str) -> Study:
    """The study as it was accepted. Raises BadArchive when it is not there, or its digest is not its id."""
    study = _read(archive, keys.study(study_id), Study, "the study as it was accepted")
    if study.id != study_id:
        raise BadArchive(
            f"the study in it has the digest {study.id}, and is called {study_id}",
            "a study whose digest is its id",
            "it was changed after it was accepted: export it anew",
        )
    return study


def _read(archive: ObjectStore, key: str, kind: type[Record], expected: str) -> Record:
    try:
        found = read_record(archive, key, kind)
    except BadRecord as error:
        raise BadArchive(error.wrong, expected, "export it anew") from error
    if found is None:
        raise BadArchive(f"there is no {key} in it", expected, "export it anew")
    return found


class _Packing:
    """An archive in the making. It remembers of an entry what index and directory will say, some 450 bytes."""

    def __init__(self, store: ObjectStore) -> None:
        self._store, self._zip = store, ZipWriter()
        self._listed = bytearray()
        self._missing: list[str] = []
        self._versions: dict[str, set[str]] = {}
        self._newest = ""

    def add(self, key: str) -> tuple[bytes, bytes] | None:
        """What goes into the file for the object at `key`: a header, and its bytes. None if the store has none."""
        data = read_bytes(self._store, key)
        if data is None:
            self._missing.append(key)
            return None
        entry = Entry(key=key, size=len(data), sha256=sha256_of(data))
        self._listed += (b",\n" if self._listed else b"\n") + entry.model_dump_json().encode()
        if key.endswith(".json"):
            self._note(data)
        return self._zip.begin(key, len(data), crc32(data)), data

    def end(self, study: Study, *, vectors: bool) -> Iterator[bytes]:
        """The index, and the end of the file."""
        index = ArchiveIndex(
            study=study.id,
            made_at=self._newest,
            samesky=package_versions("samesky").get("samesky", "0"),
            packages={name: ", ".join(sorted(self._versions[name])) for name in sorted(self._versions)},
            vectors=vectors,
            missing=tuple(self._missing),
            entries=(),
        )
        head, closing = index.model_dump_json(exclude={"entries"}).encode(), b"\n]}\n"
        opening = head.removesuffix(b"}") + b',"entries":['
        crc = crc32(closing, crc32(self._listed, crc32(opening)))
        yield self._zip.begin(keys.ARCHIVE_INDEX, len(opening) + len(self._listed) + len(closing), crc)
        yield opening
        for start in range(0, len(self._listed), _PIECE_BYTES):
            yield bytes(self._listed[start : start + _PIECE_BYTES])
        yield closing + self._zip.end()

    def _note(self, data: bytes) -> None:
        """Remember the time and the package versions that a record tells of, if it can be read."""
        try:
            record = load_json(data)
        except ValueError:
            return
        for told in (record, record.get("provenance")) if isinstance(record, dict) else ():
            if isinstance(told, dict):
                self._newest = max(self._newest, str(told.get("created_at", "")))
                for name, version in _mapping(told.get("packages")).items():
                    self._versions.setdefault(str(name), set()).add(str(version))


def _mapping(value: Any) -> dict[Any, Any]:
    return value if isinstance(value, dict) else {}
