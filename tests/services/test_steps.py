"""How a step ends: done, tried again, or failed with its reason kept."""

from __future__ import annotations

import pytest

from services.board import Board, Lease
from services.steps import run_step
from shared.contracts import Failure
from shared.errors import BadTable, LeaseLost, StoreUnavailable
from shared.records import read_record
from shared.store import MemoryStore

DIGEST = "0" * 32


class Work:
    """Work that ends as it is told, and counts its starts."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error, self.starts = error, 0

    def __call__(self, lease: Lease) -> None:
        self.starts += 1
        if self.error:
            raise self.error


def run(work: Work, board: Board, store: MemoryStore) -> Failure | None:
    run_step(
        "step",
        work,
        digest=DIGEST,
        label="sky/hsc/fake",
        failure_key="failure.json",
        board=board,
        store=store,
        attempts=3,
    )
    return read_record(store, "failure.json", Failure)


def test_work_that_ends_well_leaves_no_trace(board: Board, store: MemoryStore) -> None:
    assert run(Work(), board, store) is None
    assert board.count_start("step") == 1


def test_a_permanent_error_is_kept_at_once(board: Board, store: MemoryStore) -> None:
    failure = run(Work(BadTable("a.parquet is cut short", "a Parquet file", "copy it again")), board, store)
    assert failure is not None
    assert (failure.code, failure.attempts, failure.remedy) == ("bad-table", 1, "copy it again")


def test_a_retryable_error_is_tried_three_times(board: Board, store: MemoryStore) -> None:
    work = Work(StoreUnavailable("no answer"))
    assert run(work, board, store) is None
    assert board.resting(["step"]) == {"step"}
    assert run(work, board, store) is None
    failure = run(work, board, store)
    assert failure is not None
    assert (failure.code, failure.attempts, work.starts) == ("store-unavailable", 3, 3)


def test_an_error_that_nobody_named_is_kept_by_its_own_name(board: Board, store: MemoryStore) -> None:
    for _ in range(3):
        failure = run(Work(KeyError("flux")), board, store)
    assert failure is not None
    assert failure.code == "unexpected"
    assert "KeyError" in failure.wrong


def test_work_that_kills_its_worker_is_stopped(board: Board, store: MemoryStore) -> None:
    killing = Work(SystemExit())  # what leaves the step without reaching its end, as a kill does
    for _ in range(3):
        with pytest.raises(SystemExit):
            run(killing, board, store)
    failure = run(killing, board, store)
    assert failure is not None
    assert (failure.code, killing.starts) == ("stopped", 3)


def test_a_step_that_another_holds_is_left_to_it(board: Board, store: MemoryStore) -> None:
    work = Work()
    with board.lease("step"):
        run(work, board, store)
    assert work.starts == 0


def test_a_lost_lease_is_no_failure(board: Board, store: MemoryStore) -> None:
    work = Work(LeaseLost("the lease ran out"))
    assert [run(work, board, store) for _ in range(3)] == [None, None, None]
