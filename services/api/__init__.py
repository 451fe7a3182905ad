"""The api: accepts studies, and publishes progress, scores and figures over HTTP.

Views parse, call and answer; what is known lives in `services.studies`.
"""

from __future__ import annotations

from flask import Flask, Response, request

from services.api import catalogue, garbage, health, index, metrics, scores, studies
from services.api.endpoint import mount
from services.api.errors import describe_errors
from services.api.openapi import openapi_endpoint
from services.api.request_log import RequestLog
from services.api.sight import give_sight
from services.seeing import Seeing
from services.studies import Studies

_ENDPOINTS = (
    *studies.ENDPOINTS,
    *scores.ENDPOINTS,
    *catalogue.ENDPOINTS,
    *garbage.ENDPOINTS,
    *health.ENDPOINTS,
    *metrics.ENDPOINTS,
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


def create_app(known: Studies, seeing: Seeing) -> Flask:
    """The WSGI application that answers for `known`, and shows what `seeing` sees."""
    app = Flask("samesky", static_folder=None, template_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = _MOST_BODY_BYTES
    for endpoint in ENDPOINTS:
        mount(app, endpoint, known)
    describe_errors(app)
    give_sight(app, seeing)
    app.after_request(_finish)
    app.wsgi_app = RequestLog(app.wsgi_app)  # type: ignore[method-assign]  # as Flask's documentation has it
    return app


def _finish(response: Response) -> Response:
    """Add the headers every answer has; answer 304 to a reader whose copy is still right."""
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    if response.status_code == 200 and request.method in ("GET", "HEAD"):
        response.add_etag()
        response.make_conditional(request)
    return response
