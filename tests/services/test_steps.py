"""How a step ends: done, tried again, or failed with its reason kept."""

from __future__ import annotations

import pytest
from redis import Redis

from services.board import Board
from services.leases import Lease
from services.meters import Meters
from services.steps import Runner, StepWork
from shared import keys
from shared.endings import add_ending, read_endings
from shared.errors import BadSetting, BadTable, LeaseLost, SameSkyError, StoreUnavailable
from shared.outcomes import Attempt, Ending, Failure, Transition
from shared.settings import Settings
from shared.states import State
from shared.store import MemoryStore

ENDINGS = keys.work_endings("sky")
STEP = StepWork("step", work="0" * 32, label="sky/hsc/fake", endings=ENDINGS, part="part 3")


class Work:
    """Work that ends as it is told, and counts its starts."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error
        self.attempts: list[Attempt] = []

    @property
    def starts(self) -> int:
        return len(self.attempts)

    def __call__(self, lease: Lease, attempt: Attempt) -> None:
        self.attempts.append(attempt)
        if self.error:
            raise self.error


def run(work: Work, board: Board, store: MemoryStore, step: StepWork = STEP) -> Failure | None:
    away = Settings.read({"SAMESKY_REDIS_URL": "redis://127.0.0.1:1/0"})
    Runner(board, store, Meters.open(away), attempts=3, rest_seconds=5).run(step, work)
    ended = read_endings(store, ENDINGS, STEP.work)
    return ended[-1].failure if ended else None


def test_work_that_ends_well_leaves_no_trace(board: Board, store: MemoryStore) -> None:
    assert run(Work(), board, store) is None
    assert board.starts("step") == 0
    assert board.histories(["step"]) == [()]


def test_a_permanent_error_is_kept_at_once(board: Board, store: MemoryStore) -> None:
    failure = run(Work(BadTable("a.parquet is cut short", "a Parquet file", "copy it again")), board, store)
    assert failure is not None
    assert (failure.code, failure.attempts, failure.remedy) == ("bad-table", 1, "copy it again")


def test_a_retryable_error_is_tried_three_times_and_all_of_it_is_told(board: Board, store: MemoryStore) -> None:
    work = Work(StoreUnavailable("no answer"))
    assert run(work, board, store) is None
    assert board.resting(["step"]) == {"step"}
    assert run(work, board, store) is None
    failure = run(work, board, store)
    assert failure is not None
    assert (failure.code, failure.attempts, work.starts) == ("store-unavailable", 3, 3)
    (ending,) = read_endings(store, ENDINGS, STEP.work)
    assert [(told.state, told.why) for told in ending.history] == [
        (State.RUNNING, ""),
        (State.QUEUED, "no answer"),
        (State.RUNNING, ""),
        (State.QUEUED, "no answer"),
        (State.RUNNING, ""),
        (State.FAILED, "no answer"),
    ]
    assert all(told.step == "part 3" and told.worker for told in ending.history)


def test_later_attempts_have_higher_tokens_and_know_what_came_before(board: Board, store: MemoryStore) -> None:
    work = Work(StoreUnavailable("no answer"))
    run(work, board, store)
    run(work, board, store)
    first, second = work.attempts
    assert first.token < second.token
    assert first.name < second.name
    assert [told.state for told in second.history] == [State.RUNNING, State.QUEUED, State.RUNNING]


def test_an_error_that_nobody_named_is_kept_by_its_own_name(board: Board, store: MemoryStore) -> None:
    for _ in range(3):
        failure = run(Work(KeyError("flux")), board, store)
    assert failure is not None
    assert failure.code == "unexpected"
    assert "KeyError" in failure.wrong


def test_work_that_kills_its_worker_is_stopped_and_the_last_reason_told(board: Board, store: MemoryStore) -> None:
    killing = Work(SystemExit())  # what leaves the step without reaching its end, as a kill does
    for _ in range(3):
        with pytest.raises(SystemExit):
            run(killing, board, store)
    board.note({"step": Transition(state=State.QUEUED, at="now", worker="w", why="signal 9")})
    failure = run(killing, board, store)
    assert failure is not None
    assert (failure.code, failure.attempts, killing.starts) == ("stopped", 3, 3)
    assert failure.wrong.endswith("begun 3 times, and never came to an end; last: signal 9")


def test_work_that_has_failed_is_not_begun_until_it_is_asked_for_again(board: Board, store: MemoryStore) -> None:
    run(Work(BadTable("cut short")), board, store)
    late = Work()
    run(late, board, store)
    assert late.starts == 0
    again = Ending(subject=STEP.work, label="", state=State.QUEUED, at="now", worker="w")
    add_ending(store, ENDINGS, again)
    run(late, board, store)
    assert late.starts == 1


def test_a_step_that_another_holds_is_left_to_it(board: Board, store: MemoryStore) -> None:
    work = Work()
    with board.leases.lease("step", "another"):
        run(work, board, store)
    assert work.starts == 0


def test_a_lost_lease_is_no_failure(board: Board, store: MemoryStore) -> None:
    work = Work(LeaseLost("the lease ran out"))
    assert [run(work, board, store) for _ in range(3)] == [None, None, None]


def test_work_that_was_cancelled_is_not_begun(board: Board, store: MemoryStore) -> None:
    work = Work()
    board.cancel([STEP.work])
    run(work, board, store)
    assert work.starts == 0
    board.allow([STEP.work])
    run(work, board, store)
    assert work.starts == 1


def test_a_fenced_out_worker_cannot_fail_the_work_of_its_successor(
    board: Board, store: MemoryStore, redis: Redis
) -> None:
    class Stalled(Work):
        def __call__(self, lease: Lease, attempt: Attempt) -> None:
            redis.delete("samesky:lease:step")
            with board.leases.lease("step", "its successor"):
                pass
            raise BadTable("seen while stalled")

    assert run(Stalled(), board, store) is None
    assert read_endings(store, ENDINGS, STEP.work) == []


class ReadOnly(MemoryStore):
    """A store that takes nothing."""

    def put_if_absent(self, key: str, data: bytes) -> bool:
        raise self.refusal

    refusal: SameSkyError = StoreUnavailable("the disk is full")


@pytest.mark.parametrize("refusal", [StoreUnavailable("the disk is full"), BadSetting("403")])
def test_a_store_that_takes_no_endings_makes_no_failure_of_it(board: Board, refusal: SameSkyError) -> None:
    away = ReadOnly()
    away.refusal = refusal
    work = Work(StoreUnavailable("no answer"))
    for _ in range(6):
        run(work, board, away)
        assert board.resting(["step"]) == {"step"}
    assert work.starts == 6
    failure = run(work, board, MemoryStore())  # it takes them again
    assert failure is not None
    assert (failure.code, failure.attempts) == ("store-unavailable", 3)


def test_the_second_part_to_fail_a_job_is_told_too(board: Board, store: MemoryStore) -> None:
    class Meanwhile(Work):
        def __call__(self, lease: Lease, attempt: Attempt) -> None:
            run(Work(BadTable("cut short")), board, store)
            super().__call__(lease, attempt)

    other = StepWork("other", work=STEP.work, label=STEP.label, endings=ENDINGS, part="part 4")
    run(Meanwhile(BadTable("cut short too")), board, store, other)
    assert len(read_endings(store, ENDINGS, STEP.work)) == 1
    (history,) = board.histories(["other"])
    assert [(told.state, told.why) for told in history] == [(State.RUNNING, ""), (State.FAILED, "cut short too")]


def test_a_take_over_is_counted_though_the_step_was_sent_again(board: Board, store: MemoryStore, redis: Redis) -> None:
    with pytest.raises(SystemExit):
        run(Work(SystemExit()), board, store)
    board.note({"step": Transition(state=State.QUEUED, at="now", worker="reconciler")})
    here = Meters(redis)
    Runner(board, store, here, attempts=3, rest_seconds=5).run(STEP, Work())
    assert here.read()["samesky_lease_takeovers_total"][()].value == 1
    Runner(board, store, here, attempts=3, rest_seconds=5).run(STEP, Work())
    assert here.read()["samesky_lease_takeovers_total"][()].value == 1
