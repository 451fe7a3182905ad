"""The heartbeat: a file that a worker touches while it consumes, and the check a container's healthcheck runs.

Imports no celery, so that a check every few seconds costs little. A worker that computes cannot answer a ping,
but its parent process still turns its event loop, and that is what touches the file.

    python -m services.heartbeat --within 30        exit status 0 while the file is younger than 30 s
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from shared.errors import SameSkyError
from shared.settings import Settings

BEAT_SECONDS = 5.0


def beat(file: Path) -> None:
    """Set the file's time to now, making it if need be."""
    file.touch()


class Heart:
    """When this process beat last, told within it by `age` and to others by the file's time, where there is a file."""

    def __init__(self, file: Path | None) -> None:
        self._file, self._beaten = file, time.monotonic()

    def beat(self) -> None:
        """Beat once."""
        self._beaten = time.monotonic()
        if self._file is not None:
            beat(self._file)

    def age(self) -> float:
        """Seconds since the last beat; before the first, since the start."""
        return time.monotonic() - self._beaten


def heartbeat_age(file: Path) -> float | None:
    """Seconds since the last beat; None before the first."""
    try:
        return max(0.0, time.time() - file.stat().st_mtime)
    except FileNotFoundError:
        return None


def check(file: Path | None, within: float) -> str | None:
    """What is wrong with a process whose last beat should be younger than `within` seconds, if anything is."""
    if file is None:
        return "SAMESKY_HEARTBEAT_FILE is not set: there is no heartbeat to check"
    age = heartbeat_age(file)
    if age is None:
        return f"no heartbeat yet at {file}"
    return None if age < within else f"the last heartbeat is {age:.0f} s old, expected under {within:g} s"


def main() -> None:
    """Check the process whose environment this is."""
    parser = argparse.ArgumentParser(prog="python -m services.heartbeat", description=check.__doc__)
    parser.add_argument("--within", type=float, default=30.0, metavar="SECONDS")
    try:
        sys.exit(check(Settings.read().heartbeat_file, parser.parse_args().within))
    except SameSkyError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
