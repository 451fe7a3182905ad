"""What is wanted, missing and ready goes onto the queues, a bounded number of messages at a time.

The api calls this when it accepts a study, the scorer when an embedding is whole, the reconciler on a timer.
Calling it too often does no harm: what is queued or running is not sent again.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from services.board import Board
from services.broker import EMBED, EMBED_PART, SCORE, SCORE_PAIR, Sender
from services.ledger import Ledger
from shared.contracts import EmbeddingSpec, ScoreSpec, Study
from shared.embeddings import list_parts, read_receipts


class Step(NamedTuple):
    """One message: a part of a job, or a score. Its id names the work, so the same work has the same id."""

    id: str
    queue: str
    task: str
    message: dict[str, Any]


def part_step(spec: EmbeddingSpec, index: int) -> Step:
    """The step that makes part `index` of an embedding."""
    message = {"embedding": spec.model_dump(mode="json"), "part": index}
    return Step(part_step_id(spec.digest, index), EMBED, EMBED_PART, message)


def part_step_id(embedding: str, index: int) -> str:
    """The id of the step that makes part `index` of the embedding with this digest."""
    return f"{embedding}:{index}"


def score_step(spec: ScoreSpec) -> Step:
    """The step that makes a score."""
    return Step(spec.digest, SCORE, SCORE_PAIR, {"score": spec.model_dump(mode="json")})


class Dispatcher:
    """Releases missing steps, no more than `limit` waiting in a queue."""

    def __init__(self, ledger: Ledger, board: Board, sender: Sender, *, limit: int) -> None:
        self._ledger, self._board, self._sender, self._limit = ledger, board, sender, limit

    def release(self, studies: Sequence[Study]) -> int:
        """Send missing steps of `studies`, in turn, so that a small study does not wait behind a huge one."""
        return self.send(_in_turn([self.missing(study) for study in studies]))

    def send(self, steps: Iterable[Step]) -> int:
        """Send those of `steps` that are not queued, running or resting, as far as the queues have room."""
        queued = {queue: set(self._board.queued(queue)) for queue in (EMBED, SCORE)}
        sent = 0
        for batch in _batches(steps, self._limit):
            ids = [step.id for step in batch]
            busy = self._board.running(ids) | self._board.resting(ids)
            for step in batch:
                waiting = queued[step.queue]
                if len(waiting) < self._limit and step.id not in waiting and step.id not in busy:
                    self._sender.send(step.task, step.queue, step.message, message_id=step.id)
                    waiting.add(step.id)
                    sent += 1
            if all(len(waiting) >= self._limit for waiting in queued.values()):
                break
        return sent

    def missing(self, study: Study) -> Iterator[Step]:
        """Steps of a study that are wanted and can be done: scores first, since they finish something."""
        for score in self._ledger.scores(study):
            if not self._ledger.scored(score) and self._ledger.ready(score) and not self._ledger.score_failure(score):
                yield score_step(score)
        for spec in study.embeddings:
            if not self._ledger.whole(spec) and not self._ledger.embedding_failure(spec):
                yield from self._missing_parts(spec)

    def _missing_parts(self, spec: EmbeddingSpec) -> Iterator[Step]:
        stored = list_parts(self._ledger.store, spec)
        if len(stored) >= spec.parts():  # and yet no manifest: look which receipts are of use
            stored = set(read_receipts(self._ledger.store, spec))
        self._board.restore_rows(spec.digest, {index: _rows_of(spec, index) for index in stored})
        missing = [index for index in range(spec.parts()) if index not in stored]
        # Every part there but no manifest: its last worker died between the two. Any part's step ends with it.
        yield from (part_step(spec, index) for index in missing or [spec.parts() - 1])

    def complete(self, study: Study) -> bool:
        """Whether every job and every pair of the study is done."""
        return all(self._ledger.whole(spec) for spec in study.embeddings) and all(
            self._ledger.scored(score) for score in self._ledger.scores(study)
        )


def _rows_of(spec: EmbeddingSpec, index: int) -> int:
    start, stop = spec.part_range(index)
    return max(0, stop - start)


def _in_turn(queues: Sequence[Iterator[Step]]) -> Iterator[Step]:
    for round_ in itertools.zip_longest(*queues):
        yield from (step for step in round_ if step is not None)


def _batches(steps: Iterable[Step], size: int) -> Iterator[list[Step]]:
    iterator = iter(steps)
    while batch := list(itertools.islice(iterator, size)):
        yield batch
