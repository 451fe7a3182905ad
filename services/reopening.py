"""Taking up again what failed, or was cancelled: damage in the store is taken back, and counting starts anew."""

from __future__ import annotations

import logging
from typing import NamedTuple

from services.board import Board
from services.dispatch import part_step_id, plan_step_id, search_step_ids
from services.failures import now, worker_name
from services.ledger import Ledger
from shared import keys
from shared.contracts import ScoreSpec, Study
from shared.embeddings import discard_damaged, read_receipts, revoke_damaged
from shared.endings import add_ending
from shared.errors import BadRecord, BrokerUnavailable, Corrupt, error_kinds
from shared.outcomes import Ending, Failure
from shared.states import State
from shared.store import ObjectStore

_log = logging.getLogger(__name__)


class _Failed(NamedTuple):
    """Work that failed: why, its name for people, of which dataset, and the ids of its steps."""

    failure: Failure
    label: str
    dataset: str
    steps: list[str]


class Reopening:
    """Opens the failed work of a study again."""

    def __init__(self, store: ObjectStore, ledger: Ledger, board: Board) -> None:
        self._store, self._ledger, self._board = store, ledger, board

    def reopen(self, study: Study) -> int:
        """Open again what failed or was cancelled; how many jobs, pairs and large searches had failed."""
        # Another process may have cancelled it, or taken damage back, a moment ago.
        self._ledger.keep_up(self._board)
        self._ledger.refresh()
        cancelled = self._ledger.cancelled(study.id)
        if cancelled:
            add_ending(self._store, keys.study_endings(), ending_of(study.id, study.title or study.id, State.QUEUED))
        failed = self._failed(study)
        if any(_is_damage(each.failure) for each in failed.values()):
            self._take_back_damaged(study)
        for work, (failure, label, dataset, _) in failed.items():
            add_ending(self._store, keys.work_endings(dataset), ending_of(work, label, State.QUEUED))
            _log.info("%s is taken up again after: %s", label, failure.wrong)
        if failed or cancelled:
            self._ledger.refresh()
        try:
            self._board.forget(step for each in failed.values() for step in each.steps)
        except BrokerUnavailable as error:
            _log.warning("%s; starts are counted on from where they were", error)
        return len(failed)

    def take_back_scores(self, study: Study) -> None:
        """Remove those scores of a study that cannot be read, so that they are made again."""
        there = self._ledger.scored_of(study)
        taken_back = False
        for score in self._ledger.scores(study):
            if score.digest in there and not self._is_sound(score):
                self._store.delete(keys.score(score))
                taken_back = True
        if taken_back:
            self._begin_epoch(study)

    def _is_sound(self, score: ScoreSpec) -> bool:
        try:
            self._ledger.record(score)
        except BadRecord as error:
            _log.warning("a score will be made again: %s", error)
            return False
        return True

    def _begin_epoch(self, study: Study) -> None:
        self._ledger.forget()
        try:
            self._board.begin_epoch()
            self._board.forget_rows(spec.digest for spec in study.embeddings if not self._ledger.whole(spec))
        except BrokerUnavailable as error:
            _log.warning("%s; restart the services, so that they forget what was taken back", error)

    def _failed(self, study: Study) -> dict[str, _Failed]:
        """What failed of itself, by digest."""
        found: dict[str, _Failed] = {}
        whole = self._ledger.whole_of(study)
        for spec in study.embeddings:
            failure = None if spec.digest in whole else self._ledger.embedding_failure(spec)
            if failure:
                steps = [part_step_id(spec.digest, index) for index in range(spec.parts())]
                found[spec.digest] = _Failed(failure, spec.label, spec.dataset.name, steps)
        scored = self._ledger.scored_of(study)
        for score in self._ledger.scores(study):
            failure = None if score.digest in scored else self._ledger.score_failure(score)
            if failure:
                steps = [score.digest, plan_step_id(score)]
                found[score.digest] = _Failed(failure, score.pair.label, score.pair.left.dataset.name, steps)
        for search in {each for waiting in self._ledger.searches_of(study, scored).values() for each in waiting}:
            failure = self._ledger.search_failure(search)
            if failure:
                steps = search_step_ids(search)
                found[search.digest] = _Failed(failure, search.label, search.embedding.dataset.name, steps)
        return found

    def _take_back_damaged(self, study: Study) -> None:
        """Read every embedding of the study through; take back manifests and parts that are not what was written."""
        revoked = [spec for spec in study.embeddings if revoke_damaged(self._store, spec)]
        for spec in study.embeddings:
            if spec not in revoked and not self._ledger.whole(spec):
                discard_damaged(self._store, spec, read_receipts(self._store, spec).values())
        self._begin_epoch(study)


def ending_of(subject: str, label: str, state: State) -> Ending:
    """The ending of a study, job or score that a person asked for."""
    return Ending(subject=subject, label=label, state=state, at=now(), worker=worker_name())


def _is_damage(failure: Failure) -> bool:
    return issubclass(error_kinds().get(failure.code, Corrupt), Corrupt)
