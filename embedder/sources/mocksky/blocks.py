"""Blocks of simulated observations on disk: written whole, checked whole, rebuilt when anything is amiss.

A block file is an ordinary `.npz`, read without pickle, followed by the SHA-256 of its own name and bytes. It may be
deleted at any time.
"""

from __future__ import annotations

import hashlib
import io
import logging
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

Arrays = dict[str, npt.NDArray[np.generic]]

_log = logging.getLogger(__name__)
_DIGEST_BYTES = hashlib.sha256().digest_size


class Blocks:
    """A folder of blocks. Two processes may build the same block at once: both write the same bytes, the last stays."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def get(self, name: str, build: Callable[[], Arrays]) -> Arrays:
        """Block `name`, from disk where it is whole, else built and stored."""
        path = self.folder / f"{name}.npz"
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            content = b""
        if content and _is_whole(name, content):
            return _decode(content[:-_DIGEST_BYTES])
        if content:
            _log.warning("rebuilding damaged block %s", path)
        arrays = build()
        self._store(path, name, arrays)
        return arrays

    def _store(self, path: Path, name: str, arrays: Arrays) -> None:
        buffer = io.BytesIO()
        np.savez(buffer, allow_pickle=False, **arrays)
        payload = buffer.getvalue()
        self.folder.mkdir(parents=True, exist_ok=True)
        handle, partial = tempfile.mkstemp(dir=self.folder, prefix=f".{name}-", suffix=".partial")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(payload)
                file.write(_digest(name, payload))
            Path(partial).replace(path)
        finally:
            Path(partial).unlink(missing_ok=True)


def _digest(name: str, payload: bytes) -> bytes:
    return hashlib.sha256(name.encode() + b"\0" + payload).digest()


def _is_whole(name: str, content: bytes) -> bool:
    payload = memoryview(content)[:-_DIGEST_BYTES]
    digest = hashlib.sha256(name.encode() + b"\0")
    digest.update(payload)
    return digest.digest() == content[-_DIGEST_BYTES:]


def _decode(payload: bytes) -> Arrays:
    with np.load(io.BytesIO(payload), allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}
