"""Whether this process lives, whether it can take studies, and what its problems mean."""

from __future__ import annotations

from flask import Response
from pydantic import BaseModel

from services.api.endpoint import Endpoint, json_response
from services.api.errors import title_of, unready
from services.api.sight import sight
from services.studies import Studies
from shared.errors import Retryable, UnknownName, error_kinds


class Health(BaseModel):
    """A word for machines: `alive`."""

    status: str


class Readiness(BaseModel):
    """What there is. processes: those alive, by service.

    missing: what keeps studies from being taken; then this is a problem and not an answer. absent: services of which no
    process is alive; studies are taken all the same, and their work waits.
    """

    status: str
    missing: list[str]
    processes: dict[str, int]
    absent: list[str]


class ProblemKind(BaseModel):
    """What a problem's `type` points at. retryable: whether the same request may pass later."""

    code: str
    title: str
    retryable: bool


def say_alive(_: Studies) -> Response:
    """This process answers. Asks nothing of others."""
    return _fresh(json_response(Health(status="alive")))


def say_ready(studies: Studies) -> Response:
    """Redis and the object store answer, and which processes are alive; or a problem, naming what does not answer."""
    missing = list(studies.missing())
    if missing:
        return unready(missing)
    processes = sight().processes()
    absent = [service for service, number in processes.items() if not number]
    return _fresh(json_response(Readiness(status="ready", missing=missing, processes=processes, absent=absent)))


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
    Endpoint(
        "GET", "/readyz", say_ready, "Whether studies can be taken, and what is missing", Readiness, errors=(503,)
    ),
    Endpoint("GET", "/v1/problems/<code>", describe_problem, "What a problem means", ProblemKind, errors=(404,)),
)
