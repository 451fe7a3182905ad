"""A zip file written from its first byte to its last, never going back: entries stored as they are, without times.

Imports the standard library only. After PKWARE's APPNOTE 6.3: sizes stand before the data, so that any reader can
follow the stream, and ZIP64 records are there only where they are needed. zipfile (3.11) cannot do this without a place
to seek in, or data descriptors, which stored entries should not have; and it keeps half a kilobyte for each entry.
"""

from __future__ import annotations

import struct

_DATE = 0x0021  # 1 January 1980, the earliest that a zip file can tell
_PLAIN, _WITH_64 = 20, 45  # version needed to read: 2.0, or 4.5 for ZIP64
_UNIX = 3 << 8
_FILE = 0o100644 << 16
_MOST_16, _MOST_32 = 0xFFFF, 0xFFFFFFFF


class ZipWriter:
    """What to write around each entry's bytes. Keeps the directory, 46 bytes and a name for each entry."""

    def __init__(self) -> None:
        self._directory = bytearray()
        self._entries = 0
        self._offset = 0

    def begin(self, name: str, size: int, crc: int) -> bytes:
        """What stands before the `size` bytes of the next entry. name: ASCII; crc: `zlib.crc32` of its bytes.

        Raises ValueError for an entry of 4 GiB or more.
        """
        if size >= _MOST_32:
            raise ValueError(f"an entry of {size} bytes, 4 GiB or more")
        path = name.encode("ascii")
        far = self._offset >= _MOST_32
        about = struct.pack("<HHHHLLLHH", 0, 0, 0, _DATE, crc, size, size, len(path), 12 if far else 0)
        offset, extra = self._offset, b""
        if far:
            offset, extra = _MOST_32, struct.pack("<HHQ", 1, 8, self._offset)
        needed = _WITH_64 if far else _PLAIN
        self._directory += struct.pack("<4sHH", b"PK\x01\x02", _UNIX | needed, needed) + about
        self._directory += struct.pack("<HHHLL", 0, 0, 0, _FILE, offset) + path + extra
        header = struct.pack("<4sH", b"PK\x03\x04", _PLAIN) + about[:-2] + bytes(2) + path
        self._entries += 1
        self._offset += len(header) + size
        return header

    def end(self) -> bytes:
        """What stands after the last entry."""
        size, entries, offset = len(self._directory), self._entries, self._offset
        last = b""
        if entries >= _MOST_16 or max(size, offset) >= _MOST_32:
            last += struct.pack("<4sQHHLL", b"PK\x06\x06", 44, _UNIX | _WITH_64, _WITH_64, 0, 0)
            last += struct.pack("<QQQQ", entries, entries, size, offset)
            last += struct.pack("<4sLQL", b"PK\x06\x07", 0, offset + size, 1)
        counted = min(entries, _MOST_16)
        last += struct.pack("<4sHHHH", b"PK\x05\x06", 0, 0, counted, counted)
        return bytes(self._directory) + last + struct.pack("<LLH", min(size, _MOST_32), min(offset, _MOST_32), 0)
