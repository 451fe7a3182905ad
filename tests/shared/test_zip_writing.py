"""Zip files as they are written here, read by zipfile: any entries, many of them, and those far into a large file."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as some

from shared.zip_writing import ZipWriter

names = some.text("abcxyz0123456789./_-", min_size=1, max_size=40)


def write(entries: Mapping[str, bytes]) -> bytes:
    writer = ZipWriter()
    pieces = [piece for name, data in entries.items() for piece in (writer.begin(name, len(data), crc32(data)), data)]
    return b"".join([*pieces, writer.end()])


@given(some.dictionaries(names, some.binary(max_size=200), max_size=12))
def test_any_entries_are_read_back_in_order(entries: dict[str, bytes]) -> None:
    with zipfile.ZipFile(io.BytesIO(write(entries))) as file:
        assert file.testzip() is None
        assert {name: file.read(name) for name in file.namelist()} == entries
        assert file.namelist() == list(entries)
        assert all(entry.date_time == (1980, 1, 1, 0, 0, 0) for entry in file.infolist())
        assert all(entry.compress_type == zipfile.ZIP_STORED for entry in file.infolist())


@pytest.mark.parametrize("count", [65_534, 65_535, 65_536, 70_000])
def test_more_entries_than_a_plain_directory_can_count(count: int) -> None:
    data = write({f"scores/{number}": b"" for number in range(count)})
    assert (b"PK\x06\x06" in data) == (count >= 65_535)
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        assert len(file.infolist()) == count
        assert file.read(f"scores/{count - 1}") == b""


def test_entries_beyond_four_gigabytes(tmp_path: Path) -> None:
    writer, large, target = ZipWriter(), (3 << 30) + 7, tmp_path / "large.zip"
    with target.open("wb") as file:  # of holes: it takes no room
        for name in ("first", "second"):
            file.write(writer.begin(name, large, 0))
            file.seek(large, io.SEEK_CUR)
        file.write(writer.begin("third", 5, crc32(b"there")) + b"there" + writer.end())
    with zipfile.ZipFile(target) as file:
        assert file.read("third") == b"there"
        assert [entry.file_size for entry in file.infolist()] == [large, large, 5]
        assert file.infolist()[2].header_offset > 1 << 32


def test_an_entry_of_four_gigabytes_is_refused() -> None:
    with pytest.raises(ValueError, match="4 GiB or more"):
        ZipWriter().begin("scores/x", 1 << 32, 0)
