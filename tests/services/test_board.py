"""The board against a real Redis-protocol server."""

from __future__ import annotations

import time

import pytest
from redis import Redis

from services.board import Board
from services.broker import EMBED, EMBED_PART, Sender
from shared.errors import BrokerUnavailable, LeaseLost


def test_a_lease_is_held_by_one_at_a_time(board: Board) -> None:
    with board.lease("step") as first:
        assert first is not None
        assert board.running(["step", "other"]) == {"step"}
        with board.lease("step") as second:
            assert second is None
    assert board.running(["step"]) == set()


def test_a_lease_is_renewed_for_as_long_as_the_work_takes(board: Board) -> None:
    with board.lease("step") as lease:
        assert lease is not None
        time.sleep(3)  # half as long again as the lease
        lease.check()
        assert board.running(["step"]) == {"step"}


def test_a_lost_lease_is_noticed(board: Board, redis: Redis) -> None:
    with board.lease("step") as lease:
        assert lease is not None
        redis.flushall()
        time.sleep(1.2)  # past one renewal
        with pytest.raises(LeaseLost):
            lease.check()


def test_queued_names_what_celery_has_waiting(board: Board, sender: Sender) -> None:
    sender.send(EMBED_PART, EMBED, {}, message_id="a:0")
    sender.send(EMBED_PART, EMBED, {}, message_id="a:1")
    assert sorted(board.queued(EMBED)) == ["a:0", "a:1"]


def test_starts_are_counted_until_forgotten(board: Board) -> None:
    assert [board.count_start("step") for _ in range(3)] == [1, 2, 3]
    board.forget_starts(["step"])
    assert board.count_start("step") == 1


def test_rows_add_up_over_parts_and_restored_parts_do_not_count_for_the_rate(board: Board) -> None:
    board.restore_rows("e", {0: 100})
    assert board.rows_done(["e", "unknown"]) == [(100, None), (0, None)]
    board.set_rows("e", {1: 0})
    time.sleep(0.5)
    board.set_rows("e", {1: 10})
    board.restore_rows("e", {0: 100, 1: 50})  # what is known already is left alone
    (done,) = board.rows_done(["e"])
    assert done.rows == 110
    assert done.rate is not None
    assert done.rate <= 10 / 0.5


def test_wants_are_sets(board: Board) -> None:
    board.want("s1", ["e"])
    board.want("s1", ["e", "f"])
    board.want("s2", ["e"])
    assert board.wanted_by("e") == ["s1", "s2"]
    assert board.wanted_by("nothing") == []


def test_a_silent_redis_is_a_named_error() -> None:
    board = Board(Redis(port=1, socket_connect_timeout=0.2), lease_seconds=1)
    with pytest.raises(BrokerUnavailable, match="SAMESKY_REDIS_URL"):
        board.ping()
