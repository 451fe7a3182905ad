"""The Celery app: how messages travel. Every process of one installation reads the same settings.

Celery carries hints only. A message that is lost is sent again by the reconciler; one that comes twice finds
the work done, or its lease held, and does nothing. So there is no result backend and no Celery retry. What is said
here of kombu's lists in Redis holds for kombu 5.7, which is pinned, and is tested.
"""

from __future__ import annotations

import time
from typing import Any

from celery import Celery
from kombu.exceptions import OperationalError
from redis import Redis

from shared.errors import BrokerUnavailable
from shared.settings import Settings

EMBED = "embed"
SCORE = "score"
EMBED_PART = "samesky.embed_part"
SCORE_PAIR = "samesky.score_pair"
PLAN_SEARCHES = "samesky.plan_searches"
SEARCH_STEP = "samesky.search_step"
ANNOUNCE = "samesky.announce"
PRIORITIES = (0, 3, 6, 9)
"""What a message may have; all of a lower number are taken before any of a higher."""


def make_app(settings: Settings, *tasks: str) -> Celery:
    """The Celery app; `tasks` are the modules a worker imports.

    A message that a silent worker holds is delivered again after the visibility timeout; a live worker renews it
    (`Delivery`). The shortest of all clients of a broker wins, so it is set in all three places (celery 5.7).
    """
    transport = {
        "visibility_timeout": settings.visibility_seconds,
        "unacked_restore_interval": 1,  # look every second for what is to be delivered again; else it takes 100
        "unacked_restore_throttle": 1,
        "priority_steps": list(PRIORITIES),
        "queue_order_strategy": "priority",
        "socket_timeout": 30,
        "socket_keepalive": True,
        "health_check_interval": 10,
    }
    app = Celery("samesky", broker=settings.redis_url, include=list(tasks))
    app.conf.update(
        task_ignore_result=True,
        task_serializer="json",
        accept_content=["json"],
        task_acks_late=True,
        task_track_started=False,
        task_time_limit=settings.step_limit_seconds,
        task_default_queue=EMBED,
        task_publish_retry_policy={"max_retries": 3, "interval_start": 0, "interval_step": 0.2, "interval_max": 1},
        worker_prefetch_multiplier=1,
        worker_concurrency=1,
        worker_pool="prefork",
        worker_pool_start_method="spawn",
        worker_proc_alive_timeout=60,  # a child that imports torch on a busy machine needs more than Celery's 4 s
        worker_lost_wait=0.5,  # seconds until a child that died is taken for lost
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_send_task_events=False,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options=transport,
        result_backend_transport_options=transport,
        visibility_timeout=settings.visibility_seconds,
    )
    return app


def queue_lists(queue: str) -> list[str]:
    """The Redis lists in which kombu keeps the messages of `queue`, one for each priority."""
    return [queue if priority == 0 else f"{queue}\x06\x16{priority}" for priority in PRIORITIES]


class Delivery:
    """The delivery of the message that a worker is working on. tag: as Celery's request has it."""

    def __init__(self, redis: Redis, tag: str | None) -> None:
        self._redis, self._tag = redis, tag

    def renew(self) -> None:
        """Start the visibility timeout anew, as if the message had come now. Does nothing once it is acknowledged."""
        if self._tag is not None:
            self._redis.zadd("unacked_index", {self._tag: time.time()}, xx=True)


class Sender:
    """Puts messages on the queues."""

    def __init__(self, app: Celery) -> None:
        self._app = app

    def send(
        self, task: str, queue: str, message: dict[str, Any], *, message_id: str | None = None, priority: int = 0
    ) -> None:
        """Send one JSON message; priority is one of PRIORITIES. Raises BrokerUnavailable.

        Its headers say when it was sent, and on whose account: `study`, where the message names one.
        """
        headers = {"sent_at": time.time(), "study": message.get("study")}
        try:
            self._app.send_task(
                task, args=[message], queue=queue, task_id=message_id, priority=priority, headers=headers
            )
        except OperationalError as error:
            raise BrokerUnavailable(
                "Redis does not take messages", "a server at SAMESKY_REDIS_URL", "start it, then try again"
            ) from error
