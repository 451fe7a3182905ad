"""The headers of every answer, errors too: a browser may show it as what it is, and do nothing else with it.

There is no Access-Control header among them: pages of other origins read nothing.
"""

from __future__ import annotations

from flask import Response, request

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-cache",
}


def finish(response: Response) -> Response:
    """Add the headers every answer has; answer 304 to a reader whose copy is still right.

    An answer that is made as it is sent has no ETag of its own bytes: to have one, it would have to be made twice. Some
    have one of what they are made of (`services.api.held`).
    """
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    if response.status_code == 200 and request.method in ("GET", "HEAD") and not response.is_streamed:
        response.add_etag()
        response.make_conditional(request)
    return response
