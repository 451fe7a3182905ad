"""One step of work, from its lease to its end: done, left to be tried again, or failed with its reason kept.

This is the worker's edge: the one place where an error that nobody named is caught.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from services.board import Board
from services.broker import Delivery
from services.failures import describe_failure, now, parent_name, worker_name
from services.leases import Lease
from services.meters import Meters
from shared.endings import add_ending, has_failed
from shared.errors import BrokerUnavailable, LeaseLost, Permanent, SameSkyError, Stopped, Unexpected
from shared.log import context
from shared.outcomes import Attempt, Ending, Transition
from shared.states import State
from shared.store import ObjectStore

_log = logging.getLogger(__name__)
_LONGER, _LONGEST = 6, 36  # rests of 5 s, 30 s, and then of 180 s


@dataclass(frozen=True, slots=True)
class StepWork:
    """What a step is for. work: digest of its job or score. part: which part of a job; empty for a score.

    endings: prefix of the endings of its dataset.
    """

    step: str
    work: str
    label: str
    endings: str
    part: str = ""

    @property
    def name(self) -> str:
        """The step for people."""
        return f"{self.label} {self.part}".rstrip()


class Runner:
    """Runs steps. attempts: starts of one step before it is failed. rest_seconds: its rest after the first error."""

    def __init__(self, board: Board, store: ObjectStore, meters: Meters, *, attempts: int, rest_seconds: int) -> None:
        self._board, self._store, self._meters = board, store, meters
        self._attempts, self._rest_seconds = attempts, rest_seconds

    def run(self, step: StepWork, do: Callable[[Lease, Attempt], None], delivery: Delivery | None = None) -> bool:
        """Do one step under its lease, and keep the reason if it fails for good; whether it was begun.

        A retryable error, or one that nobody named, leaves the step to the reconciler, `attempts` starts in all;
        a permanent one fails it at once. Between starts the step rests, each time longer, so that an outage is not
        taken for a failure. A step that another worker holds is left to it; one that was cancelled, or has failed, is
        left alone. Starts are counted before the work, so that work which kills its worker is stopped too.
        """
        try:
            return self._run_leased(step, do, delivery)
        except LeaseLost as error:
            _log.warning("%s is left to another worker: %s", step.name, error)
        except BrokerUnavailable as error:
            _log.warning("%s will be tried again when Redis is back: %s", step.name, error)
        return True

    def _run_leased(self, step: StepWork, do: Callable[[Lease, Attempt], None], delivery: Delivery | None) -> bool:
        renew = delivery.renew if delivery else lambda: None
        with self._board.leases.lease(step.step, parent_name(), renew) as lease:
            if lease is None:
                _log.info("%s is another worker's", step.name)
                return False
            if self._board.cancelled(step.work):
                _log.info("%s was cancelled", step.name)
                return False
            if has_failed(self._store, step.endings, step.work):
                _log.info("%s has failed already", step.name)
                return False
            begun = Transition(state=State.RUNNING, at=now(), worker=worker_name(), step=step.part)
            starts, history = self._board.begin(step.step, begun, lease.token)
            if _fell_silent(history[:-1]):
                self._meters.count("samesky_lease_takeovers_total")
            name = f"{lease.token:016d}-{uuid.uuid4().hex[:8]}"
            attempt = Attempt(name=name, worker=worker_name(), token=lease.token, history=history)
            with context(job=step.work, step=step.part, attempt=name):
                self._run_attempt(step, do, lease, attempt, starts)
        return True

    def _run_attempt(
        self, step: StepWork, do: Callable[[Lease, Attempt], None], lease: Lease, attempt: Attempt, starts: int
    ) -> None:
        try:
            if starts > self._attempts:
                raise _stopped(step, starts - 1, attempt)
            do(lease, attempt)
            self._board.forget([step.step])
        except (LeaseLost, BrokerUnavailable):
            raise
        except Exception as error:  # noqa: BLE001 - the worker's edge
            if isinstance(error, Permanent) or starts >= self._attempts:
                _log.error("%s failed: %s", step.name, error, exc_info=_trace(error))
                lease.check()
                self._fail(step, error, attempt, starts)
            else:
                _log.warning("%s will be tried again: %s", step.name, error, exc_info=_trace(error))
                self._meters.count("samesky_step_retries_total", code=_code_of(error))
                leave(self._board, step.step, why=str(error), part=step.part, rest=self._rest_after(starts))

    def _rest_after(self, starts: int) -> int:
        return self._rest_seconds * min(int(_LONGER ** (starts - 1)), _LONGEST)

    def _fail(self, step: StepWork, error: Exception, attempt: Attempt, starts: int) -> None:
        failure = describe_failure(error, work=step.work, label=step.label, attempts=min(starts, self._attempts))
        failed = Transition(state=State.FAILED, at=failure.at, worker=failure.worker, step=step.part, why=failure.wrong)
        ending = Ending(
            subject=step.work,
            label=step.label,
            state=State.FAILED,
            at=failure.at,
            worker=failure.worker,
            failure=failure,
            history=(*attempt.history, failed),
        )
        try:
            kept = add_ending(self._store, step.endings, ending)
        except SameSkyError as refused:
            self._leave_untold(step, attempt, refused)
            return
        if kept:
            self._board.forget([step.step])  # its history is in the ending now
        else:  # another part failed the job first; this one's end is on the board alone
            self._board.note({step.step: failed})
        self._meters.count("samesky_steps_failed_total", code=failure.code)

    def _leave_untold(self, step: StepWork, attempt: Attempt, refused: SameSkyError) -> None:
        """Leave a step whose end the store did not take: it is not over, and the start does not count.

        Else starts would add up for as long as the store is away, and the step be failed for them in the end.
        """
        _log.warning("how %s ended could not be kept, so it will be tried again: %s", step.name, refused)
        self._board.uncount(step.step, attempt.token)
        why = f"how it ended could not be kept: {refused}"
        leave(self._board, step.step, why=why, part=step.part, rest=self._rest_after(self._attempts))


def leave(board: Board, step: str, *, why: str, part: str, rest: int) -> None:
    """Leave a step to be tried again after a rest, in seconds."""
    board.note({step: Transition(state=State.QUEUED, at=now(), worker=worker_name(), step=part, why=why)})
    if rest:
        board.rest(step, rest)


def _fell_silent(history: Sequence[Transition]) -> bool:
    """Whether the last start in `history` never told how it ended. That the step was sent again since tells nothing."""
    told = [transition for transition in history if transition.state is not State.QUEUED or transition.why]
    return bool(told) and told[-1].state is State.RUNNING


def _stopped(step: StepWork, times: int, attempt: Attempt) -> Stopped:
    whys = [transition.why for transition in attempt.history if transition.state is State.QUEUED and transition.why]
    last = f"; last: {whys[-1]}" if whys else ""
    return Stopped(
        f"{step.name} was begun {times} times, and never came to an end{last}",
        "work that ends, and does not end its worker",
        "see the worker's log; more memory, or a smaller SAMESKY_BATCH, may help",
    )


def _code_of(error: Exception) -> str:
    return (error if isinstance(error, SameSkyError) else Unexpected("")).code


def _trace(error: Exception) -> Exception | None:
    return None if isinstance(error, SameSkyError) else error
