"""What the object store says of wanted work: done, failed, or still missing.

Remembers only what cannot change: a manifest or a score, once there, stays.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import NamedTuple, TypeVar

from services.failures import describe_failure
from shared import keys
from shared.contracts import EmbeddingSpec, Failure, PairSpec, ScoreRecord, ScoreSpec, Study
from shared.embeddings import read_manifest
from shared.errors import BadRecord, UnknownName
from shared.records import read_record
from shared.store import ObjectStore

_REMEMBERED = 20_000
T = TypeVar("T")


class Whole(NamedTuple):
    """What is remembered of a finished embedding."""

    rows: int
    dropped: dict[str, int]
    repaired: dict[str, int]


class Ledger:
    """Reads results from the store, and remembers which are final."""

    def __init__(self, store: ObjectStore) -> None:
        self.store = store
        self._whole: OrderedDict[str, Whole] = OrderedDict()
        self._scored: OrderedDict[str, None] = OrderedDict()
        self._unreadable: dict[str, BadRecord] = {}
        self._studies: OrderedDict[str, Study] = OrderedDict()
        self._wanted: OrderedDict[str, tuple[ScoreSpec, ...]] = OrderedDict()

    def whole(self, spec: EmbeddingSpec) -> Whole | None:
        """The finished embedding, or None while there is none, or none that can be read."""
        digest = spec.digest
        if digest not in self._whole:
            try:
                manifest = read_manifest(self.store, spec)
            except BadRecord as error:
                self._unreadable[digest] = error
                return None
            self._unreadable.pop(digest, None)
            if manifest is None:
                return None
            _remember(self._whole, digest, Whole(manifest.rows, manifest.dropped, manifest.repaired))
        return self._whole[digest]

    def scored(self, spec: ScoreSpec) -> bool:
        """Whether the pair has its score."""
        digest = spec.digest
        if digest not in self._scored:
            if not self.store.exists(keys.score(spec)):
                return False
            _remember(self._scored, digest, None)
        return True

    def embedding_failure(self, spec: EmbeddingSpec) -> Failure | None:
        """Why there is no embedding and will be none: the job failed, or its manifest cannot be read."""
        unreadable = self._unreadable.get(spec.digest)
        if unreadable:
            return describe_failure(unreadable, work=spec.digest, label=spec.label, attempts=1)
        return self._read_failure(keys.embedding_failure(spec), spec.digest, spec.label)

    def score_failure(self, spec: ScoreSpec) -> Failure | None:
        """Why the pair ended without a score, if it did of itself."""
        return self._read_failure(keys.score_failure(spec), spec.digest, spec.pair.label)

    def _read_failure(self, key: str, work: str, label: str) -> Failure | None:
        try:
            return read_record(self.store, key, Failure)
        except BadRecord as error:
            return describe_failure(error, work=work, label=label, attempts=1)

    def pair_failure(self, spec: ScoreSpec) -> Failure | None:
        """Why the pair ended, or will end, without a score: its own failure or that of an embedding it needs."""
        own = self.score_failure(spec)
        if own:
            return own
        for side in _sides(spec.pair):
            failure = None if self.whole(side) else self.embedding_failure(side)
            if failure:
                wrong = f"there is no embedding {side.label}: {failure.wrong}"
                return failure.model_copy(update={"work": spec.digest, "label": spec.pair.label, "wrong": wrong})
        return None

    def ready(self, spec: ScoreSpec) -> bool:
        """Whether both embeddings of the pair are whole."""
        return all(self.whole(side) is not None for side in _sides(spec.pair))

    def record(self, spec: ScoreSpec) -> ScoreRecord | None:
        """The score, or None while there is none."""
        return read_record(self.store, keys.score(spec), ScoreRecord)

    def study(self, study_id: str) -> Study:
        """An accepted study. Raises UnknownName; BadName for what cannot be an id."""
        if study_id not in self._studies:
            study = read_record(self.store, keys.study(study_id), Study)
            if study is None:
                raise UnknownName(f"there is no study {study_id}", "the id of a study that was accepted")
            _remember(self._studies, study_id, study)
        return self._studies[study_id]

    def scores(self, study: Study) -> tuple[ScoreSpec, ...]:
        """The scores a study wants, in the order of its pairs."""
        if study.id not in self._wanted:
            _remember(self._wanted, study.id, study.scores())
        return self._wanted[study.id]

    def study_ids(self) -> Iterator[str]:
        """Ids of all accepted studies."""
        return map(keys.study_id, self.store.keys(keys.STUDIES))


def _sides(pair: PairSpec) -> tuple[EmbeddingSpec, EmbeddingSpec]:
    return pair.left, pair.right


def _remember(memory: OrderedDict[str, T], name: str, value: T) -> None:
    memory[name] = value
    if len(memory) > _REMEMBERED:
        memory.popitem(last=False)
