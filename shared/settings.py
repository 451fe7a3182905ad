"""Every setting, in one table, read once when a process starts.

A setting is an environment variable. The README's table is tested against `TABLE`. Credentials of the S3
server are not settings of ours: boto3 reads AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY itself.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple, get_type_hints

from shared.errors import BadSetting


class Setting(NamedTuple):
    """One row of the table. unit is empty for a setting without one."""

    name: str
    default: str
    unit: str
    help: str


TABLE: tuple[Setting, ...] = (
    Setting("SAMESKY_REDIS_URL", "redis://127.0.0.1:6379/0", "", "Redis: queue, leases, progress"),
    Setting("SAMESKY_STORE_URL", "file://samesky-data/store", "", "object store: file://FOLDER or s3://BUCKET/PREFIX"),
    Setting("SAMESKY_S3_ENDPOINT", "", "", "URL of the S3 server; empty means AWS"),
    Setting("SAMESKY_S3_REGION", "us-east-1", "", "region of the bucket"),
    Setting("SAMESKY_CACHE_DIR", "~/.cache/samesky", "", "folder for what can be made again, such as mocksky's images"),
    Setting("SAMESKY_HUB_DIR", "", "", "folder models/ORG/NAME, datasets/ORG/NAME that stands in for the hub"),
    Setting(
        "SAMESKY_DATASET_ROOTS", "", "", "folders, separated by ':', under which a study may name a dataset folder"
    ),
    Setting("SAMESKY_API_HOST", "127.0.0.1", "", "address the api listens on"),
    Setting("SAMESKY_API_PORT", "8765", "", "port the api listens on"),
    Setting("SAMESKY_API_URL", "http://127.0.0.1:8765", "", "where the client finds the api"),
    Setting("SAMESKY_DEVICE", "auto", "", "torch device: auto, cpu, cuda, cuda:1, mps"),
    Setting("SAMESKY_THREADS", "0", "threads", "threads of one worker for torch and FAISS; 0 means all cores"),
    Setting("SAMESKY_BATCH", "16", "objects", "objects in one forward pass"),
    Setting("SAMESKY_LEASE_SECONDS", "15", "s", "a worker silent for this long may lose its work to another"),
    Setting("SAMESKY_VISIBILITY_SECONDS", "60", "s", "a message held by a silent worker is delivered again after this"),
    Setting("SAMESKY_RECONCILE_SECONDS", "10", "s", "time between two looks for work that is wanted and missing"),
    Setting("SAMESKY_RELEASE_LIMIT", "64", "messages", "most messages waiting in one queue"),
    Setting("SAMESKY_STEP_LIMIT_SECONDS", "1800", "s", "a part or a score that runs longer is ended"),
    Setting("SAMESKY_ATTEMPTS", "3", "starts", "starts of one part or score before it is failed"),
    Setting("SAMESKY_WAIT_SECONDS", "60", "s", "how long a starting process waits for Redis and the object store"),
    Setting(
        "SAMESKY_HEART_SECONDS",
        "120",
        "s",
        "a worker that stands still this long ends itself",
    ),
    Setting("SAMESKY_HEARTBEAT_FILE", "", "", "file a worker touches while it consumes; empty means none"),
    Setting("SAMESKY_LOG_FORMAT", "text", "", "text or json"),
    Setting("SAMESKY_LOG_LEVEL", "info", "", "debug, info, warning or error"),
)


@dataclass(frozen=True, slots=True)
class Settings:
    """The table's values, parsed. Field `redis_url` is setting `SAMESKY_REDIS_URL`, and so on."""

    redis_url: str
    store_url: str
    s3_endpoint: str
    s3_region: str
    cache_dir: Path
    hub_dir: Path | None
    dataset_roots: tuple[Path, ...]
    api_host: str
    api_port: int
    api_url: str
    device: str
    threads: int
    batch: int
    lease_seconds: int
    visibility_seconds: int
    reconcile_seconds: int
    release_limit: int
    step_limit_seconds: int
    attempts: int
    wait_seconds: int
    heart_seconds: int
    heartbeat_file: Path | None
    log_format: str
    log_level: str

    @classmethod
    def read(cls, environment: Mapping[str, str] | None = None) -> Settings:
        """Settings from the environment, with the table's defaults. Raises BadSetting, naming the variable."""
        given = os.environ if environment is None else environment
        hints = get_type_hints(cls)
        texts = {row.name: given.get(row.name) or row.default for row in TABLE}
        _refuse_unknown(given)
        values = {f.name: _parse(f"SAMESKY_{f.name.upper()}", texts, hints[f.name]) for f in fields(cls)}
        return cls(**values)


_LAST_PORT = 65535
_REDIS_SCHEMES = ("redis://", "rediss://", "unix://")
# Variables of ours that are not settings of a process: compose.yaml makes settings of them.
_NOT_SETTINGS = frozenset(
    {"SAMESKY_REDIS_PASSWORD", "SAMESKY_S3_ACCESS_KEY", "SAMESKY_S3_SECRET_KEY", "SAMESKY_DATASETS"}
)


def _refuse_unknown(given: Mapping[str, str]) -> None:
    known = {row.name for row in TABLE} | _NOT_SETTINGS
    for name in given:
        if name.startswith("SAMESKY_") and name not in known:
            raise BadSetting(f"there is no setting {name}", "a name of the settings table", "see the README")


def _parse(name: str, texts: Mapping[str, str], kind: Any) -> Any:
    text = texts[name]
    if kind is int:
        low = 0 if name == "SAMESKY_THREADS" else 1
        if not text.isdecimal() or int(text) < low:
            raise BadSetting(f"{name}={text!r}", f"a whole number of at least {low}")
        if name == "SAMESKY_API_PORT" and int(text) > _LAST_PORT:
            raise BadSetting(f"{name}={text!r}", f"a port, 1 to {_LAST_PORT}")
        return int(text)
    if kind == Path:
        return _locate(name, text)
    if kind == Path | None:
        return _locate(name, text) if text else None
    if kind == tuple[Path, ...]:
        return tuple(_locate(name, item) for item in text.split(":") if item)
    if name == "SAMESKY_REDIS_URL" and not text.startswith(_REDIS_SCHEMES):
        raise BadSetting(f"{name} is no Redis URL", " or ".join(f"{scheme}..." for scheme in _REDIS_SCHEMES))
    choices = {"SAMESKY_LOG_FORMAT": ("text", "json"), "SAMESKY_LOG_LEVEL": ("debug", "info", "warning", "error")}
    if name in choices and text not in choices[name]:
        raise BadSetting(f"{name}={text!r}", " or ".join(choices[name]))
    return text


def _locate(name: str, text: str) -> Path:
    try:
        return Path(text).expanduser().resolve()
    except RuntimeError as error:  # no such user, a loop of links
        raise BadSetting(f"{name}={text!r}", f"a path that can be followed: {error}") from error
