"""The api: accepts studies, and publishes progress, scores and figures over HTTP.

Views parse, call and answer; what is known lives in `services.studies`.
"""

from __future__ import annotations

from flask import Flask, Response, request

from services.api import catalogue, garbage, health, index, scores, studies
from services.api.endpoint import mount
from services.api.errors import describe_errors
from services.api.openapi import openapi_endpoint
from services.studies import Studies

_ENDPOINTS = (
    *studies.ENDPOINTS,
    *scores.ENDPOINTS,
    *catalogue.ENDPOINTS,
    *garbage.ENDPOINTS,
    *health.ENDPOINTS,
    *index.ENDPOINTS,
)
ENDPOINTS = (*_ENDPOINTS, openapi_endpoint(_ENDPOINTS))
"""Every endpoint: what is mounted, described in the OpenAPI document, and listed in the README."""

_MOST_BODY_BYTES = 1024 * 1024
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",
}


def create_app(known: Studies) -> Flask:
    """The WSGI application that answers for `known`."""
    app = Flask("samesky", static_folder=None, template_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = _MOST_BODY_BYTES
    for endpoint in ENDPOINTS:
        mount(app, endpoint, known)
    describe_errors(app)
    app.after_request(_finish)
    return app


def _finish(response: Response) -> Response:
    """Add the headers every answer has; answer 304 to a reader whose copy is still right."""
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    if response.status_code == 200 and request.method in ("GET", "HEAD"):
        response.add_etag()
        response.make_conditional(request)
    return response
