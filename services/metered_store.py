"""An object store whose failures are counted: any other store, and meters beside it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

from services.meters import Meters
from shared.errors import BadSetting, StoreUnavailable
from shared.store import ObjectStore

T = TypeVar("T")


class MeteredStore:
    """Passes every call on; counts by operation those that end with StoreUnavailable or BadSetting."""

    def __init__(self, store: ObjectStore, meters: Meters) -> None:
        self._store, self._meters = store, meters

    def prepare(self) -> None:
        """See `ObjectStore.prepare`."""
        with self._counted("prepare"):
            self._store.prepare()

    def put(self, key: str, data: bytes) -> None:
        """See `ObjectStore.put`."""
        with self._counted("put"):
            self._store.put(key, data)

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """See `ObjectStore.put_if_absent`."""
        with self._counted("put_if_absent"):
            return self._store.put_if_absent(key, data)

    def get(self, key: str) -> bytes:
        """See `ObjectStore.get`."""
        with self._counted("get"):
            return self._store.get(key)

    def exists(self, key: str) -> bool:
        """See `ObjectStore.exists`."""
        with self._counted("exists"):
            return self._store.exists(key)

    def keys(self, prefix: str) -> Iterator[str]:
        """See `ObjectStore.keys`. A store may list as it goes on, so what fails later is counted too."""
        with self._counted("keys"):
            found = self._store.keys(prefix)
        return self._pass_on(found, "keys")

    def tags(self, prefix: str, ending: str) -> Iterator[tuple[str, str]]:
        """See `ObjectStore.tags`."""
        with self._counted("tags"):
            found = self._store.tags(prefix, ending)
        return self._pass_on(found, "tags")

    def _pass_on(self, listed: Iterator[T], operation: str) -> Iterator[T]:
        with self._counted(operation):
            yield from listed

    def delete(self, key: str) -> None:
        """See `ObjectStore.delete`."""
        with self._counted("delete"):
            self._store.delete(key)

    @contextmanager
    def _counted(self, operation: str) -> Iterator[None]:
        try:
            yield
        except (StoreUnavailable, BadSetting) as error:
            self._meters.count("samesky_storage_errors_total", operation=operation, code=error.code)
            raise
