"""The api: accepts studies, and publishes progress, scores and figures over HTTP.

Views parse, call and answer; what is known lives in `services.studies`.
"""

from __future__ import annotations

from flask import Flask

from services.api import (
    archive,
    catalogue,
    columns,
    comparisons,
    figures,
    garbage,
    health,
    index,
    metrics,
    overviews,
    plans,
    results,
    scores,
    studies,
)
from services.api.access import Access, guard
from services.api.endpoint import mount
from services.api.errors import describe_errors
from services.api.headers import finish
from services.api.openapi import openapi_endpoint
from services.api.request_log import RequestLog
from services.api.sight import give_sight
from services.seeing import Seeing
from services.studies import Studies
from shared.settings import Settings

_ENDPOINTS = (
    *studies.ENDPOINTS,
    *overviews.ENDPOINTS,
    *comparisons.ENDPOINTS,
    *figures.ENDPOINTS,
    *results.ENDPOINTS,
    *archive.ENDPOINTS,
    *scores.ENDPOINTS,
    *catalogue.ENDPOINTS,
    *columns.ENDPOINTS,
    *plans.ENDPOINTS,
    *garbage.ENDPOINTS,
    *health.ENDPOINTS,
    *metrics.ENDPOINTS,
    *index.ENDPOINTS,
)
ENDPOINTS = (*_ENDPOINTS, openapi_endpoint(_ENDPOINTS))
"""Every endpoint: what is mounted, described in the OpenAPI document, and listed in the README."""

_MOST_BODY_BYTES = 1024 * 1024


def create_app(known: Studies, seeing: Seeing, settings: Settings) -> Flask:
    """The WSGI application that answers for `known` to those whom `settings` let in, and shows what `seeing` sees.

    Raises BadSetting.
    """
    app = Flask("samesky", static_folder=None, template_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = _MOST_BODY_BYTES
    app.url_map.merge_slashes = False  # an address is right or it is not: no redirect repeats what was sent
    guard(app, Access.of(settings))
    for endpoint in ENDPOINTS:
        mount(app, endpoint, known)
    describe_errors(app)
    give_sight(app, seeing)
    app.after_request(finish)
    app.wsgi_app = RequestLog(app.wsgi_app)  # type: ignore[method-assign]  # as Flask's documentation has it
    return app
