"""From settings to an object store, and the bounded wait for it when a process starts.

boto3 is imported only when the store is on S3.
"""

from __future__ import annotations

import logging
import re
import time
from pathlib import Path

from shared.errors import BadName, BadSetting, StoreUnavailable
from shared.settings import Settings
from shared.store import DirectoryStore, MemoryStore, ObjectStore

_log = logging.getLogger(__name__)
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_PAUSE_SECONDS = 1.0


def open_store(settings: Settings) -> ObjectStore:
    """The store at `settings.store_url`; nothing is asked of it yet.

    `file://FOLDER` (relative folders too), `s3://BUCKET/PREFIX`, or `memory:` (of this process alone).
    Raises BadSetting for anything else.
    """
    kind, colon, rest = settings.store_url.partition(":")
    if kind == "file" and len(rest) > 2 and rest.startswith("//"):
        return DirectoryStore(Path(rest[2:]).expanduser())
    if kind == "s3" and rest.startswith("//"):
        return _open_s3(rest[2:], settings)
    if kind == "memory" and colon and not rest:
        return MemoryStore()
    raise BadSetting(f"SAMESKY_STORE_URL={settings.store_url!r}", "file://FOLDER or s3://BUCKET/PREFIX")


def _open_s3(place: str, settings: Settings) -> ObjectStore:
    from shared.s3 import S3Store, make_client  # a process on a directory store needs no boto3

    bucket, _, prefix = place.partition("/")
    if not _BUCKET.fullmatch(bucket):
        raise BadSetting(f"SAMESKY_STORE_URL names the bucket {bucket!r}", "3 to 63 of a-z, 0-9, '.', '-'")
    try:
        return S3Store(
            bucket,
            prefix.strip("/"),
            make_client(settings.s3_endpoint, settings.s3_region, answer_seconds=settings.s3_seconds),
        )
    except BadName as error:
        raise BadSetting(f"SAMESKY_STORE_URL has a prefix that cannot be one: {error.wrong}", error.expected) from error


def wait_for_store(store: ObjectStore, seconds: float) -> None:
    """Return once the store is ready, its folder or bucket made; look again every second for `seconds`.

    Raises StoreUnavailable when it has not answered by then; any other error at once.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            store.prepare()
        except StoreUnavailable as error:
            left = deadline - time.monotonic()
            if left <= 0:
                raise StoreUnavailable(
                    f"waited {seconds:g} s for the object store in vain: {error.wrong}", error.expected, error.remedy
                ) from error
            _log.warning("waiting %.0f s more for the object store: %s", left, error.wrong)
            time.sleep(min(_PAUSE_SECONDS, left))
        else:
            return
