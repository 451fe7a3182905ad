"""One step of work, from its lease to its end: done, left to be tried again, or failed with its reason kept.

This is the worker's edge: the one place where an error that nobody named is caught.
"""

from __future__ import annotations

import logging
import os
import socket
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime

from services.board import Board, Lease
from shared.contracts import Failure
from shared.errors import BrokerUnavailable, Permanent, SameSkyError, Stopped, Unexpected
from shared.store import ObjectStore

_log = logging.getLogger(__name__)


def worker_name() -> str:
    """This process, for records: host and process id."""
    return f"{socket.gethostname()}:{os.getpid()}"


def new_attempt() -> str:
    """A name that no other attempt has; later attempts sort after earlier ones."""
    return f"{time.strftime('%Y%m%dt%H%M%Sz', time.gmtime())}-{uuid.uuid4().hex[:12]}"


def run_step(
    step: str,
    work: Callable[[Lease], None],
    *,
    digest: str,
    label: str,
    failure_key: str,
    board: Board,
    store: ObjectStore,
    attempts: int,
) -> None:
    """Do `work` under a lease on `step`, and keep the reason if it fails for good.

    A retryable error, or one that nobody named, leaves the step to the reconciler, `attempts` starts in all;
    a permanent one fails it at once. A step that another worker holds is left to it. Starts are counted
    before the work, so that work which kills its worker is stopped too.
    """
    with board.lease(step) as lease:
        if lease is None:
            _log.info("%s is another worker's", label, extra={"step": step})
            return
        starts = board.count_start(step)
        try:
            if starts > attempts:
                raise Stopped(
                    f"{label} ended its worker, or ran past its limit, {attempts} times",
                    "work that ends",
                    "see the worker's log; more memory, or a smaller SAMESKY_BATCH, may help",
                )
            work(lease)
        except Exception as error:  # noqa: BLE001 - the worker's edge
            if not isinstance(error, Permanent) and starts < attempts:
                _log.warning("%s will be tried again: %s", label, error, exc_info=_trace(error), extra={"step": step})
                return
            _log.error("%s failed: %s", label, error, exc_info=_trace(error), extra={"step": step})
            failure = _failure(error, digest=digest, label=label, attempts=starts)
            store.put(failure_key, failure.to_json())
            return
        _forget(board, step)


def _forget(board: Board, step: str) -> None:
    try:
        board.forget_starts([step])
    except BrokerUnavailable as error:  # the work is done all the same
        _log.warning("%s", error)


def _trace(error: Exception) -> Exception | None:
    return None if isinstance(error, SameSkyError) else error


def _failure(error: Exception, *, digest: str, label: str, attempts: int) -> Failure:
    if not isinstance(error, SameSkyError):
        error = Unexpected(
            f"{type(error).__name__}: {error}"[:500], "", "this is a fault of Same Sky: please report it"
        )
    return Failure(
        work=digest,
        label=label,
        code=error.code,
        wrong=error.wrong,
        expected=error.expected,
        remedy=error.remedy,
        attempts=attempts,
        worker=worker_name(),
        at=datetime.now(UTC).isoformat(timespec="seconds"),
    )
