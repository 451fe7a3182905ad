"""What is wanted, missing and ready goes onto the queues, a bounded number of messages at a time.

The api calls this when it accepts a study, the scorer when an embedding is whole, the reconciler on a timer.
Calling it too often does no harm: what is queued or running is not sent again.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from scorer.ready import completed_by
from scorer.search.grid import PRODUCTS
from scorer.search.grid import Step as SearchStep
from scorer.search.records import Search
from services.board import Board
from services.broker import EMBED, EMBED_PART, PLAN_SEARCHES, PRIORITIES, SCORE, SCORE_PAIR, SEARCH_STEP, Sender
from services.failures import now, worker_name
from services.leases import manifest_step_id
from services.ledger import Ledger
from shared.contracts import EmbeddingSpec, ScoreSpec, Study
from shared.embeddings import list_parts, read_receipts
from shared.outcomes import Transition
from shared.states import State

_BATCH = 64
_RANKS = (2, 8, 32)
"""The first two missing steps of a study come before anyone's third, its first eight before anyone's ninth, ..."""


class Step(NamedTuple):
    """One message: a part of a job, or a score. Its id names the work, so the same work has the same id.

    beside: steps whose work is partly the same: while one of them runs, this one is not sent.
    """

    id: str
    queue: str
    task: str
    message: dict[str, Any]
    beside: tuple[str, ...] = ()


def part_step(
    spec: EmbeddingSpec,
    index: int,
    study: str,
    *,
    others: Sequence[EmbeddingSpec] = (),
    beside: Sequence[EmbeddingSpec] = (),
) -> Step:
    """The step that makes part `index` of an embedding. study: on whose account, for the log.

    others: embeddings that differ from it in the layer alone, and whose part is made in the same pass. beside:
    likewise, but those whose own step for this part, were it running, might be making the same.
    """
    message = {
        "study": study,
        "embedding": spec.model_dump(mode="json"),
        "part": index,
        "layers": [other.layer for other in others],
    }
    steps = tuple(part_step_id(other.digest, index) for other in beside if other.digest != spec.digest)
    return Step(part_step_id(spec.digest, index), EMBED, EMBED_PART, message, steps)


def part_step_id(embedding: str, index: int) -> str:
    """The id of the step that makes part `index` of the embedding with this digest."""
    return f"{embedding}:{index}"


def score_step(spec: ScoreSpec, study: str) -> Step:
    """The step that makes a score. study: on whose account, for the log."""
    return Step(spec.digest, SCORE, SCORE_PAIR, {"study": study, "score": spec.model_dump(mode="json")})


def plan_step(spec: ScoreSpec, study: str) -> Step:
    """The step that plans the large searches which come before a score. study: on whose account, for the log."""
    message = {"study": study, "score": spec.model_dump(mode="json")}
    return Step(plan_step_id(spec), SCORE, PLAN_SEARCHES, message)


def plan_step_id(spec: ScoreSpec) -> str:
    """The id of the step that plans the large searches which come before a score."""
    return f"{spec.digest}:plan"


def search_steps(search: Search, steps: Iterable[SearchStep], spec: ScoreSpec, study: str) -> Iterator[Step]:
    """Some steps of a large search. spec, study: a score that needs its table, and on whose account."""
    message = {"study": study, "score": spec.digest, "search": search.model_dump(mode="json")}
    for step in steps:
        yield Step(search_step_id(search, step), SCORE, SEARCH_STEP, message | {"step": step.name})


def search_step_id(search: Search, step: SearchStep) -> str:
    """The id of one step of a large search."""
    return f"{search.digest}:{step.name}"


def search_step_ids(search: Search) -> list[str]:
    """The ids of all steps of a large search."""
    return [search_step_id(search, step) for step in search.grid.steps()]


class Ranked(NamedTuple):
    """A step and its place among the missing steps of its study and queue: the lower, the sooner it is taken."""

    step: Step
    rank: int

    @property
    def priority(self) -> int:
        """The priority of its message."""
        return PRIORITIES[sum(self.rank >= limit for limit in _RANKS)]


class Dispatcher:
    """Releases missing steps, no more than `limit` waiting in a queue, and two for each study beyond that."""

    def __init__(self, ledger: Ledger, board: Board, sender: Sender, *, limit: int, products: int = PRODUCTS) -> None:
        """products: of one step of a search for neighbours."""
        self._ledger, self._board, self._sender, self._limit = ledger, board, sender, limit
        self._products = products

    def release(self, studies: Sequence[Study]) -> int:
        """Send missing steps of `studies`; how many. Small studies do not wait behind huge ones."""
        return self.send([steps for study in studies for steps in self.missing(study)])

    def announced(self, spec: EmbeddingSpec) -> int:
        """Send the scores that an embedding completes which is said to be whole; how many.

        Costs its own pairs, and of these no more than the queue has room for.
        """
        sent = 0
        for study_id in self._board.wanted_by(spec.digest):
            study = self._ledger.study(study_id)
            completed = completed_by(study, spec.digest, lambda side: self._ledger.whole(side) is not None)
            told: set[Search] = set()
            missing = (score for score in completed if not self._ledger.scored(score))
            steps = (step for score in missing for step in self.steps_of(score, study_id, told))
            sent += self.send([steps], after=self._board.queued_for(SCORE, study_id))
        return sent

    def send(self, wanted: Sequence[Iterator[Step]], *, after: int = 0) -> int:
        """Send those steps that are not queued, running or resting, as far as the queues have room; how many.

        wanted: for each study and queue the missing steps, in the order of their use. Studies take turns, and the first
        steps of each have the highest priority, and find room in a full queue; those that became the first while they
        waited are moved ahead. No more of them are taken than could be sent now, so that what is beyond costs nothing.
        after: how many missing steps of the study come before those that are given; its first ones are favoured once,
        not at every call.
        """
        queued = {queue: self._board.waiting_steps(queue) for queue in (EMBED, SCORE)}
        room = {queue: self._limit - len(waiting) for queue, waiting in queued.items()}
        sent, seen = 0, set[str]()  # two studies may want the same step
        ranked_steps = [_ranked(steps, room, most=2 * self._limit, after=after) for steps in wanted]
        for batch in _batches(_in_turn(ranked_steps), _BATCH):
            ids = [step.id for step, _ in batch]
            running = self._board.running({*ids, *(beside for step, _ in batch for beside in step.beside)})
            resting = self._board.resting(ids)
            free: list[Ranked] = []
            for ranked in batch:
                step, first = ranked.step, ranked.rank < _RANKS[0]
                waiting = queued[step.queue].get(step.id)
                if step.id in seen:
                    continue
                seen.add(step.id)
                if waiting is not None:
                    if first and waiting.priority > ranked.priority and self._board.withdraw(waiting):
                        self._send(ranked)
                elif step.id in resting or not running.isdisjoint((step.id, *step.beside)):
                    continue
                elif room[step.queue] > 0 or first:
                    free.append(ranked)
                    room[step.queue] -= 1
            sent += self._send_new(free)
        return sent

    def _send_new(self, free: Sequence[Ranked]) -> int:
        self._board.note({step.id: _queued() for step, _ in free})
        for ranked in free:
            self._send(ranked)
        return len(free)

    def _send(self, ranked: Ranked) -> None:
        step = ranked.step
        self._sender.send(step.task, step.queue, step.message, message_id=step.id, priority=ranked.priority)

    def missing(self, study: Study) -> tuple[Iterator[Step], Iterator[Step]]:
        """Steps of a study that are wanted and can be done: its scores, and the parts of its embeddings."""
        whole = self._ledger.whole_of(study)
        return self._missing_scores(study, whole), self._missing_passes(study, whole)

    def _missing_scores(self, study: Study, whole: Collection[str]) -> Iterator[Step]:
        scored = self._ledger.scored_of(study)
        told: set[Search] = set()
        for score in self._ledger.scores(study):
            ready = score.pair.left.digest in whole and score.pair.right.digest in whole
            if not ready or score.digest in scored or self._ledger.score_failure(score):
                continue
            if not self._ledger.scored(score):  # it may have been made since the list was
                yield from self.steps_of(score, study.id, told)

    def _missing_passes(self, study: Study, whole: Collection[str]) -> Iterator[Step]:
        for layers in study.passes:
            wanted = [spec for spec in layers if spec.digest not in whole and not self._ledger.embedding_failure(spec)]
            if wanted:
                yield from self._missing_parts(wanted, layers, study.id)

    def steps_of(self, score: ScoreSpec, study: str, told: set[Search]) -> Iterator[Step]:
        """What is to be done for a score of whole embeddings: it is made, unless large searches come before it.

        told: searches whose steps were given for other scores, and are not given again; those of this one are added.
        """
        look = self._ledger.look_at_searches(score, self._products)
        if look.ready:
            yield score_step(score, study)
        elif not look.planned:
            yield plan_step(score, study)
        elif not any(map(self._ledger.search_failure, look.steps)):
            for search in [search for search in look.steps if search not in told]:
                told.add(search)
                yield from search_steps(search, look.steps[search], score, study)

    def _missing_parts(
        self, wanted: Sequence[EmbeddingSpec], layers: Sequence[EmbeddingSpec], study: str
    ) -> Iterator[Step]:
        """The steps of one pass: for each part one, that of the first layer that misses it, which makes the others too.

        wanted: of `layers`, those that are neither whole nor failed. So a layer that failed leads no more, and what a
        step left out, or its worker did not live to store, is led by the first that misses it then.
        """
        last = wanted[0].parts() - 1
        stored: list[tuple[EmbeddingSpec, set[int]]] = []
        unfinished: list[EmbeddingSpec] = []
        for spec in wanted:
            there = self._stored_parts(spec, layers)
            if there is None:
                continue
            self._board.restore_rows(spec.digest, {index: _rows_of(spec, index) for index in there})
            if len(there) > last:
                unfinished.append(spec)
            else:
                stored.append((spec, there))
        for index in range(last + 1):
            missing = [spec for spec, there in stored if index not in there]
            if index == last:
                # Every part there but no manifest: its last worker died between the two. Any part's step ends with it.
                missing += unfinished
            if missing:
                yield part_step(missing[0], index, study, others=missing[1:], beside=layers)

    def _stored_parts(self, spec: EmbeddingSpec, layers: Sequence[EmbeddingSpec]) -> set[int] | None:
        """Indices of the parts that are stored; None while a worker declares the layers of its pass whole."""
        stored = list_parts(self._ledger.store, spec)
        if len(stored) < spec.parts():
            return stored
        if self._board.running(manifest_step_id(layer.digest) for layer in layers):
            return None
        return set(read_receipts(self._ledger.store, spec))  # which of them are of use

    def complete(self, study: Study) -> bool:
        """Whether every job and every pair of the study is done."""
        return all(self._ledger.whole(spec) for spec in study.embeddings) and len(self._ledger.scored_of(study)) == len(
            self._ledger.scores(study)
        )


def _queued() -> Transition:
    return Transition(state=State.QUEUED, at=now(), worker=worker_name())


def _rows_of(spec: EmbeddingSpec, index: int) -> int:
    start, stop = spec.part_range(index)
    return max(0, stop - start)


def _ranked(steps: Iterator[Step], room: Mapping[str, int], *, most: int, after: int) -> Iterator[Ranked]:
    """The steps with their ranks, at most so many, and none that could not be sent. room: of each queue, as it is then.

    All are of one queue.
    """
    for rank, step in enumerate(itertools.islice(steps, most), after):
        if rank >= _RANKS[0] and room[step.queue] <= 0:
            return
        yield Ranked(step, rank)


def _in_turn(queues: Sequence[Iterator[Ranked]]) -> Iterator[Ranked]:
    for round_ in itertools.zip_longest(*queues):
        yield from (step for step in round_ if step is not None)


def _batches(steps: Iterable[Ranked], size: int) -> Iterator[list[Ranked]]:
    iterator = iter(steps)
    while batch := list(itertools.islice(iterator, size)):
        yield batch
