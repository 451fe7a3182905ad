"""Every setting, in one table, read once when a process starts.

A setting is an environment variable. The README's table is tested against `TABLE`. Credentials of the S3
server are not settings of ours: boto3 reads AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY itself.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from shared.errors import BadSetting


class Secret(str):
    """Text that is used as it is but not shown: its repr is `***`, and so it is inside the repr of what holds it."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "***"


def _whole(text: str, low: int = 1, high: int | None = None) -> int:
    number = int(text) if re.fullmatch(r"[0-9]{1,18}", text) else -1
    if number < low or (high is not None and number > high):
        raise ValueError(f"a whole number of at least {low}" if high is None else f"a whole number, {low} to {high}")
    return number


def _choice(*choices: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in choices:
            raise ValueError(" or ".join(choices))
        return text

    return parse


def _path(text: str) -> Path:
    try:
        return Path(text).expanduser().resolve()
    except RuntimeError as error:  # no such user, a loop of links
        raise ValueError(f"a path that can be followed: {error}") from error


def _path_or_none(text: str) -> Path | None:
    return _path(text) if text else None


def _paths(text: str) -> tuple[Path, ...]:
    return tuple(_path(item) for item in text.split(":") if item)


_REDIS_SCHEMES = ("redis://", "rediss://", "unix://")


def _redis_url(text: str) -> Secret:
    if not text.startswith(_REDIS_SCHEMES):
        raise ValueError(" or ".join(f"{scheme}..." for scheme in _REDIS_SCHEMES))
    return Secret(text)


def _token(text: str) -> Secret:
    if not re.fullmatch(r"[A-Za-z0-9._~-]{20,}", text):
        raise ValueError("at least 20 characters of A-Z a-z 0-9 . _ ~ -, as `openssl rand -hex 24` makes them")
    return Secret(text)


def _token_or_none(text: str) -> Secret | None:
    return _token(text) if text else None


def _tokens(text: str) -> tuple[Secret, ...]:
    return tuple(_token(item.strip()) for item in text.split(",")) if text else ()


class Setting(NamedTuple):
    """One row of the table. unit: empty for a setting without one.

    parse: makes the value of the text, or raises ValueError saying what was expected. It is given, so that no
    setting is text by oversight. secret: no error may show the text.
    """

    name: str
    default: str
    unit: str
    help: str
    parse: Callable[[str], Any]
    secret: bool = False


TABLE: tuple[Setting, ...] = (
    Setting("SAMESKY_REDIS_URL", "redis://127.0.0.1:6379/0", "", "Redis: queue, leases, progress", _redis_url, True),
    Setting(
        "SAMESKY_STORE_URL", "file://samesky-data/store", "", "object store: file://FOLDER or s3://BUCKET/PREFIX", str
    ),
    Setting("SAMESKY_S3_ENDPOINT", "", "", "URL of the S3 server; empty means AWS", str),
    Setting("SAMESKY_S3_SECONDS", "30", "s", "longest silence of the S3 server within one of four tries", _whole),
    Setting("SAMESKY_S3_REGION", "us-east-1", "", "region of the bucket", str),
    Setting(
        "SAMESKY_CACHE_DIR",
        "~/.cache/samesky",
        "",
        "folder for what can be made again, such as mocksky's images",
        _path,
    ),
    Setting(
        "SAMESKY_HUB_DIR", "", "", "folder models/ORG/NAME, datasets/ORG/NAME that stands in for the hub", _path_or_none
    ),
    Setting(
        "SAMESKY_DATASET_ROOTS",
        "",
        "",
        "folders, separated by ':', under which a study may name a dataset folder",
        _paths,
    ),
    Setting("SAMESKY_API_HOST", "127.0.0.1", "", "address the api listens on; without tokens, loopback only", str),
    Setting("SAMESKY_API_PORT", "8765", "", "port the api listens on", partial(_whole, high=65535)),
    Setting("SAMESKY_API_URL", "http://127.0.0.1:8765", "", "where the client finds the api", str),
    Setting(
        "SAMESKY_TOKENS",
        "",
        "",
        "api: secrets, separated by ',', one of which a request that writes must bear; empty: none",
        _tokens,
        True,
    ),
    Setting("SAMESKY_TOKEN", "", "", "client: the token it bears", _token_or_none, True),
    Setting("SAMESKY_READS", "open", "", "open, or closed: reads need a token too", _choice("open", "closed")),
    Setting(
        "SAMESKY_WRITES_PER_MINUTE",
        "120",
        "requests",
        "most writes in a minute with one token, or from one address",
        _whole,
    ),
    Setting(
        "SAMESKY_CLIENT_SECONDS",
        "20",
        "s",
        "a client slower than this to send its request or take its answer is cut off",
        _whole,
    ),
    Setting("SAMESKY_DEVICE", "auto", "", "torch device: auto, cpu, cuda, cuda:1, mps", str),
    Setting(
        "SAMESKY_THREADS",
        "0",
        "threads",
        "threads of one worker for torch and FAISS; 0 means all cores",
        partial(_whole, low=0),
    ),
    Setting("SAMESKY_BATCH", "16", "objects", "objects in one forward pass", _whole),
    Setting(
        "SAMESKY_SCORER_CACHE_MB",
        "512",
        "MB",
        "memory a scorer keeps neighbour tables, ids and relabellings in from pair to pair; 0 keeps nothing",
        partial(_whole, low=0),
    ),
    Setting("SAMESKY_LEASE_SECONDS", "15", "s", "a worker silent for this long may lose its work to another", _whole),
    Setting(
        "SAMESKY_VISIBILITY_SECONDS",
        "60",
        "s",
        "a message held by a silent worker is delivered again after this",
        _whole,
    ),
    Setting(
        "SAMESKY_RECONCILE_SECONDS", "10", "s", "time between two looks for work that is wanted and missing", _whole
    ),
    Setting("SAMESKY_RELEASE_LIMIT", "64", "messages", "most messages waiting in one queue", _whole),
    Setting(
        "SAMESKY_SEARCH_PRODUCTS",
        "3000000000000",
        "products",
        "a search for neighbours of more products of two numbers is cut into steps of at most so many; "
        "the same for all processes",
        _whole,
    ),
    Setting("SAMESKY_STEP_LIMIT_SECONDS", "1800", "s", "a part or a score that runs longer is ended", _whole),
    Setting("SAMESKY_ATTEMPTS", "3", "starts", "starts of one part or score before it is failed", _whole),
    Setting("SAMESKY_REST_SECONDS", "5", "s", "rest of a step after its first error; then longer", _whole),
    Setting(
        "SAMESKY_WAIT_SECONDS", "60", "s", "how long a starting process waits for Redis and the object store", _whole
    ),
    Setting("SAMESKY_HEART_SECONDS", "120", "s", "a worker that stands still this long ends itself", _whole),
    Setting(
        "SAMESKY_HEARTBEAT_FILE", "", "", "file a worker touches while it consumes; empty means none", _path_or_none
    ),
    Setting("SAMESKY_LOG_FORMAT", "text", "", "text or json", _choice("text", "json")),
    Setting(
        "SAMESKY_LOG_LEVEL",
        "info",
        "",
        "debug, info, warning or error",
        _choice("debug", "info", "warning", "error"),
    ),
)


@dataclass(frozen=True, slots=True)
class Settings:
    """The table's values, parsed. Field `redis_url` is setting `SAMESKY_REDIS_URL`, and so on. Shows no secret."""

    redis_url: Secret
    store_url: str
    s3_endpoint: str
    s3_seconds: int
    s3_region: str
    cache_dir: Path
    hub_dir: Path | None
    dataset_roots: tuple[Path, ...]
    api_host: str
    api_port: int
    api_url: str
    tokens: tuple[Secret, ...]
    token: Secret | None
    reads: str
    writes_per_minute: int
    client_seconds: int
    device: str
    threads: int
    batch: int
    scorer_cache_mb: int
    lease_seconds: int
    visibility_seconds: int
    reconcile_seconds: int
    release_limit: int
    search_products: int
    step_limit_seconds: int
    attempts: int
    rest_seconds: int
    wait_seconds: int
    heart_seconds: int
    heartbeat_file: Path | None
    log_format: str
    log_level: str

    @classmethod
    def read(cls, environment: Mapping[str, str] | None = None) -> Settings:
        """Settings from the environment, with the table's defaults. Raises BadSetting, naming the variable."""
        given = os.environ if environment is None else environment
        _refuse_unknown(given)
        values = {row.name: _parse(row, given.get(row.name) or row.default) for row in TABLE}
        return cls(**{field.name: values[f"SAMESKY_{field.name.upper()}"] for field in fields(cls)})

    def secrets(self) -> tuple[str, ...]:
        """The texts among them that no line, answer or file may show."""
        texts = (*self.tokens, self.token, urlsplit(self.redis_url).password)
        return tuple(str(text) for text in texts if text)


# Variables of ours that are not settings of a process: compose.yaml makes settings of them.
_NOT_SETTINGS = frozenset(
    {"SAMESKY_REDIS_PASSWORD", "SAMESKY_S3_ACCESS_KEY", "SAMESKY_S3_SECRET_KEY", "SAMESKY_DATASETS"}
)


def _refuse_unknown(given: Mapping[str, str]) -> None:
    known = {row.name for row in TABLE} | _NOT_SETTINGS
    for name in given:
        if name.startswith("SAMESKY_") and name not in known:
            raise BadSetting(f"there is no setting {name}", "a name of the settings table", "see the README")


def _parse(row: Setting, text: str) -> Any:
    try:
        return row.parse(text)
    except ValueError as error:
        shown = f"{row.name} cannot be used" if row.secret else f"{row.name}={text!r}"
        raise BadSetting(shown, str(error)) from None
