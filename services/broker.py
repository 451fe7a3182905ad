"""The Celery app: how messages travel. Every process of one installation reads the same settings.

Celery carries hints only. A message that is lost is sent again by the reconciler; one that comes twice finds
the work done, or its lease held, and does nothing. So there is no result backend and no Celery retry.
"""

from __future__ import annotations

from typing import Any

from celery import Celery
from kombu.exceptions import OperationalError

from shared.errors import BrokerUnavailable
from shared.settings import Settings

EMBED = "embed"
SCORE = "score"
EMBED_PART = "samesky.embed_part"
SCORE_PAIR = "samesky.score_pair"
ANNOUNCE = "samesky.announce"


def make_app(settings: Settings, *tasks: str) -> Celery:
    """The Celery app; `tasks` are the modules a worker imports.

    The visibility timeout is twice the step limit, so that no step is delivered again while it runs; the
    shortest of all clients of a broker wins, so it is set in all three places (celery 5.7, kombu 5.7).
    """
    visibility = {"visibility_timeout": 2 * settings.step_limit_seconds, "socket_timeout": 30, "socket_keepalive": True}
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
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_send_task_events=False,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        broker_connection_retry_on_startup=True,
        broker_transport_options=visibility,
        result_backend_transport_options=visibility,
        visibility_timeout=visibility["visibility_timeout"],
    )
    return app


class Sender:
    """Puts messages on the queues."""

    def __init__(self, app: Celery) -> None:
        self._app = app

    def send(self, task: str, queue: str, message: dict[str, Any], *, message_id: str | None = None) -> None:
        """Send one JSON message. Raises BrokerUnavailable."""
        try:
            self._app.send_task(task, args=[message], queue=queue, task_id=message_id)
        except OperationalError as error:
            raise BrokerUnavailable(
                "Redis does not take messages", "a server at SAMESKY_REDIS_URL", "start it, then try again"
            ) from error
