"""Results that exist: scores and embeddings in the object store, whichever study wanted them, read for lists.

Lists are made of rows that are kept (`services.kept`), so that one of 10,000 scores reads none of them twice.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from scorer.records import read_nulls, read_objects
from services.kept import Kept, Rows
from shared import keys
from shared.contract import Contract
from shared.errors import BadRecord
from shared.outcomes import Manifest, ScoreRecord
from shared.records import read_record
from shared.store import ObjectStore

_log = logging.getLogger(__name__)
Record = TypeVar("Record", bound=Contract)
Floats = npt.NDArray[np.float64]


class Results:
    """Reads results. A record that cannot be read is logged and left out, so that it spoils no list.

    `Kept.listed` wants to know since when: `Studies.told` says.
    """

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._kept: dict[tuple[str, object], Any] = {}

    def scores(self, make: Callable[[ScoreRecord], Rows]) -> Kept[ScoreRecord, Rows]:
        """Every score, as the rows that `make` makes of its record; the same ones for the same `make`."""
        return self._keep(keys.SCORES, keys.SCORE_ENDING, ScoreRecord, make)

    def embeddings(self, make: Callable[[Manifest], Rows]) -> Kept[Manifest, Rows]:
        """Every whole embedding, as the rows that `make` makes of its manifest; the same ones for the same `make`."""
        return self._keep(keys.EMBEDDINGS, keys.MANIFEST_ENDING, Manifest, make)

    def _keep(self, room: str, ending: str, kind: type[Record], make: Callable[[Record], Rows]) -> Kept[Record, Rows]:
        made = Kept(self._store, room, ending, kind, make)
        found: Kept[Record, Rows] = self._kept.setdefault((room, make), made)
        return found

    def score(self, key: str) -> ScoreRecord | None:
        """The score at `key`; None when there is none, or none that can be read, which is logged."""
        try:
            return read_record(self._store, key, ScoreRecord)
        except BadRecord as error:
            _log.error("left out: %s", error)
            return None

    def objects(self, record: ScoreRecord) -> tuple[tuple[str, ...], Mapping[str, Floats]]:
        """A score's object ids and, by label, each result's values per object, `(n,)`. Raises Corrupt."""
        return read_objects(self._store, record)

    def nulls(self, record: ScoreRecord) -> Mapping[str, Floats]:
        """By label, each result's values under relabelling, `(permutations,)`. Raises Corrupt."""
        return read_nulls(self._store, record)
