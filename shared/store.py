"""The object store: one protocol, and the back ends that need no network.

Imports the standard library only. Values are whole: a reader sees an object as it was put, or `ObjectMissing`,
never a piece of one. Any back end may raise `StoreUnavailable`, which a caller may retry, and `BadName` for a
key that is not `/`-separated names.

One server keeps less: `rclone serve s3` (1.75.2) mixes old and new for a reader while an object is replaced. So
nothing that matters is ever replaced: parts lie under an attempt's own key, and studies, manifests and scores are
written once, under a lease or with equal meaning, and are parsed or hashed by whoever reads them.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

from shared.errors import BadName, ObjectMissing, StoreUnavailable
from shared.names import check_name

_LONGEST_KEY = 900  # S3 allows 1,024 bytes, the bucket's prefix included
_ABANDONED_SECONDS = 86_400


class ObjectStore(Protocol):
    """Bytes by key. Keys are `/`-separated names, as `shared.keys` builds them."""

    def prepare(self) -> None:
        """Make the store ready for use: create the folder or bucket it lives in, when there is none."""
        ...

    def put(self, key: str, data: bytes) -> None:
        """Store `data` at `key`, whole, replacing what is there."""
        ...

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """Store `data` at `key` unless something is there; say whether this call's data is what is stored.

        Equal bytes count as this call's, so that saying it twice is as good as once. Among racing callers one
        wins, where the back end can tell (some S3 servers cannot: then the last writer wins, and the object is
        still whole).
        """
        ...

    def get(self, key: str) -> bytes:
        """The bytes at `key`. Raises ObjectMissing."""
        ...

    def exists(self, key: str) -> bool:
        """Whether something is at `key`."""
        ...

    def keys(self, prefix: str) -> Iterator[str]:
        """All keys that start with `prefix`, in order."""
        ...

    def tags(self, prefix: str, ending: str) -> Iterator[tuple[str, str]]:
        """All keys that start with `prefix` and end with `ending`, in order, each with its tag.

        A tag is as it was for as long as the object is what it was: one that is replaced, or removed and written again
        with other bytes, has another. Tags are told by the listing itself, and no object is read for them.
        """
        ...

    def delete(self, key: str) -> None:
        """Remove what is at `key`, if anything is."""
        ...


def check_key(key: str) -> str:
    """Return `key` if it is `/`-separated names, at most 900 characters. Raises BadName otherwise."""
    if len(key) > _LONGEST_KEY:
        raise BadName(f"a key of {len(key)} characters", f"at most {_LONGEST_KEY}")
    for name in key.split("/"):
        check_name(name)
    return key


def check_prefix(prefix: str) -> str:
    """Return `prefix` if keys can start with it: empty, or names, of which the last may be cut. Raises BadName."""
    folders = prefix.removesuffix("/")
    if folders or prefix:
        check_key(folders)
    return prefix


class MemoryStore:
    """Objects in this process, for tests: safe for threads, gone with the process."""

    def __init__(self) -> None:
        self._objects: dict[str, bytes] = {}
        self._lock = threading.Lock()

    def prepare(self) -> None:
        """Nothing to do."""

    def put(self, key: str, data: bytes) -> None:
        """See `ObjectStore.put`."""
        with self._lock:
            self._objects[check_key(key)] = bytes(data)

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """See `ObjectStore.put_if_absent`."""
        with self._lock:
            return self._objects.setdefault(check_key(key), bytes(data)) == data

    def get(self, key: str) -> bytes:
        """See `ObjectStore.get`."""
        with self._lock:
            data = self._objects.get(check_key(key))
        if data is None:
            raise missing(key)
        return data

    def exists(self, key: str) -> bool:
        """See `ObjectStore.exists`."""
        with self._lock:
            return check_key(key) in self._objects

    def keys(self, prefix: str) -> Iterator[str]:
        """See `ObjectStore.keys`."""
        check_prefix(prefix)
        with self._lock:
            return iter(sorted(key for key in self._objects if key.startswith(prefix)))

    def tags(self, prefix: str, ending: str) -> Iterator[tuple[str, str]]:
        """See `ObjectStore.tags`."""
        check_prefix(prefix)
        with self._lock:
            found = sorted(pair for pair in self._objects.items() if pair[0].startswith(prefix))
        return ((key, hashlib.sha256(data).hexdigest()) for key, data in found if key.endswith(ending))

    def delete(self, key: str) -> None:
        """See `ObjectStore.delete`."""
        with self._lock:
            self._objects.pop(check_key(key), None)


class DirectoryStore:
    """Objects as files under a folder, shared by all processes of one machine.

    A file is written aside, synced to disk, then given its name in one step: linked (which fails where a name
    exists) or moved over the old one. What is being written lies under `.writing`, which no key can name.
    """

    def __init__(self, root: Path) -> None:
        self._root = root.absolute()
        self._aside = self._root / ".writing"

    def prepare(self) -> None:
        """Create the folder, and clear away what killed writers left a day ago or earlier."""
        with self._answering("the folder"):
            _make_folder(self._aside)
            for file in self._aside.iterdir():
                with suppress(FileNotFoundError):  # another process clears as well
                    if time.time() - file.stat().st_mtime > _ABANDONED_SECONDS:
                        file.unlink()

    def put(self, key: str, data: bytes) -> None:
        """See `ObjectStore.put`."""
        path = self._path(key)
        with self._answering(key), self._written(path, data) as file:
            file.replace(path)
            _sync(path.parent)

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """See `ObjectStore.put_if_absent`."""
        path = self._path(key)
        with self._answering(key), self._written(path, data) as file:
            try:
                path.hardlink_to(file)
            except FileExistsError:
                return path.is_file() and path.read_bytes() == data
            _sync(path.parent)
        return True

    def get(self, key: str) -> bytes:
        """See `ObjectStore.get`."""
        path = self._path(key)
        with self._answering(key):
            try:
                return path.read_bytes()
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
                raise missing(key) from error

    def exists(self, key: str) -> bool:
        """See `ObjectStore.exists`."""
        with self._answering(key):
            return self._path(key).is_file()

    def keys(self, prefix: str) -> Iterator[str]:
        """See `ObjectStore.keys`."""
        folder = check_prefix(prefix).rpartition("/")[0]
        inside = self._walk(self._root / folder, f"{folder}/" if folder else "")
        return (key for key in inside if key.startswith(prefix))

    def tags(self, prefix: str, ending: str) -> Iterator[tuple[str, str]]:
        """See `ObjectStore.tags`. A file that is written anew has another inode or another time."""
        folder = check_prefix(prefix).rpartition("/")[0]
        base = f"{folder}/" if folder else ""
        with self._answering(base or "the folder"):
            found = _tag_files(str(self._root / folder), base, ending)
        return (pair for pair in sorted(found) if pair[0].startswith(prefix))

    def delete(self, key: str) -> None:
        """See `ObjectStore.delete`."""
        path = self._path(key)
        with self._answering(key):
            if path.is_file():
                path.unlink(missing_ok=True)
                _sync(path.parent)

    def _path(self, key: str) -> Path:
        return self._root / check_key(key)

    def _walk(self, folder: Path, base: str) -> Iterator[str]:
        with self._answering(base or "the folder"):
            try:
                with os.scandir(folder) as found:
                    # a folder sorts as its keys do: `a-b/x` comes before `a/x`
                    entries = sorted((entry.name + "/" * entry.is_dir(), entry.path) for entry in found)
            except (FileNotFoundError, NotADirectoryError):
                return
        for name, path in entries:
            if name.endswith("/") and not name.startswith("."):
                yield from self._walk(Path(path), base + name)
            elif not name.startswith("."):
                yield base + name

    @contextmanager
    def _written(self, path: Path, data: bytes) -> Iterator[Path]:
        """A synced file of `data` beside the objects, ready to be given its name; removed if it was not."""
        _make_folder(path.parent)
        _make_folder(self._aside)
        file = self._aside / uuid.uuid4().hex
        try:
            with file.open("xb") as sink:
                sink.write(data)
                sink.flush()
                os.fsync(sink.fileno())
            yield file
        finally:
            file.unlink(missing_ok=True)

    @contextmanager
    def _answering(self, what: str) -> Iterator[None]:
        try:
            yield
        except (NotADirectoryError, IsADirectoryError, FileExistsError) as error:
            if self._root.is_dir():
                raise BadName(f"{what} is both an object and a folder of objects", "a key that is one") from error
            raise self._unavailable(what, error) from error
        except OSError as error:
            raise self._unavailable(what, error) from error

    def _unavailable(self, what: str, error: OSError) -> StoreUnavailable:
        return StoreUnavailable(
            f"the store folder {self._root} failed for {what}: {error.strerror or error}",
            "a folder this process may write to, with free space",
            "check SAMESKY_STORE_URL, the disk's free space, and the folder's owner",
        )


def _tag_files(folder: str, base: str, ending: str) -> list[tuple[str, str]]:
    """The keys of files below `folder`, in no order, each with a tag of what the file system knows of it."""
    tagged, waiting = [], [(folder, base)]
    while waiting:
        path, base = waiting.pop()
        with suppress(FileNotFoundError, NotADirectoryError), os.scandir(path) as found:
            for entry in found:
                key = base + entry.name
                if entry.name.startswith("."):
                    continue
                if entry.is_dir():
                    waiting.append((entry.path, f"{key}/"))
                elif key.endswith(ending):
                    with suppress(FileNotFoundError):  # removed meanwhile
                        told = entry.stat()
                        tagged.append((key, f"{told.st_mtime_ns:x}-{told.st_ino:x}-{told.st_size:x}"))
    return tagged


def missing(key: str) -> ObjectMissing:
    """The error of a back end that has nothing at `key`."""
    return ObjectMissing(f"there is no object at {key}", "an object that was stored")


def _make_folder(folder: Path) -> None:
    """Create a folder, and those it lies in, so that they survive a power cut."""
    if not folder.is_dir():
        _make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        _sync(folder.parent)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
