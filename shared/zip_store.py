"""A zip file as an object store that is only read: what was exported is looked at by the functions that read any store.

Imports the standard library and the store's protocol. Nothing is unpacked to disk, and nothing can unpack to more than
it is: entries are stored as they are, so that what an entry says of its size is held against the file's.
"""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NoReturn, Self

from shared.errors import BadArchive, BadInput, BadName, one_line
from shared.store import check_key, check_prefix, missing

MOST_RECORD_BYTES = 1 << 28
"""Of one JSON record: the index of an archive of 50,000 scores has a sixth of it."""
_HEADER_BYTES = 30  # of an entry, before its name
_ENCRYPTED = 0x1
_REMEDY = "fetch the archive again, or export it anew: `samesky archive STUDY_ID`"
# What zipfile (3.11) raises for bytes that are no zip, or no longer one.
_BROKEN = (zipfile.BadZipFile, struct.error, NotImplementedError, EOFError, ValueError, OverflowError, RuntimeError)


class ZipStore:
    """The entries of one zip file, by name. Close it, or use it as a context manager.

    Raises BadInput for a file that cannot be read; BadArchive for one that is no zip, is cut off, or has an entry whose
    name can be no key, that stands twice, is compressed, encrypted, or says it is larger than the file has room for.
    """

    def __init__(self, path: Path, *, most_record_bytes: int = MOST_RECORD_BYTES) -> None:
        self.path = path
        try:
            self._zip = zipfile.ZipFile(path)
        except OSError as error:
            raise BadInput(f"{path} cannot be read: {error.strerror or error}", "a file that may be read") from error
        except _BROKEN as error:
            raise _bad(path, _describe_broken(path, error)) from error
        try:
            entries = self._zip.infolist()
            _check_names(path, entries)
            _check_sizes(path, entries, self._zip.start_dir, most_record_bytes)
        except BadArchive:
            self.close()
            raise
        self._entries = {entry.filename: entry for entry in entries}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        self._zip.close()

    def prepare(self) -> None:
        """Nothing to do."""

    def get(self, key: str) -> bytes:
        """See `ObjectStore.get`. Raises BadArchive, naming it, for an entry that is damaged."""
        entry = self._entries.get(check_key(key))
        if entry is None:
            raise missing(key)
        try:
            return self._zip.read(entry)
        except _BROKEN as error:
            raise _bad(self.path, f"{key} is damaged: {one_line(error):.200}") from error
        except OSError as error:
            raise BadInput(f"{self.path} cannot be read: {error.strerror or error}") from error

    def exists(self, key: str) -> bool:
        """See `ObjectStore.exists`."""
        return check_key(key) in self._entries

    def keys(self, prefix: str) -> Iterator[str]:
        """See `ObjectStore.keys`."""
        check_prefix(prefix)
        return iter(sorted(key for key in self._entries if key.startswith(prefix)))

    def tags(self, prefix: str, ending: str) -> Iterator[tuple[str, str]]:
        """See `ObjectStore.tags`."""
        return ((key, f"{self._entries[key].CRC:08x}") for key in self.keys(prefix) if key.endswith(ending))

    def put(self, key: str, data: bytes) -> None:
        """Raises BadInput: an archive is only read."""
        self._refuse(key)

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """Raises BadInput: an archive is only read."""
        self._refuse(key)

    def delete(self, key: str) -> None:
        """Raises BadInput: an archive is only read."""
        self._refuse(key)

    def _refuse(self, key: str) -> NoReturn:
        raise BadInput(f"{check_key(key)} of {self.path} is not to be changed", "an archive that is only read")


def _check_names(path: Path, entries: Sequence[zipfile.ZipInfo]) -> None:
    seen: set[str] = set()
    for entry in entries:
        name = entry.orig_filename  # as it stands there: what zipfile makes of it ends at a NUL
        try:
            check_key(name)
        except BadName as error:
            raise _bad(path, f"an entry is named {name!r:.100}, which is no key: {error.wrong}") from error
        if name in seen:
            raise _bad(path, f"{name} stands in it twice")
        seen.add(name)


def _check_sizes(path: Path, entries: Sequence[zipfile.ZipInfo], end: int, most_record_bytes: int) -> None:
    """Before anything is read: no entry is more than it is, reaches into another, or is larger than any of ours."""
    for entry in entries:
        if entry.flag_bits & _ENCRYPTED:
            raise _bad(path, f"{entry.filename} is encrypted")
        if entry.compress_type != zipfile.ZIP_STORED or entry.compress_size != entry.file_size:
            raise _bad(path, f"{entry.filename} is compressed, and might unpack to any size")
        if entry.filename.endswith(".json") and entry.file_size > most_record_bytes:
            raise _bad(path, f"{entry.filename} has {entry.file_size} bytes, more than any record")
    placed = sorted(entries, key=lambda entry: entry.header_offset)
    if placed and placed[0].header_offset:
        raise _bad(path, f"{placed[0].header_offset} bytes stand before its first entry")
    ends = [entry.header_offset + _HEADER_BYTES + len(entry.orig_filename) + entry.file_size for entry in placed]
    if ends and ends[-1] > end:
        raise _bad(path, f"{placed[-1].filename} says it has {placed[-1].file_size} bytes, more than there are")
    for (entry, following), stop in zip(pairwise(placed), ends, strict=False):
        if stop > following.header_offset:
            raise _bad(path, f"{entry.filename} reaches into {following.filename}")


def _describe_broken(path: Path, error: Exception) -> str:
    with path.open("rb") as file:
        start = file.read(4)
    if start == b"PK\x03\x04":
        return f"it begins as a zip file, and is cut off or damaged: {one_line(error):.200}"
    return "it is no zip file"


def _bad(path: Path, wrong: str) -> BadArchive:
    return BadArchive(f"{path} is no archive of ours: {wrong}", "a zip file as `samesky archive` writes it", _REMEDY)
