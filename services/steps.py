"""One step of work, from its lease to its end: done, left to be tried again, or failed with its reason kept.

This is the worker's edge: the one place where an error that nobody named is caught.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable

from services.board import Board, Lease
from services.failures import describe_failure
from shared.errors import BrokerUnavailable, LeaseLost, Permanent, SameSkyError, Stopped
from shared.store import ObjectStore

_log = logging.getLogger(__name__)
_FIRST_REST_SECONDS, _LONGER = 5, 6  # rests of 5 s, 30 s, 180 s


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
    a permanent one fails it at once. Between starts the step rests, each time longer, so that an outage is not
    taken for a failure. A step that another worker holds is left to it. Starts are counted before the work, so
    that work which kills its worker is stopped too.
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
        except LeaseLost as error:
            _log.warning("%s is left to another worker: %s", label, error, extra={"step": step})
            return
        except Exception as error:  # noqa: BLE001 - the worker's edge
            if not isinstance(error, Permanent) and starts < attempts:
                _log.warning("%s will be tried again: %s", label, error, exc_info=_trace(error), extra={"step": step})
                board.rest(step, _FIRST_REST_SECONDS * _LONGER ** (starts - 1))
                return
            _log.error("%s failed: %s", label, error, exc_info=_trace(error), extra={"step": step})
            failure = describe_failure(error, work=digest, label=label, attempts=starts)
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
