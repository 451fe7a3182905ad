"""Archives: files that cannot be opened as one, refused before anything in them is read."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from shared import keys
from shared.archive import write_archive
from shared.contracts import Study
from shared.errors import BadArchive, BadInput
from shared.store import MemoryStore
from shared.zip_store import ZipStore

Scored = tuple[MemoryStore, Study]
INDEX = keys.ARCHIVE_INDEX


def pack(entries: list[tuple[str, bytes]], how: int = zipfile.ZIP_STORED) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", how) as file:
        for name, data in entries:
            file.writestr(zipfile.ZipInfo(name), data, compress_type=how)
    return sink.getvalue()


def unpack(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        return {name: file.read(name) for name in file.namelist()}


@pytest.fixture(scope="module")
def good(scored: Scored) -> bytes:
    """A good archive."""
    return b"".join(write_archive(*scored))


def central(data: bytes, entry: int, at: int, form: str, value: int) -> bytes:
    """The archive with one field of an entry of its directory changed. entry: its place there."""
    place = data.index(b"PK\x01\x02")
    for _ in range(entry):
        place = data.index(b"PK\x01\x02", place + 4)
    changed = bytearray(data)
    struct.pack_into(form, changed, place + at, value)
    return bytes(changed)


def declare(data: bytes, entry: int, size: int) -> bytes:
    """The archive whose directory says that an entry has `size` bytes. entry: its place, -1 for the last."""
    place = entry % data.count(b"PK\x01\x02")
    return central(central(data, place, 20, "<L", size), place, 24, "<L", size)


def renamed(data: bytes, name: str, other: bytes) -> bytes:
    """The archive with a name replaced by another of its length, in its header and in the directory."""
    assert len(name) == len(other)
    assert data.count(name.encode()) >= 2
    return data.replace(b"%b" % name.encode(), other)


def with_entry(data: bytes, name: str) -> bytes:
    return pack([*unpack(data).items(), (name, b"x")])


def twice(data: bytes) -> bytes:
    entries = list(unpack(data).items())
    with pytest.warns(UserWarning, match="Duplicate name"):
        return pack([*entries, entries[0]])


ZEROS = b"\0" * 50_000_000
UNOPENED: list[tuple[str, Callable[[bytes], bytes], str]] = [
    ("no bytes", lambda _: b"", "it is no zip file"),
    ("a text", lambda _: b"a table of scores\n" * 99, "it is no zip file"),
    ("another kind of archive", lambda _: b"\x1f\x8b\x08" + bytes(500), "it is no zip file"),
    ("half of it", lambda data: data[: len(data) // 2], "cut off or damaged"),
    ("all but its last byte", lambda data: data[:-1], "cut off or damaged"),
    ("all but its directory", lambda data: data[: data.index(b"PK\x01\x02")], "cut off or damaged"),
    ("something before it", lambda data: b"#!/bin/sh\n" + data, "10 bytes stand before its first entry"),
    ("two of them in one", lambda data: data + data, "bytes stand before its first entry"),
    ("compressed entries", lambda data: pack(list(unpack(data).items()), zipfile.ZIP_DEFLATED), "is compressed"),
    ("a bomb of zeros", lambda _: pack([("scores/x.json", ZEROS)], zipfile.ZIP_DEFLATED), "might unpack to any size"),
    ("a bomb by bzip2", lambda _: pack([("scores/x.json", ZEROS)], zipfile.ZIP_BZIP2), "might unpack to any size"),
    ("a bomb that says it is small", lambda data: central(data, 0, 10, "<H", 8), "is compressed"),
    ("an entry larger than the file", lambda data: declare(data, -1, 200_000_000), "more than there are"),
    ("an entry that reaches into the next", lambda data: declare(data, 1, 50_000), "reaches into"),
    ("entries that share their bytes", lambda data: central(data, 2, 42, "<L", 0), "reaches into"),
    ("an entry after the end", lambda data: central(data, 3, 42, "<L", 2**31), "more than there are"),
    ("an encrypted entry", lambda data: central(data, 0, 8, "<H", 1), "is encrypted"),
    ("an entry of a later kind of zip", lambda data: central(data, 0, 6, "<H", 99), "cut off or damaged"),
    ("an entry twice", twice, "stands in it twice"),
    ("an absolute path", lambda data: with_entry(data, "/etc/passwd"), "'/etc/passwd', which is no key"),
    ("a path that climbs", lambda data: with_entry(data, "scores/../../x"), "'scores/../../x', which is no key"),
    ("a path with backslashes", lambda data: with_entry(data, "scores\\x.json"), "which is no key"),
    ("a path of another system", lambda data: with_entry(data, "c:/x.json"), "which is no key"),
    ("a hidden file", lambda data: with_entry(data, ".profile"), "which is no key"),
    ("a folder", lambda data: with_entry(data, "scores/"), "which is no key"),
    ("a name of capitals", lambda data: with_entry(data, "README"), "which is no key"),
    ("a name in another script", lambda data: with_entry(data, "scores/é.json"), "which is no key"),
    ("a name with a NUL", lambda data: renamed(data, INDEX, b"archive.js\0n"), "which is no key"),
    ("a name with an escape", lambda data: renamed(data, INDEX, b"\x1b[2Jive.json"), "which is no key"),
    ("a name too long", lambda data: with_entry(data, "a/" * 600 + "x"), "which is no key"),
]


@pytest.mark.parametrize(("spoil", "says"), [pytest.param(*case, id=name) for name, *case in UNOPENED])
def test_a_file_is_not_opened(
    good: bytes, tmp_path: Path, refused: Any, spoil: Callable[[bytes], bytes], says: str
) -> None:
    file = tmp_path / "study.zip"
    file.write_bytes(spoil(good))
    with refused(BadArchive, says), ZipStore(file):
        pass


@pytest.mark.parametrize("name", ["", "none.zip", "folder"])
def test_what_is_no_file_is_not_opened(tmp_path: Path, refused: Any, name: str) -> None:
    (tmp_path / "folder").mkdir()
    with refused(BadInput, "cannot be read"), ZipStore(tmp_path / name):
        pass


def test_a_record_larger_than_any_is_not_read(good: bytes, tmp_path: Path, refused: Any) -> None:
    file = tmp_path / "study.zip"
    file.write_bytes(good)
    with refused(BadArchive, "more than any record"), ZipStore(file, most_record_bytes=1000):
        pass
