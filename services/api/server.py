"""Runs the api under gunicorn, in the foreground, until it is told to stop.

The app, with its connections to Redis and the object store, is made in the worker process, after the fork.
"""

from __future__ import annotations

import logging
import socket
from typing import Any

from gunicorn.app.base import BaseApplication

from embedder.catalogue.datasets import known_datasets
from embedder.catalogue.models import known_models
from services.api import create_app
from services.api.access import Access, is_loopback
from services.api.worker import Worker
from services.board import Board
from services.seeing import Seeing
from services.studies import Studies
from shared.errors import BadSetting
from shared.log import configure
from shared.settings import Settings
from shared.stores import open_store

# More than views ever need: most of them wait for Redis, for the store, or for a slow client.
_THREADS = 32
_GRACE_SECONDS = 10
_log = logging.getLogger(__name__)


def run(settings: Settings) -> None:
    """Serve on `settings.api_host`:`settings.api_port` until TERM or INT; requests under way are finished.

    One process with threads: views wait for Redis and the store, and what they remember is remembered once.
    Redis may come later: /readyz tells. Raises BadSetting, also where strangers could reach an api without tokens, and
    BadExtension.
    """
    configure(settings)
    # What cannot be is said here, in one line, and not by a worker that does not boot.
    open_store(settings)
    Board.open(settings)
    known_models(), known_datasets()
    _check_access(settings)
    _check_address(settings.api_host, settings.api_port)
    if not settings.tokens:
        _log.warning("SAMESKY_TOKENS is empty: whoever is on this machine may submit and change studies")
    _Server(settings).run()


def _check_access(settings: Settings) -> None:
    Access.of(settings)
    if not settings.tokens and not is_loopback(settings.api_host):
        raise BadSetting(
            f"SAMESKY_API_HOST={settings.api_host!r} without a token: whoever reaches it could write",
            "127.0.0.1, ::1 or localhost, or at least one token",
            "set SAMESKY_TOKENS; see .env.example",
        )


def _check_address(host: str, port: int) -> None:
    """Bind once and let go: gunicorn would try for seconds, and say what failed but not which setting is wrong."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host, port), family=family).close()
    except (OSError, UnicodeError) as error:  # UnicodeError: a host that cannot be a name
        raise BadSetting(
            f"the api cannot listen on port {port} of {host}: {error}",
            "a free port of an address of this machine",
            "choose others with SAMESKY_API_PORT and SAMESKY_API_HOST",
        ) from error


class _Server(BaseApplication):  # type: ignore[misc]  # gunicorn has no types
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        super().__init__()

    def load_config(self) -> None:
        address = self._settings.api_host
        host = f"[{address}]" if ":" in address else address
        options: dict[str, Any] = {
            "bind": [f"{host}:{self._settings.api_port}"],
            "worker_class": Worker.giving(self._settings.client_seconds),
            "workers": 1,
            "threads": _THREADS,
            "graceful_timeout": _GRACE_SECONDS,
            "proc_name": "samesky-api",
            "loglevel": "debug" if self._settings.log_level == "debug" else "warning",
            "forwarded_allow_ips": "",  # no header says where a request is from or what it asks for
            "control_socket_disable": True,  # gunicorn 25 and later put a socket into the home folder
        }
        for name, value in options.items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        studies = Studies.open(self._settings)
        return create_app(studies, Seeing.open(self._settings, studies), self._settings)
