"""Pages of a list: a cursor names the last item seen, so that items added meanwhile move nothing.

Whoever follows `next` meets every item that was there at the start exactly once.
"""

from __future__ import annotations

import base64
import binascii
import itertools
import json
from collections.abc import Callable, Iterable
from typing import Any, Generic, TypeVar
from urllib.parse import quote, urlencode

from flask import Response, request
from pydantic import BaseModel, ConfigDict, Field

from services.api.endpoint import JSON, json_response
from services.api.errors import RefusedQuery
from services.field_errors import FieldError
from services.kept import Row

T = TypeVar("T")
Key = tuple[str | int | float, ...]
"""What orders a list and is unique in it. Every item of a list has the same types in its key."""


class PageQuery(BaseModel):
    """Which page of a list."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    limit: int = Field(default=100, ge=1, le=1000, description="most items of one page")
    cursor: str | None = Field(default=None, max_length=2048, description="where to go on: taken from `next`")


class Page(BaseModel, Generic[T]):
    """One page. next: the address of the page after it, null on the last."""

    items: list[T]
    next: str | None


def cut_page(
    items: Iterable[T], key: Callable[[T], Key], *, limit: int, cursor: str | None, newest_first: bool = False
) -> tuple[list[T], str | None]:
    """The items after `cursor` in the order of their keys, at most `limit`, and the cursor for those after them.

    Raises RefusedQuery for a cursor that this list did not give.
    """
    last = read_cursor(cursor)
    ranked = sorted(((key(item), item) for item in items), key=lambda pair: pair[0], reverse=newest_first)
    if last is not None and ranked:
        check_cursor(last, like=ranked[0][0])
        ranked = [pair for pair in ranked if (pair[0] < last if newest_first else pair[0] > last)]
    return take_page(ranked, limit)


def take_page(ranked: Iterable[tuple[Key, T]], limit: int) -> tuple[list[T], str | None]:
    """The first `limit` of what is in order already, and the cursor for those after them. Looks at one more."""
    taken = list(itertools.islice(ranked, limit + 1))
    following = _encode(taken[limit - 1][0]) if len(taken) > limit else None
    return [item for _, item in taken[:limit]], following


def page_response(model: type[Page[Any]], items: list[Any], following: str | None, **more: Any) -> Response:
    """A page as JSON; the address of the next one also as a `Link` header (RFC 8288). more: other fields of `model`."""
    address = _next_address(following) if following else None
    return _linked(json_response(model(items=items, next=address, **more)), address)


def kept_page_response(rows: Iterable[Row], following: str | None) -> Response:
    """The same of rows that are JSON already."""
    address = _next_address(following) if following else None
    body = b'{"items":[%b],"next":%b}' % (b",".join(row.json for row in rows), json.dumps(address).encode())
    return _linked(Response(body, mimetype=JSON), address)


def _linked(response: Response, address: str | None) -> Response:
    if address:
        response.headers["Link"] = f'<{address}>; rel="next"'
    return response


def _next_address(cursor: str) -> str:
    """The address of this request, with `cursor`."""
    return f"{quote(request.path)}?{urlencode({**request.args, 'cursor': cursor})}"


def _encode(key: Key) -> str:
    return base64.urlsafe_b64encode(json.dumps(key).encode()).decode().rstrip("=")


def read_cursor(cursor: str | None) -> Key | None:
    """The key of the last item seen; None without a cursor. Raises RefusedQuery for what no list gave."""
    if cursor is None:
        return None
    try:
        key = json.loads(base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True))
    except (binascii.Error, ValueError, RecursionError):
        key = None
    if not isinstance(key, list) or not key or not all(type(part) in (str, int, float) for part in key):
        raise _refused()
    return tuple(key)


def check_cursor(last: Key, like: Key) -> None:
    """Raise RefusedQuery for the cursor of another list, whose keys are not `like` this one's."""
    if [type(part) for part in last] != [type(part) for part in like]:
        raise _refused()


def _refused() -> RefusedQuery:
    return RefusedQuery([FieldError(("cursor",), "is not one that this list gave", "start without a cursor")])
