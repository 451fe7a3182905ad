"""The board against a real Redis-protocol server."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest
from redis import Redis
from redis.backoff import ExponentialBackoff
from redis.exceptions import ResponseError
from redis.retry import Retry

from services.board import Board
from services.broker import EMBED, EMBED_PART, Sender
from services.redis_errors import named_errors
from shared.errors import BrokerUnavailable, LeaseLost
from shared.outcomes import Transition
from shared.states import State


def test_a_lease_is_held_by_one_at_a_time(board: Board) -> None:
    with board.leases.lease("step", "us") as first:
        assert first is not None
        assert board.running(["step", "other"]) == {"step"}
        with board.leases.lease("step", "them") as second:
            assert second is None
    assert board.running(["step"]) == set()


def test_a_lease_is_renewed_for_as_long_as_the_work_takes(board: Board) -> None:
    with board.leases.lease("step", "us") as lease:
        assert lease is not None
        time.sleep(3)  # half as long again as the lease
        lease.check()
        assert board.running(["step"]) == {"step"}


def test_a_wiped_lease_is_taken_up_again_by_its_holder(board: Board, redis: Redis) -> None:
    with board.leases.lease("step", "us") as lease:
        assert lease is not None
        redis.flushall()
        lease.check()
        assert board.running(["step"]) == {"step"}


def test_a_stalled_holder_is_fenced_out_by_its_successor(board: Board, redis: Redis) -> None:
    with board.leases.lease("step", "us") as stalled:
        assert stalled is not None
        redis.delete("samesky:lease:step")  # it ran out while its holder was stopped
        with board.leases.lease("step", "them") as successor:
            assert successor is not None
            assert successor.token > stalled.token
            with pytest.raises(LeaseLost):
                stalled.check()
            successor.check()
        with pytest.raises(LeaseLost):  # and it stays so when the successor has ended
            stalled.check()


def test_tokens_grow_over_a_wiped_redis(board: Board, redis: Redis) -> None:
    tokens = []
    for _ in range(3):
        with board.leases.lease("step", "us") as lease:
            assert lease is not None
            tokens.append(lease.token)
        redis.flushall()
    assert tokens == sorted(set(tokens))


def test_a_lease_ends_only_at_the_word_of_its_own_worker(board: Board) -> None:
    with board.leases.lease("step", "host:1") as lease:
        assert lease is not None
        assert not board.leases.end("step", " host:2")
        assert board.leases.end("step", " host:1")
    assert board.running(["step"]) == set()


def test_queued_names_what_celery_has_waiting(board: Board, sender: Sender) -> None:
    sender.send(EMBED_PART, EMBED, {}, message_id="a:0")
    sender.send(EMBED_PART, EMBED, {}, message_id="a:1")
    assert sorted(board.queued(EMBED)) == ["a:0", "a:1"]


def running(at: str) -> Transition:
    return Transition(state=State.RUNNING, at=at, worker="w")


def test_starts_are_counted_until_forgotten(board: Board) -> None:
    told = tuple(running(at) for at in ("10:00", "10:01", "10:02"))
    counted = [board.begin("step", each, token) for token, each in enumerate(told, 1)]
    assert counted == [(n, told[:n]) for n in (1, 2, 3)]
    assert board.starts("step") == 3
    board.uncount("step", 2)
    assert board.starts("step") == 2
    board.forget(["step"])
    assert board.histories(["step"]) == [()]
    assert board.begin("step", told[0], 4)[0] == 1


def test_a_redis_that_stands_still_makes_no_two_starts_of_one(redis: Redis, redis_url: str) -> None:
    impatient = Redis.from_url(
        redis_url, decode_responses=True, socket_timeout=0.3, retry=Retry(ExponentialBackoff(cap=1, base=0.1), 3)
    )
    board = Board(impatient, lease_seconds=2)
    board.ping()
    server = int(redis.info()["process_id"])
    os.kill(server, signal.SIGSTOP)
    threading.Timer(1.2, os.kill, (server, signal.SIGCONT)).start()
    assert board.begin("step", running("10:00"), 1) == (1, (running("10:00"),))
    time.sleep(0.3)  # in which Redis does what it was sent before
    assert board.starts("step") == 1
    impatient.close()


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


def test_a_full_redis_is_one_that_is_away(board: Board, redis: Redis) -> None:
    redis.config_set("maxmemory", 1)
    try:
        with pytest.raises(BrokerUnavailable, match="takes no writes"):
            board.want("study", ["e"])
        with pytest.raises(BrokerUnavailable, match="takes no writes"), board.leases.lease("step", "us"):
            pytest.fail("a lease that was not given")
    finally:
        redis.config_set("maxmemory", 0)


@pytest.mark.parametrize("said", ["MISCONF Errors writing to the AOF file: No space left on device", "READONLY a copy"])
def test_a_redis_that_takes_no_writes_is_one_that_is_away(redis: Redis, said: str) -> None:
    with pytest.raises(BrokerUnavailable, match="takes no writes"), named_errors():
        redis.eval(f"return redis.error_reply('{said}')", 0)
    with pytest.raises(ResponseError, match="nonsense"), named_errors():
        redis.eval("return redis.error_reply('ERR nonsense')", 0)
