"""The revision of a folder, or of one file, that has no commit: a hash of what is in it."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path

from shared.errors import BadInput

LOCAL = "local-"
_BLOCK = 1 << 20


def hash_folder(folder: Path) -> str:
    """`local-` and 40 hexadecimal digits: a hash of every file's relative path and SHA-256.

    folder: or one file, which is as a folder that holds it alone. Hidden files and folders in it are left out: they are
    notes of tools. A file is read again only when its size or its time of change has changed. Raises BadInput, naming a
    file or folder that cannot be read.
    """
    total = hashlib.sha256()
    path = folder
    try:
        alone = folder.is_file()
        for path in [folder] if alone else sorted(folder.rglob("*")):
            relative = path.relative_to(folder.parent if alone else folder)
            if path.is_file() and (alone or not any(part.startswith(".") for part in relative.parts)):
                known = path.stat()
                digest = _hash_file(path.resolve(), known.st_size, known.st_mtime_ns)
                total.update(f"{relative.as_posix()}\0{digest}\n".encode())
    except (OSError, ValueError, RuntimeError) as error:  # ValueError: a file name that is not UTF-8
        reason = error.strerror if isinstance(error, OSError) else error
        raise BadInput(f"{str(path)!r} cannot be read: {reason}", "files that api and embedder may read") from error
    return LOCAL + total.hexdigest()[:40]


@lru_cache(maxsize=65536)
def _hash_file(path: Path, size: int, mtime_ns: int) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
