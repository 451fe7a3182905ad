"""The api against its own OpenAPI document: schemathesis makes requests, good and bad, of every operation.

No request may be a fault of ours, and every answer is one the document describes: status, media type and schema.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import schemathesis
from flask import Flask
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as tuned
from redis import Redis
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from services.api import ENDPOINTS, create_app
from services.board import Board
from services.broker import Sender, make_app
from services.connection import connect_briefly
from services.seeing import Seeing
from services.studies import Studies
from shared import keys
from shared.settings import Settings
from shared.store import MemoryStore

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
EXAMPLES = 12  # of each operation
OPERATIONS = [(endpoint.method, endpoint.path) for endpoint in ENDPOINTS]


@pytest.fixture(scope="module")
def app(redis_url: str, twin: Path, whole: dict[str, Any], without_hub: None) -> Flask:
    """The api, whose store holds one embedding and one score."""
    given = {"SAMESKY_DATASET_ROOTS": str(twin.parent), "SAMESKY_WRITES_PER_MINUTE": "100000"}
    settings = Settings.read({"SAMESKY_REDIS_URL": redis_url, **given})
    with Redis.from_url(redis_url) as redis:
        redis.flushall()
    store = MemoryStore()
    store.put(keys.manifest(whole["Manifest"].spec), whole["Manifest"].to_json())
    store.put(keys.score(whole["ScoreRecord"].spec), whole["ScoreRecord"].to_json())
    studies = Studies(settings, store, Board.open(settings), Sender(make_app(settings)))
    return create_app(studies, Seeing(studies, store, connect_briefly(settings)), settings)


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_any_request_is_answered_as_the_document_says(app: Flask, method: str, path: str) -> None:
    operation = schemathesis.openapi.from_wsgi("/v1/openapi.json", app)[path][method]

    @tuned(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy())
    def check(case: schemathesis.Case) -> None:
        case.call_and_validate(checks=CHECKS)

    check()
