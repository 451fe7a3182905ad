"""A folder that is written whole, or not at all."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shared.errors import BadInput, one_line


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """A folder to write into, which becomes `target` when the block ends well, and is removed when it does not.

    Raises BadInput where `target` is there and not empty, or cannot be written.
    """
    check_free(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    except OSError as error:
        raise BadInput(f"{target} cannot be written: {error.strerror}", "a folder that may be made") from error
    try:
        yield aside
        aside.chmod(0o755)  # as mkdir would have made it; mkdtemp keeps it to oneself
        aside.replace(target)
    except OSError as error:  # a full disk, or another has written there meanwhile
        reason = one_line(error.strerror or error)
        raise BadInput(
            f"{target} cannot be written: {reason}", "a folder that is not there, and room for it"
        ) from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def check_free(target: Path) -> None:
    """Raise BadInput if something is there already, other than an empty folder."""
    try:
        taken = target.is_symlink() or target.is_file() or (target.is_dir() and any(target.iterdir()))
    except OSError as error:
        raise BadInput(f"{str(target)!r:.300} cannot be read: {error.strerror}", "a folder") from error
    if taken:
        raise BadInput(f"{target} is there already", "a folder that is not there, or an empty one", "name another")
