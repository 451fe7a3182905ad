"""The Celery worker's heartbeat: a step of its consumer that beats on the consumer's own timer.

Only a turning event loop with a connection to Redis beats. A busy pool child does not stop it; a hung parent does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from celery import Celery, bootsteps

from services.heartbeat import BEAT_SECONDS, Heart
from shared.settings import Settings


class HeartbeatStep(bootsteps.StartStopStep):  # type: ignore[misc]
    """Started with every connection to the broker, stopped when one is lost."""

    requires = ("celery.worker.consumer.tasks:Tasks",)
    _entry: Any = None

    def start(self, consumer: Any) -> None:
        """Beat now, and then on the consumer's timer."""
        _beat_all(consumer.app)
        self._entry = consumer.timer.call_repeatedly(BEAT_SECONDS, _beat_all, (consumer.app,))

    def stop(self, consumer: Any) -> None:
        """Beat no more: the timer outlives the connection."""
        if self._entry is not None:
            self._entry.cancel()
            self._entry = None


def beat_while_consuming(app: Celery, settings: Settings) -> None:
    """Make workers of `app` beat: `app.heart`, and with it the heartbeat file, where the settings name one."""
    app.heart = Heart(settings.heartbeat_file)
    call_while_consuming(app, app.heart.beat)


def call_while_consuming(app: Celery, action: Callable[[], None]) -> None:
    """Make workers of `app` do `action`, which is short, at every beat of their heart: say that they are alive."""
    app.beats = (*getattr(app, "beats", ()), action)
    app.steps["consumer"].add(HeartbeatStep)


def _beat_all(app: Celery) -> None:
    for action in app.beats:
        action()
