"""Whether this process lives, whether it can take studies, and what its problems mean."""

from __future__ import annotations

from flask import Response
from pydantic import BaseModel

from services.api.endpoint import Endpoint, json_response
from services.api.errors import title_of
from services.studies import Studies
from shared.errors import Retryable, UnknownName, error_kinds


class Health(BaseModel):
    """A word for machines: `alive` or `ready`."""

    status: str


class ProblemKind(BaseModel):
    """What a problem's `type` points at. retryable: whether the same request may pass later."""

    code: str
    title: str
    retryable: bool


def say_alive(_: Studies) -> Response:
    """This process answers. Asks nothing of others."""
    return _fresh(json_response(Health(status="alive")))


def say_ready(studies: Studies) -> Response:
    """Redis and the object store answer. Raises Retryable, naming what does not."""
    missing = studies.missing()
    if missing:
        raise Retryable(
            f"no answer from: {', '.join(missing)}", "Redis and the object store", "start them, then try again"
        )
    return _fresh(json_response(Health(status="ready")))


def describe_problem(_: Studies, code: str) -> Response:
    """What one kind of problem means. Raises UnknownName."""
    kinds = error_kinds()
    if code not in kinds:
        raise UnknownName.of("problem", code, kinds)
    kind = kinds[code]
    return json_response(ProblemKind(code=code, title=title_of(kind), retryable=issubclass(kind, Retryable)))


def _fresh(response: Response) -> Response:
    response.headers["Cache-Control"] = "no-store"
    return response


ENDPOINTS = (
    Endpoint("GET", "/livez", say_alive, "Whether this process answers", Health),
    Endpoint("GET", "/readyz", say_ready, "Whether Redis and the object store answer", Health),
    Endpoint("GET", "/v1/problems/<code>", describe_problem, "What a problem means", ProblemKind, errors=(404,)),
)
