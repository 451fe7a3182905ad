"""Every error leaves the api as one kind of body: problem details (RFC 9457), with our error codes as types.

A fault of ours is logged with its trace; what is sent says only that it happened.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from http import HTTPStatus

from flask import Flask, Response, request
from pydantic import BaseModel, Field
from werkzeug.exceptions import HTTPException

from services.field_errors import FieldError, InvalidFields
from shared.errors import (
    BadInput,
    BadName,
    BadStudy,
    CheckpointUnavailable,
    ObjectMissing,
    Retryable,
    SameSkyError,
    TooManyWrites,
    Unauthorised,
    Unexpected,
    UnknownName,
)

PROBLEM = "application/problem+json"
_RETRY_AFTER_SECONDS = 5
_REALM = "samesky"
_log = logging.getLogger(__name__)


class FieldProblem(BaseModel):
    """One refused field: `pointer` into the body (RFC 6901, as a fragment), or `parameter` of the query."""

    pointer: str | None = None
    parameter: str | None = None
    detail: str


class Problem(BaseModel):
    """Problem details (RFC 9457). type: an address that tells more, or `about:blank` where the status says it all.

    detail: what was wrong. expected, remedy: what should have been, what to do.
    """

    type: str
    title: str
    status: int
    detail: str
    code: str | None = Field(default=None, description="the error's name, as in records of failures")
    expected: str | None = None
    remedy: str | None = None
    errors: list[FieldProblem] | None = None
    missing: list[str] | None = Field(default=None, description="at /readyz: what does not answer")


class RefusedQuery(InvalidFields):
    """Query parameters that cannot be used."""


class RefusedBody(InvalidFields):
    """A body that cannot be used. status: 400 for what is not JSON, else 422."""

    def __init__(self, fields: Sequence[FieldError], status: int) -> None:
        super().__init__(fields)
        self.status = status


def describe_errors(app: Flask) -> None:
    """Let `app` answer every error with a problem."""
    app.register_error_handler(RefusedQuery, _refused_query)
    app.register_error_handler(RefusedBody, _refused_body)
    app.register_error_handler(SameSkyError, answer_error)
    app.register_error_handler(HTTPException, _http)


def unready(missing: list[str]) -> Response:
    """The problem that what is `missing` does not answer."""
    error = Retryable(
        f"no answer from: {', '.join(missing)}", "Redis and the object store", "start them, then try again"
    )
    problem = _problem(error, HTTPStatus.SERVICE_UNAVAILABLE)
    return _response(problem.model_copy(update={"missing": missing}))


def title_of(kind: type[SameSkyError]) -> str:
    """The first sentence of the error's docstring, which is the same for every occurrence."""
    return (kind.__doc__ or kind.__name__).strip().splitlines()[0].rstrip(".")


def answer_error(error: SameSkyError) -> Response:
    """The problem that tells of `error`."""
    status = _status_of(error)
    if status == HTTPStatus.INTERNAL_SERVER_ERROR:
        _log.error("%s %s: %s", request.method, request.path, error, exc_info=error)
    return _response(_problem(error, status))


def _status_of(error: SameSkyError) -> int:
    if isinstance(error, Unauthorised):
        return HTTPStatus.UNAUTHORIZED
    if isinstance(error, TooManyWrites):
        return HTTPStatus.TOO_MANY_REQUESTS
    if isinstance(error, Retryable):
        return HTTPStatus.SERVICE_UNAVAILABLE
    asked_for = request.method in ("GET", "HEAD")  # the name stands in the address, not in a body
    if isinstance(error, ObjectMissing) or (asked_for and isinstance(error, UnknownName | BadName)):
        return HTTPStatus.NOT_FOUND
    if isinstance(error, BadInput | CheckpointUnavailable):
        return HTTPStatus.UNPROCESSABLE_ENTITY
    return HTTPStatus.INTERNAL_SERVER_ERROR


def _problem(error: SameSkyError, status: int, errors: list[FieldProblem] | None = None) -> Problem:
    return Problem(
        type=f"/v1/problems/{error.code}",
        title=title_of(type(error)),
        status=status,
        detail=error.wrong,
        code=error.code,
        expected=error.expected or None,
        remedy=error.remedy or None,
        errors=errors,
    )


def _refused_query(refused: RefusedQuery) -> Response:
    fields = [FieldProblem(parameter=field.name, detail=field.wrong) for field in refused.fields]
    return _response(_problem(refused.as_error(BadInput), HTTPStatus.UNPROCESSABLE_ENTITY, fields))


def _refused_body(refused: RefusedBody) -> Response:
    fields = [FieldProblem(pointer=_pointer(field), detail=field.wrong) for field in refused.fields]
    return _response(_problem(refused.as_error(BadStudy), refused.status, fields))


def _pointer(field: FieldError) -> str:
    steps = (str(step).replace("~", "~0").replace("/", "~1") for step in field.path)
    return "#" + "".join(f"/{step}" for step in steps)


def _http(error: HTTPException) -> Response:
    status = error.code or HTTPStatus.INTERNAL_SERVER_ERROR
    if status == HTTPStatus.INTERNAL_SERVER_ERROR:  # Flask has logged the trace
        return _response(_problem(Unexpected("something went wrong here", remedy="see the log of the api"), status))
    title = HTTPStatus(status).phrase
    detail = error.description or title
    response = _response(Problem(type="about:blank", title=title, status=status, detail=detail))
    for name, value in error.get_headers():
        if name not in ("Content-Type", "Content-Length"):
            response.headers[name] = value
    return response


def _response(problem: Problem) -> Response:
    response = Response(problem.model_dump_json(exclude_none=True), problem.status, mimetype=PROBLEM)
    response.headers["Cache-Control"] = "no-store"
    if problem.status == HTTPStatus.SERVICE_UNAVAILABLE:
        response.headers["Retry-After"] = str(_RETRY_AFTER_SECONDS)
    if problem.status == HTTPStatus.UNAUTHORIZED:
        response.headers["WWW-Authenticate"] = f'Bearer realm="{_REALM}"'
    return response
