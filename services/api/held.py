"""Copies that readers hold: whether one is still right is told from what an answer is made of, before it is made."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from flask import Response, request

from shared.packages import package_versions


def unless_held(make: Callable[[], Response], *made_of: str) -> Response:
    """The answer of `make` with its ETag, or 304 to a reader who holds it.

    made_of: what is another once the answer is, for this address and this release. An answer may then be made as it is
    sent, and still has an ETag.
    """
    told = (request.full_path, *package_versions("samesky").values(), *made_of)
    tag = hashlib.blake2b("\n".join(told).encode(), digest_size=16).hexdigest()
    response = Response(status=304) if request.if_none_match.contains_weak(tag) else make()
    response.set_etag(tag)
    return response
