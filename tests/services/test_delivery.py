"""What we rely on of kombu's way with Redis, whose version is pinned: lists, priorities, headers, renewal."""

from __future__ import annotations

import time
from importlib.metadata import version

import pytest
from kombu import Connection
from redis import Redis

from services.board import Board
from services.broker import EMBED, EMBED_PART, PRIORITIES, Sender, make_app, queue_lists
from services.leases import Lease
from services.meters import Meters
from services.steps import Runner, StepWork
from shared import keys
from shared.outcomes import Attempt
from shared.settings import Settings
from shared.store import MemoryStore

VISIBILITY = 1


@pytest.fixture
def hasty(redis_url: str) -> Settings:
    """Settings under which a message of a silent worker is soon delivered again."""
    return Settings.read({"SAMESKY_REDIS_URL": redis_url, "SAMESKY_VISIBILITY_SECONDS": str(VISIBILITY)})


def test_the_kombu_this_was_tested_with() -> None:
    assert version("kombu").startswith("5.7.")


def test_messages_lie_where_the_board_looks_and_come_by_priority(
    board: Board, sender: Sender, redis: Redis, settings: Settings
) -> None:
    for priority in reversed(PRIORITIES):
        sender.send(EMBED_PART, EMBED, {}, message_id=f"m{priority}", priority=priority)
    assert [redis.llen(name) for name in queue_lists(EMBED)] == [1, 1, 1, 1]
    assert board.waiting(EMBED) == 4
    sent = [message["headers"]["sent_at"] for message in board.queued_messages(EMBED)]
    assert all(time.time() - 10 < at <= time.time() for at in sent)
    with make_app(settings).connection() as connection:
        queue = connection.SimpleQueue(EMBED)
        assert [queue.get(timeout=5).headers["id"] for _ in range(4)] == ["m0", "m3", "m6", "m9"]


def _deliveries_within(connection: Connection, seconds: float) -> list[str]:
    """Ids of what another consumer is given within this time; kombu looks each second for what to give again."""
    given: list[str] = []
    channel = connection.default_channel
    with connection.Consumer(
        [connection.SimpleQueue(EMBED).queue],
        callbacks=[lambda _, message: given.append(message.headers["id"])],
        channel=channel,
    ):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            channel.qos.restore_visible()
            try:
                connection.drain_events(timeout=0.2)
            except TimeoutError:
                continue
    return given


@pytest.mark.parametrize("renewed", [True, False])
def test_a_step_of_three_times_the_visibility_timeout_is_given_to_nobody_else(
    board: Board, store: MemoryStore, redis: Redis, hasty: Settings, renewed: bool
) -> None:
    app = make_app(hasty)
    Sender(app).send(EMBED_PART, EMBED, {}, message_id="long")
    with app.connection() as ours, app.connection() as theirs:
        message = ours.SimpleQueue(EMBED).get(timeout=5)
        given: list[str] = []

        def work(lease: Lease, attempt: Attempt) -> None:
            given.extend(_deliveries_within(theirs, 3 * VISIBILITY))

        step = StepWork("long", work="0" * 32, label="sky", endings=keys.work_endings("sky"))
        runner = Runner(board, store, Meters(redis), attempts=3, rest_seconds=5)
        runner.run(step, work, board.delivery(message.delivery_tag if renewed else None))
        assert ("long" in given) is not renewed
