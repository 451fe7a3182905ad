"""Results that exist: scores and embeddings in the object store, whichever study wanted them, read for lists."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from scorer.records import read_nulls, read_objects
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
    """Reads results. A record that cannot be read is logged and left out, so that it spoils no list."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    def score_keys(self, dataset: str | None = None) -> Iterator[str]:
        """The key of every score, of one dataset or of all, in order. No record is read."""
        return filter(keys.is_score, self._store.keys(keys.of_dataset(keys.SCORES, dataset)))

    def score(self, key: str) -> ScoreRecord | None:
        """The score at `key`."""
        return self._read(key, ScoreRecord)

    def scores(self, dataset: str | None = None) -> Iterator[ScoreRecord]:
        """Every score, of one dataset or of all, in the order of their keys."""
        return filter(None, map(self.score, self.score_keys(dataset)))

    def objects(self, record: ScoreRecord) -> tuple[tuple[str, ...], Mapping[str, Floats]]:
        """A score's object ids and, by label, each result's values per object, `(n,)`. Raises Corrupt."""
        return read_objects(self._store, record)

    def nulls(self, record: ScoreRecord) -> Mapping[str, Floats]:
        """By label, each result's values under relabelling, `(permutations,)`. Raises Corrupt."""
        return read_nulls(self._store, record)

    def embeddings(self, dataset: str | None = None) -> Iterator[Manifest]:
        """Every whole embedding, of one dataset or of all, in the order of their keys."""
        for key in self._store.keys(keys.of_dataset(keys.EMBEDDINGS, dataset)):
            manifest = self._read(key, Manifest) if keys.is_manifest(key) else None
            if manifest:
                yield manifest

    def _read(self, key: str, kind: type[Record]) -> Record | None:
        try:
            return read_record(self._store, key, kind)
        except BadRecord as error:
            _log.error("left out of the list: %s", error)
            return None
