"""What is in one room of the object store, by key and tag: listed now and then, and remembered in between.

A list of all scores is asked for much oftener than it changes, and a listing of 10,000 takes longer than an answer may.
"""

from __future__ import annotations

import hashlib
import logging
import math
import threading
import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from shared.errors import SameSkyError

_log = logging.getLogger(__name__)
_FEW = 64  # so few are listed for every answer
_FRESH_SECONDS = 1.0
_SHARE = 9  # at most a tenth of the time goes into listing
_LAST = "\U0010ffff"  # after all that a key can go on with


@dataclass(frozen=True)
class Listed:
    """What was there at one moment. tags: of each key, in the order of the keys.

    began, took: when it was begun, and how long it took, in seconds of the monotonic clock.
    """

    tags: Mapping[str, str]
    began: float
    took: float
    _prints: dict[str, str] = field(default_factory=dict)

    @cached_property
    def keys(self) -> Sequence[str]:
        """All keys, in order."""
        return list(self.tags)

    def under(self, prefix: str, after: str = "") -> range:
        """The places of the keys that start with `prefix`, from `after` on."""
        first = max(prefix, after)
        return range(bisect_left(self.keys, first), bisect_left(self.keys, prefix + _LAST))

    def fingerprint(self, prefix: str) -> str:
        """What is another once anything under `prefix` is."""
        if prefix not in self._prints:
            told = "\n".join(f"{key} {self.tags[key]}" for key in map(self.keys.__getitem__, self.under(prefix)))
            self._prints[prefix] = hashlib.blake2b(told.encode(), digest_size=16).hexdigest()
        return self._prints[prefix]

    @property
    def fresh(self) -> float:
        """Seconds for which it is good."""
        return 0.0 if len(self.tags) <= _FEW else max(_FRESH_SECONDS, _SHARE * self.took)


class Listing:
    """Remembers what `list_all` gave last: keys in order, each with its tag.

    What is new, changed or gone in the store shows within two seconds; where listing takes longer than a tenth of a
    second, within twenty times as long as it takes. A listing that has grown old is given on while the next is made,
    and at twice that age no more. Few keys are listed every time.
    """

    def __init__(
        self, list_all: Callable[[], Iterable[tuple[str, str]]], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._list_all, self._clock = list_all, clock
        self._lock, self._renewing = threading.Lock(), threading.Lock()
        self._listed: Listed | None = None
        self._since, self._ahead = -math.inf, False

    def get(self, since: float = -math.inf) -> Listed:
        """What is there; at any rate all that was there by `since`, of the monotonic clock. Raises StoreUnavailable."""
        asked = self._clock()
        listed = self._good(asked, since)
        if listed is None:
            with self._renewing:
                listed = self._good(asked, since)  # another may have listed while this one waited
                return listed if listed is not None else self._renew()
        if asked - listed.began > listed.fresh:
            self._renew_ahead()
        return listed

    def forget(self) -> None:
        """Give on no listing that was begun before now."""
        with self._lock:
            self._since = self._clock()

    def _good(self, asked: float, since: float) -> Listed | None:
        with self._lock:
            listed, since = self._listed, max(since, self._since)
        if listed is None or listed.began <= since or listed.began < asked - 2 * listed.fresh:
            return None
        return listed

    def _renew(self) -> Listed:
        began = self._clock()
        tags = dict(self._list_all())
        took = self._clock() - began
        with self._lock:
            before = self._listed
            if before is not None and before.tags == tags:  # what was made of the same keys stays with them
                listed = Listed(before.tags, began, took, before._prints)
            else:
                listed = Listed(tags, began, took)
            self._listed = listed
        return listed

    def _renew_ahead(self) -> None:
        with self._lock:
            if self._ahead:
                return
            self._ahead = True
        threading.Thread(target=self._run_ahead, name="listing", daemon=True).start()

    def _run_ahead(self) -> None:
        try:
            with self._renewing:
                self._renew()
        except SameSkyError as error:  # whoever asks when the last one is too old meets it again
            _log.warning("not listed now: %s", error)
        finally:
            with self._lock:
                self._ahead = False
