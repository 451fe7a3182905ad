"""One endpoint of the api: its address, its view, and what it takes and gives; the OpenAPI document is made from these.

A view takes the `Studies`, the names in its address, and a validated `query` or `body`; it gives a response.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any, Literal

from flask import Flask, Response, request
from pydantic import BaseModel
from werkzeug.exceptions import RequestEntityTooLarge, UnsupportedMediaType

from services.api.errors import RefusedBody, RefusedQuery
from services.field_errors import FieldError, InvalidFields, load_json, validate
from services.studies import Studies

JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One row of the table. rule: as Flask writes it. answer: the JSON it gives, None where `media` is not JSON.

    errors: statuses of the problems it may answer with, beside those that any request may meet.
    """

    method: Literal["GET", "POST", "DELETE"]
    rule: str
    view: Callable[..., Response]
    summary: str
    answer: type[BaseModel] | None = None
    query: type[BaseModel] | None = None
    body: type[BaseModel] | None = None
    media: tuple[str, ...] = (JSON,)
    status: int = 200
    errors: tuple[int, ...] = ()

    @property
    def path(self) -> str:
        """The address as OpenAPI and people write it: `/v1/studies/{study}`."""
        return re.sub(r"<(?:[^<>]*:)?(\w+)>", r"{\1}", self.rule)


def mount(app: Flask, endpoint: Endpoint, studies: Studies) -> None:
    """Let `app` answer for `endpoint`."""

    @wraps(endpoint.view)  # Flask-Limiter asks a view for its name
    def answer(**names: str) -> Response:
        return _answer(endpoint, studies, **names)

    name = f"{endpoint.view.__module__}.{endpoint.view.__name__}"
    app.add_url_rule(endpoint.rule, name, answer, methods=[endpoint.method])


def _answer(endpoint: Endpoint, studies: Studies, **names: str) -> Response:
    taken: dict[str, Any] = dict(names)
    if endpoint.query:
        taken["query"] = _read_query(endpoint.query)
    if endpoint.body:
        taken["body"] = _read_body(endpoint.body)
    return endpoint.view(studies, **taken)


def _read_query(model: type[BaseModel]) -> BaseModel:
    given = request.args.to_dict(flat=False)
    twice = [FieldError((name,), "is given twice") for name, values in given.items() if len(values) > 1]
    try:
        if twice:
            raise InvalidFields(twice)
        return validate(model, {name: values[0] for name, values in given.items()})
    except InvalidFields as error:
        raise RefusedQuery(error.fields) from error


def _read_body(model: type[BaseModel]) -> BaseModel:
    if request.mimetype != JSON:
        raise UnsupportedMediaType(f"the body must be {JSON}")
    raw = request.get_data(cache=False)
    if request.content_length is None and len(raw) >= (request.max_content_length or math.inf):
        raise RequestEntityTooLarge  # werkzeug (3.1.9) cuts a chunked body at the limit, and says nothing
    try:
        data = load_json(raw)
    except InvalidFields as error:
        raise RefusedBody(error.fields, status=400) from error
    try:
        return validate(model, data)
    except InvalidFields as error:
        raise RefusedBody(error.fields, status=422) from error


def json_response(answer: BaseModel, status: int = 200) -> Response:
    """`answer` as a JSON response."""
    return Response(answer.model_dump_json(), status, mimetype=JSON)
