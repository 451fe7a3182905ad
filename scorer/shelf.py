"""What a scorer's process keeps at hand from one pair to the next, so that a study costs embeddings and not pairs.

Imports the standard library only. What is kept is named by all that it follows from (hashes of stored bytes, object
ids, seeds), so that nothing kept can be out of date; it was checked when it was made. Not for several threads.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

T = TypeVar("T")

DEFAULT_BYTES = 512_000_000
_LARGEST_SHARE = 2  # of the whole: what is larger would push out all that is used again


class Shelf:
    """Bounded in bytes: what was used longest ago goes first. most_bytes: 0 keeps nothing."""

    def __init__(self, most_bytes: int = DEFAULT_BYTES) -> None:
        self._most_bytes = most_bytes
        self._kept: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()
        self._bytes = 0

    @classmethod
    def of_nothing(cls) -> Shelf:
        """One that keeps nothing."""
        return cls(0)

    @property
    def bytes(self) -> int:
        """Of all that is kept, as it was said when it was put here."""
        return self._bytes

    def has_room(self, size: int) -> bool:
        """Whether something of so many bytes would be kept."""
        return size * _LARGEST_SHARE <= self._most_bytes

    def keep(self, key: Hashable, make: Callable[[], T], size: Callable[[T], int]) -> T:
        """What is kept at `key`; or else what `make` makes, which is kept if it has room. size: its bytes.

        key: names the kind of what is kept, and all that it follows from. Raises what `make` raises; nothing is kept
        then.
        """
        if key in self._kept:
            self._kept.move_to_end(key)
            found: T = self._kept[key][0]
            return found
        made = make()
        needed = size(made)
        if self.has_room(needed):
            self._kept[key] = made, needed
            self._bytes += needed
            while self._bytes > self._most_bytes:
                self._bytes -= self._kept.popitem(last=False)[1][1]
        return made


def size_of_ids(object_ids: tuple[str, ...]) -> int:
    """Bytes of these object ids in memory: a reference and some fifty bytes each, beyond their characters."""
    return sum(map(len, object_ids)) + 64 * len(object_ids)
