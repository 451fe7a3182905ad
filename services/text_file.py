"""A small text file that a user names: its text, or an error that says why not."""

from __future__ import annotations

from pathlib import Path

from shared.errors import BadInput, one_line


def read_text(file: Path, kind: type[BadInput], expected: str, most_kib: int) -> str:
    """The text of a UTF-8 file, with or without a byte order mark. Raises `kind` for what is none, or too large."""
    try:
        with file.open("rb") as stream:
            raw = stream.read(most_kib * 1024 + 1)
    except (OSError, ValueError) as error:  # ValueError: a NUL in its name
        reason = error.strerror if isinstance(error, OSError) else error
        raise kind(f"{one_line(file)[-200:]} cannot be read: {reason}", expected) from error
    if len(raw) > most_kib * 1024:
        raise kind(f"{file.name} is larger than {most_kib} KiB", expected)
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise kind(f"{file.name} is not UTF-8 text (byte {error.start})", expected) from error
