"""What the object store says of wanted work: done, failed, cancelled, or still missing.

Remembers what does not change: a manifest or a score, once there, stays, and endings are only added. When somebody
takes damaged work back after all, the board's epoch changes, and everything is looked at anew.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple, TypeVar

from scorer.search.records import Search
from services.board import Board
from services.discoveries import PValue, p_values_of
from services.failures import describe_failure
from services.searches import Look, Searches
from shared import keys
from shared.contracts import EmbeddingSpec, PairSpec, ScoreSpec, Study
from shared.embeddings import read_manifest_with_hash
from shared.endings import list_endings, state_at
from shared.errors import BadRecord, BrokerUnavailable, UnknownName
from shared.outcomes import Ending, Failure, ScoreRecord
from shared.planning import MOST_PAIRS
from shared.records import read_record
from shared.states import State
from shared.store import ObjectStore

_REMEMBERED = 20_000
_REMEMBERED_SCORES = 100_000
_REMEMBERED_P_VALUES = MOST_PAIRS  # all of the largest study
_FRESH_SECONDS = 1.0
_SHARE = 4  # a list that takes long to make is good for longer: at most a fifth of the time goes into making it
_FEW = 20
T = TypeVar("T")


class Whole(NamedTuple):
    """What is remembered of a finished embedding. sha256: of its manifest."""

    rows: int
    dropped: dict[str, int]
    repaired: dict[str, int]
    dimension: int
    sha256: str


class Ledger:
    """Reads results from the store, and remembers which are final."""

    def __init__(self, store: ObjectStore) -> None:
        self.store = store
        self._epoch: str | None = None
        self._studies: OrderedDict[str, Study] = OrderedDict()
        self._wanted: OrderedDict[str, tuple[ScoreSpec, ...]] = OrderedDict()
        self._searches = Searches(store, lambda prefix: self._list(prefix, self._list_keys))
        self.forget()

    def forget(self) -> None:
        """Forget all that was remembered of work."""
        self._whole: OrderedDict[str, Whole] = OrderedDict()
        self._scored: OrderedDict[str, None] = OrderedDict()
        self._p_values: OrderedDict[str, tuple[PValue, ...]] = OrderedDict()
        self._unreadable: dict[str, BadRecord] = {}
        self._endings: OrderedDict[str, Ending] = OrderedDict()
        self._lists: dict[str, tuple[float, Mapping[str, str]]] = {}
        self._searches.forget()

    def keep_up(self, board: Board) -> bool:
        """Forget, if somebody began a new epoch since the last call; whether so. Without Redis, go on as before."""
        try:
            epoch = board.epoch()
        except BrokerUnavailable:
            return False
        if epoch == self._epoch:
            return False
        self.forget()
        self._epoch = epoch
        return True

    def whole(self, spec: EmbeddingSpec) -> Whole | None:
        """The finished embedding, or None while there is none, or none that can be read."""
        digest = spec.digest
        if digest not in self._whole:
            try:
                found = read_manifest_with_hash(self.store, spec)
            except BadRecord as error:
                self._unreadable[digest] = error
                return None
            self._unreadable.pop(digest, None)
            if found is None:
                return None
            whole = found[0]
            known = Whole(whole.rows, whole.dropped, whole.repaired, whole.dimension, found[1])
            _remember(self._whole, digest, known)
        return self._whole[digest]

    def scored(self, spec: ScoreSpec) -> bool:
        """Whether the pair has its score."""
        digest = spec.digest
        if digest not in self._scored:
            if not self.store.exists(keys.score(spec)):
                return False
            _remember(self._scored, digest, None, _REMEMBERED_SCORES)
        return True

    def scored_of(self, study: Study) -> set[str]:
        """The digests of those scores of a study that exist; one listing tells of many."""
        scores = self.scores(study)
        unknown = [spec for spec in scores if spec.digest not in self._scored]
        if len(unknown) <= _FEW:
            return {spec.digest for spec in scores if self.scored(spec)}
        there: set[str] = set()
        for dataset in {spec.pair.left.dataset.name for spec in unknown}:
            there |= self._list(keys.of_dataset(keys.SCORES, dataset), self._list_scores).keys()
        for spec in unknown:
            if spec.digest in there:
                _remember(self._scored, spec.digest, None, _REMEMBERED_SCORES)
        return {spec.digest for spec in scores if spec.digest in there or spec.digest in self._scored}

    def _list_scores(self, prefix: str) -> Mapping[str, str]:
        return {keys.score_digest(key): key for key in self.store.keys(prefix) if keys.is_score(key)}

    def embedding_failure(self, spec: EmbeddingSpec) -> Failure | None:
        """Why there is no embedding and will be none: the job failed, or its manifest cannot be read."""
        unreadable = self._unreadable.get(spec.digest)
        if unreadable:
            return describe_failure(unreadable, work=spec.digest, label=spec.label, attempts=1)
        return self._failure(spec.dataset.name, spec.digest, spec)

    def score_failure(self, spec: ScoreSpec) -> Failure | None:
        """Why the pair ended without a score, if it did of itself."""
        return self._failure(spec.pair.left.dataset.name, spec.digest, spec.pair)

    def search_failure(self, search: Search) -> Failure | None:
        """Why there is no neighbour table and will be none: a step of its search failed."""
        return self._failure(search.embedding.dataset.name, search.digest, search)

    def look_at_searches(self, spec: ScoreSpec, products: int) -> Look:
        """What large searches come before a score of whole embeddings. products: of one of their steps."""
        left, right = self.whole(spec.pair.left), self.whole(spec.pair.right)
        return self._searches.look(spec, left, right, products) if left and right else Look()

    def searches_of(self, study: Study, scored: set[str]) -> dict[str, list[Search]]:
        """The large searches that scores of a study wait for, as far as they are planned, by digest of the score.

        A score that is not named has none, or work on them has not begun. scored: of `scored_of`. Where no pair of the
        dataset has large searches, no pair is looked at.
        """
        if not any(map(self._searches.known, {spec.dataset.name for spec in study.embeddings})):
            return {}
        found: dict[str, list[Search]] = {}
        for spec in self.scores(study):
            left, right = self.whole(spec.pair.left), self.whole(spec.pair.right)
            if left and right and spec.digest not in scored:
                searches = self._searches.begun(spec, left, right)
                found |= {} if searches is None else {spec.digest: searches}
        return found

    def _list_keys(self, prefix: str) -> Mapping[str, str]:
        return {key: key for key in self.store.keys(prefix)}

    def _failure(self, dataset: str, work: str, subject: EmbeddingSpec | PairSpec | Search) -> Failure | None:
        key = self._list(keys.work_endings(dataset), self._list_endings).get(work)
        if key is None or state_at(key) is not State.FAILED:
            return None
        try:
            ending = self._ending(key)
        except BadRecord as error:
            return describe_failure(error, work=work, label=subject.label, attempts=1)
        return ending.failure if ending else None

    def cancelled(self, study_id: str) -> bool:
        """Whether a study was cancelled, and not taken up again."""
        key = self._list(keys.study_endings(), self._list_endings).get(study_id)
        return key is not None and state_at(key) is State.CANCELLED

    def _list_endings(self, prefix: str) -> Mapping[str, str]:
        return list_endings(self.store, prefix)

    def _ending(self, key: str) -> Ending | None:
        if key not in self._endings:
            ending = read_record(self.store, key, Ending)
            if ending is None:
                return None
            _remember(self._endings, key, ending)
        return self._endings[key]

    def _list(self, prefix: str, make: Callable[[str], Mapping[str, str]]) -> Mapping[str, str]:
        """What `make` lists under `prefix`, asked for again when it is no longer fresh."""
        until, listed = self._lists.get(prefix, (0.0, {}))
        began = time.monotonic()
        if began > until:
            listed = make(prefix)
            now = time.monotonic()
            self._lists[prefix] = (now + max(_FRESH_SECONDS, _SHARE * (now - began)), listed)
        return listed

    def refresh(self) -> None:
        """Ask again, at the next use, how work ended, and for what was not whole.

        Not for the list of scores, which is long, and which nothing leaves: one that it misses is asked for by itself.
        """
        self._lists = {prefix: listed for prefix, listed in self._lists.items() if prefix.startswith(keys.SCORES)}

    def whole_of(self, study: Study) -> set[str]:
        """The digests of those embeddings of a study that are finished; many that were not are asked for at times."""
        unknown = [spec for spec in study.embeddings if spec.digest not in self._whole]
        known = {spec.digest for spec in study.embeddings} - {spec.digest for spec in unknown}

        def ask(_: str = "") -> Mapping[str, str]:
            return {spec.digest: spec.label for spec in unknown if self.whole(spec)}

        found = ask() if len(unknown) <= _FEW else self._list(keys.study(study.id), ask)
        return known | found.keys()

    def pair_failures(self, study: Study, scored: set[str]) -> dict[str, Failure]:
        """Why pairs of a study ended, or will end, without a score, by digest of the score wanted.

        It is a pair's own failure, or that of an embedding or a large search it needs. Each embedding is asked for
        once, however many pairs want it. scored: of `scored_of`.
        """
        whole = self.whole_of(study)
        lost = {spec.digest: self.embedding_failure(spec) for spec in study.embeddings if spec.digest not in whole}
        found: dict[str, Failure] = {}
        searches = self.searches_of(study, scored)
        for spec in self.scores(study):
            needed = searches.get(spec.digest, [])
            failure = None if spec.digest in scored else self._pair_failure(spec, lost, needed)
            if failure:
                found[spec.digest] = failure
        return found

    def _pair_failure(
        self, spec: ScoreSpec, lost: Mapping[str, Failure | None], searches: Iterable[Search]
    ) -> Failure | None:
        own = self.score_failure(spec)
        if own:
            return own
        needed = [(f"embedding {side.label}", lost.get(side.digest)) for side in (spec.pair.left, spec.pair.right)]
        needed += [(f"table of {search.label}", self.search_failure(search)) for search in searches]
        for what, failure in needed:
            if failure:
                wrong = f"there is no {what}: {failure.wrong}"
                return failure.model_copy(update={"work": spec.digest, "label": spec.pair.label, "wrong": wrong})
        return None

    def ready(self, spec: ScoreSpec) -> bool:
        """Whether both embeddings of the pair are whole."""
        return all(self.whole(side) is not None for side in (spec.pair.left, spec.pair.right))

    def record(self, spec: ScoreSpec) -> ScoreRecord | None:
        """The score, or None while there is none."""
        record = read_record(self.store, keys.score(spec), ScoreRecord)
        if record is not None:
            _remember(self._p_values, spec.digest, p_values_of(record), _REMEMBERED_P_VALUES)
        return record

    def p_values(self, spec: ScoreSpec) -> tuple[PValue, ...]:
        """The p-values of a score's results; none while there is no score. Raises BadRecord."""
        if spec.digest not in self._p_values:
            self.record(spec)
        return self._p_values.get(spec.digest, ())

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
            self._wanted[study.id] = study.scores()
            while len(self._wanted) > 1 and sum(map(len, self._wanted.values())) > _REMEMBERED_SCORES:
                self._wanted.popitem(last=False)
        return self._wanted[study.id]

    def works(self, study: Study) -> list[str]:
        """The digests of all jobs and scores of a study."""
        return [spec.digest for spec in (*study.embeddings, *self.scores(study))]

    def study_ids(self) -> Iterator[str]:
        """Ids of all accepted studies."""
        return (keys.study_id(key) for key in self.store.keys(keys.STUDIES) if keys.is_study(key))


def _remember(memory: OrderedDict[str, T], name: str, value: T, most: int = _REMEMBERED) -> None:
    memory[name] = value
    if len(memory) > most:
        memory.popitem(last=False)
