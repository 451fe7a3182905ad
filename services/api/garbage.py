"""What the object store holds that nothing names any more: look first, then remove."""

from __future__ import annotations

from flask import Response

from services.api.endpoint import Endpoint, json_response
from services.studies import Studies
from shared.progress import Swept


def find_garbage(studies: Studies) -> Response:
    """What a removal would remove now."""
    return json_response(Swept(keys=tuple(studies.garbage(remove=False)), removed=False))


def remove_garbage(studies: Studies) -> Response:
    """Remove it, and tell what was removed."""
    return json_response(Swept(keys=tuple(studies.garbage(remove=True)), removed=True))


ENDPOINTS = (
    Endpoint("GET", "/v1/garbage", find_garbage, "Objects that nothing names any more", Swept),
    Endpoint("DELETE", "/v1/garbage", remove_garbage, "Remove them", Swept),
)
