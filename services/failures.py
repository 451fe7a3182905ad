"""An error as a record that is kept and shown, and the name of the process that met it."""

from __future__ import annotations

import os
import socket
from datetime import UTC, datetime

from shared.errors import SameSkyError, Unexpected
from shared.outcomes import Failure


def worker_name() -> str:
    """This process, for records: host and process id."""
    return f"{socket.gethostname()}:{os.getpid()}"


def parent_name() -> str:
    """The process that started this one: for a pool child its worker, by which the worker knows its child's leases."""
    return f"{socket.gethostname()}:{os.getppid()}"


def now() -> str:
    """This moment, in UTC, to the millisecond (ISO 8601)."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def describe_failure(error: Exception, *, work: str, label: str, attempts: int) -> Failure:
    """The record of why work ended without a result. work: digest of the job or score."""
    if not isinstance(error, SameSkyError):
        error = Unexpected(
            f"{type(error).__name__}: {error}"[:500], "", "this is a fault of Same Sky: please report it"
        )
    return Failure(
        work=work,
        label=label,
        code=error.code,
        wrong=error.wrong,
        expected=error.expected,
        remedy=error.remedy,
        attempts=attempts,
        worker=worker_name(),
        at=now(),
    )
