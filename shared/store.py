"""The object store: one protocol, and the back ends that need no network.

Values are whole: a reader sees an object as it was put, or `ObjectMissing`, never a piece of one.
Any back end may raise `StoreUnavailable`, which a caller may retry.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol


class ObjectStore(Protocol):
    """Bytes by key. Keys are `/`-separated names, as `shared.keys` builds them."""

    def put(self, key: str, data: bytes) -> None:
        """Store `data` at `key`, whole, replacing what is there."""
        ...

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """Store `data` at `key` unless something is there; say whether this call's data is what is stored.

        Among racing callers one wins, where the back end can tell (some S3 servers cannot: then the last
        writer wins, and the object is still whole).
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

    def delete(self, key: str) -> None:
        """Remove what is at `key`, if anything is."""
        ...
