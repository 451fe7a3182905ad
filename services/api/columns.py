"""A table of published vectors, looked at before a study is made of it."""

from __future__ import annotations

from flask import Response

from services.api.endpoint import Endpoint, json_response
from services.studies import Studies
from shared.published import ColumnsRequest, TableColumns


def look_at_columns(studies: Studies, body: ColumnsRequest) -> Response:
    """What each column is by the catalogue. It changes nothing, and yet needs what writing needs: it opens files."""
    return json_response(studies.columns(body))


ENDPOINTS = (
    Endpoint(
        "POST",
        "/v1/columns",
        look_at_columns,
        "Which columns of a table are vectors of which models",
        TableColumns,
        body=ColumnsRequest,
    ),
)
