"""All records of one kind in the object store, each as what was made of it, kept within a bound.

The store stays the truth: a record is read again when the listing's tag of it is another. What does not fit is not
kept, and is read again each time it is asked for.
"""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Generic, Protocol, TypeVar

from services.listing import Listed, Listing
from shared.contract import Contract
from shared.errors import BadRecord
from shared.records import read_record
from shared.store import ObjectStore

_log = logging.getLogger(__name__)
MOST_BYTES = 128 * 2**20
"""Of one list: about 80,000 rows of scores."""
_ROW_BYTES, _RECORD_BYTES = 600, 400  # what a row, and a record, takes beside its JSON, of Python objects


class Row(Protocol):
    """A row of a list, as it is kept."""

    @property
    def json(self) -> bytes:
        """The row as it is sent."""
        ...


Record = TypeVar("Record", bound=Contract)
Rows = TypeVar("Rows", bound=Sequence[Row])


class Kept(Generic[Record, Rows]):
    """The records at keys that start with `prefix` and end with `ending`, each as what `make` makes of it: its rows."""

    def __init__(
        self,
        store: ObjectStore,
        prefix: str,
        ending: str,
        kind: type[Record],
        make: Callable[[Record], Rows],
        *,
        most_bytes: int = MOST_BYTES,
    ) -> None:
        self._store, self._kind, self._make, self._most = store, kind, make, most_bytes
        self._listing = Listing(lambda: store.tags(prefix, ending))
        self._lock = threading.Lock()
        self._rows: dict[str, tuple[str, Rows | None]] = {}
        self._bytes = 0
        self._tidied: Listed | None = None

    @property
    def bytes(self) -> int:
        """About how much memory the rows take."""
        return self._bytes

    def listed(self, since: float = -math.inf) -> Listed:
        """The records that are there; see `Listing.get`."""
        listed = self._listing.get(since)
        if self._tidied is None or self._tidied.tags is not listed.tags:
            self._tidy(listed)
        return listed

    def rows(self, listed: Listed, key: str) -> Rows | None:
        """The rows of the record at `key`; None when it cannot be read, which is logged, or is gone since."""
        tag = listed.tags.get(key, "")
        known = self._rows.get(key)
        if known is not None and known[0] == tag:
            return known[1]
        try:
            record = read_record(self._store, key, self._kind)
        except BadRecord as error:
            _log.error("left out of the list: %s", error)
            rows = None
        else:
            if record is None:
                self._listing.forget()  # it would be missed again by all until the next listing
                return None
            rows = self._make(record)
        if tag:
            self._keep(key, tag, rows)
        return rows

    def all(self, listed: Listed, places: Iterable[int]) -> Iterator[Rows]:
        """The rows of each of the records at these places that can be read."""
        return (rows for place in places if (rows := self.rows(listed, listed.keys[place])) is not None)

    def _keep(self, key: str, tag: str, rows: Rows | None) -> None:
        with self._lock:
            self._drop(key)
            if self._bytes + _weigh(rows) <= self._most:
                self._rows[key] = tag, rows
                self._bytes += _weigh(rows)

    def _tidy(self, listed: Listed) -> None:
        """Let go of what is there no more, or is another now."""
        with self._lock:
            for key in [key for key, (tag, _) in self._rows.items() if listed.tags.get(key) != tag]:
                self._drop(key)
            self._tidied = listed

    def _drop(self, key: str) -> None:
        known = self._rows.pop(key, None)
        if known is not None:
            self._bytes -= _weigh(known[1])


def _weigh(rows: Sequence[Row] | None) -> int:
    return _RECORD_BYTES + sum(_ROW_BYTES + len(row.json) for row in rows or ())
