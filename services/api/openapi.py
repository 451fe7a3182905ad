"""The OpenAPI 3.1 document, made from the endpoints and the models they take and give."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import cache
from http import HTTPStatus
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Literal

from flask import Response, json
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from services.api.access import READS, Access, current_access
from services.api.endpoint import JSON, Endpoint
from services.api.errors import PROBLEM, Problem
from services.studies import Studies

_TOKEN = "token"
_TOKEN_HELP = "One of the secrets that whoever runs this api has set as SAMESKY_TOKENS."
_REF = "#/components/schemas/{model}"
_PARAMETER = re.compile(r"<(?:any\((?P<choices>[^)]*)\):)?(?P<name>\w+)>")
Mode = Literal["validation", "serialization"]
Schemas = dict[Any, dict[str, Any]]
"""By (model, mode): the reference to a model's schema."""


def openapi_endpoint(others: Sequence[Endpoint]) -> Endpoint:
    """The endpoint that serves the document of `others` and of itself."""

    @cache
    def text(access: Access) -> str:
        return json.dumps(make_document([*others, itself], access))

    def show_openapi(_: Studies) -> Response:
        return Response(text(current_access()), mimetype=JSON)

    itself = Endpoint("GET", "/v1/openapi.json", show_openapi, "This api, as an OpenAPI document")
    return itself


def make_document(endpoints: Sequence[Endpoint], access: Access) -> dict[str, Any]:
    """The OpenAPI document of `endpoints` as `access` guards them, as plain JSON values."""
    taken: list[tuple[type[BaseModel], Mode]] = [(one.body, "validation") for one in endpoints if one.body]
    given: list[tuple[type[BaseModel], Mode]] = [(one.answer, "serialization") for one in endpoints if one.answer]
    models: list[tuple[type[BaseModel], Mode]] = [*taken, *given, (Problem, "serialization")]
    schemas, components = models_json_schema(models, ref_template=_REF)
    references: Schemas = dict(schemas)
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in endpoints:
        operation = _operation(endpoint, references)
        if access.guards(endpoint.method, endpoint.path):
            operation["security"] = [{_TOKEN: []}]
            operation["responses"]["401"] = _problem("A token is missing or wrong", references)
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Same Sky",
            "version": _version(),
            "summary": "Do foundation models, shown the same galaxies by different telescopes, arrange them alike?",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "schemas": components["$defs"],
            "securitySchemes": {_TOKEN: {"type": "http", "scheme": "bearer", "description": _TOKEN_HELP}},
        },
    }


def _operation(endpoint: Endpoint, schemas: Schemas) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": endpoint.view.__name__,
        "summary": endpoint.summary,
        "parameters": [*_path_parameters(endpoint.rule), *_query_parameters(endpoint.query)],
        "responses": _responses(endpoint, schemas),
    }
    if endpoint.body:
        operation["requestBody"] = {
            "required": True,
            "content": {JSON: {"schema": schemas[endpoint.body, "validation"]}},
        }
    return operation


def _responses(endpoint: Endpoint, schemas: Schemas) -> dict[str, Any]:
    content: dict[str, Any] = {media: {} for media in endpoint.media}
    if endpoint.answer:
        content[JSON] = {"schema": schemas[endpoint.answer, "serialization"]}
    responses: dict[str, Any] = {str(endpoint.status): {"description": endpoint.summary, "content": content}}
    if endpoint.status == HTTPStatus.ACCEPTED:
        responses["200"] = {"description": "All of its work was done before", "content": content}
    else:
        responses["304"] = {"description": "Not modified since the ETag given in If-None-Match"}
    refused = {422} if endpoint.query or endpoint.body else set()
    if endpoint.method not in READS:
        refused |= {403, 429}
    for status in sorted({*endpoint.errors, *refused}):
        responses[str(status)] = _problem(HTTPStatus(status).phrase, schemas)
    responses["default"] = _problem("Any other error", schemas)
    return responses


def _problem(description: str, schemas: Schemas) -> dict[str, Any]:
    return {"description": description, "content": {PROBLEM: {"schema": schemas[Problem, "serialization"]}}}


def _path_parameters(rule: str) -> Iterable[dict[str, Any]]:
    for match in _PARAMETER.finditer(rule):
        schema: dict[str, Any] = {"type": "string"}
        if match["choices"]:
            schema["enum"] = [choice.strip() for choice in match["choices"].split(",")]
        yield {"name": match["name"], "in": "path", "required": True, "schema": schema}


def _query_parameters(query: type[BaseModel] | None) -> Iterable[dict[str, Any]]:
    schema = query.model_json_schema() if query else {}
    for name, property_schema in schema.get("properties", {}).items():
        described = {"description": property_schema["description"]} if "description" in property_schema else {}
        yield {"name": name, "in": "query", "required": False, "schema": property_schema, **described}


def _version() -> str:
    try:
        return version("samesky")
    except PackageNotFoundError:  # run from a checkout that is not installed
        return "0"
