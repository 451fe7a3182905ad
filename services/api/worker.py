"""The gunicorn worker of the api: threads that wait a bounded time for a client, and answers with our headers.

gunicorn's own threads (27.0.1) wait for as long as a client dribbles its request or leaves its answer unread, its main
loop waits while one lingers after its last answer; what it cannot parse is answered in HTML and repeated in the log.
"""

from __future__ import annotations

import contextlib
import errno
import socket
import time
from concurrent.futures import Future
from http import HTTPStatus
from typing import Any

from gunicorn.http.errors import (
    ExpectationFailed,
    LimitRequestHeaders,
    LimitRequestLine,
    ParseException,
    UnsupportedTransferCoding,
)
from gunicorn.workers import gthread

from services.api.errors import PROBLEM, Problem
from services.api.headers import HEADERS

_LINGER_SECONDS = 2.0
_STATUS: dict[type[Exception], HTTPStatus] = {
    ExpectationFailed: HTTPStatus.EXPECTATION_FAILED,
    LimitRequestHeaders: HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    LimitRequestLine: HTTPStatus.REQUEST_URI_TOO_LONG,
    UnsupportedTransferCoding: HTTPStatus.NOT_IMPLEMENTED,
}


class BoundedSocket(socket.socket):
    """A connection that gives its client `seconds` to send a request, and as long to take each piece of an answer.

    A client that is slower meets what one that went away meets: ConnectionResetError.
    """

    seconds: float = 0.0
    _until: float = 0.0

    @classmethod
    def take_over(cls, accepted: socket.socket, seconds: float) -> BoundedSocket:
        """The same connection, bounded; `accepted` is used up."""
        bounded = cls(accepted.family, accepted.type, accepted.proto, fileno=accepted.detach())
        bounded.seconds = seconds
        bounded.expect()
        return bounded

    def expect(self) -> None:
        """From now on the next request has `seconds` to arrive, to its last byte."""
        self._until = time.monotonic() + self.seconds

    def recv(self, size: int, flags: int = 0, /) -> bytes:
        """At least one byte, b"" at the end. Raises ConnectionResetError when the time is over."""
        left = self._until - time.monotonic()
        if left <= 0:
            raise _cut_off()
        before = self.gettimeout()
        self.settimeout(left if before is None else min(left, before))
        try:
            return super().recv(size, flags)
        except TimeoutError as error:
            raise _cut_off() from error
        finally:
            self.settimeout(before)

    def sendall(self, data: Any, flags: int = 0, /) -> None:
        """Send all of it. Raises ConnectionResetError when the client does not take it in time."""
        before = self.gettimeout()
        if before is None:
            self.settimeout(self.seconds)
        try:
            super().sendall(data, flags)
        except TimeoutError as error:
            raise _cut_off() from error
        finally:
            self.settimeout(before)

    def part(self) -> None:
        """End the answer, read what a client in time still sends so that it can read ours; then wait no more."""
        self._until = min(self._until, time.monotonic() + _LINGER_SECONDS)
        with contextlib.suppress(OSError):
            self.shutdown(socket.SHUT_WR)
            while self.recv(65536):
                pass
        self._until = 0.0


def _cut_off() -> ConnectionResetError:
    return ConnectionResetError(errno.ECONNRESET, "the client was too slow")  # gunicorn looks at the number


class _Listener:
    """A listening socket whose connections are bounded."""

    def __init__(self, listener: Any, seconds: float) -> None:
        self._listener, self._seconds = listener, seconds

    def accept(self) -> tuple[BoundedSocket, Any]:
        accepted, address = self._listener.accept()
        return BoundedSocket.take_over(accepted, self._seconds), address

    def getsockname(self) -> Any:
        return self._listener.getsockname()


class Worker(gthread.ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn's threads, each of which a client may hold for about `client_seconds`."""

    client_seconds: float = 20.0

    @classmethod
    def giving(cls, client_seconds: float) -> type[Worker]:
        """The worker that gives its clients so long: gunicorn makes the object, and hands it nothing of ours."""
        return type("Worker", (cls,), {"client_seconds": client_seconds})

    def accept(self, listener: Any) -> None:
        """Take a connection, bounded."""
        super().accept(_Listener(listener, self.client_seconds))

    def enqueue_req(self, conn: Any) -> None:
        """Give a connection to a thread: one that has sent nothing yet waits in the poller first, at no one's cost."""
        if conn.initialized or conn.data_ready:
            super().enqueue_req(conn)
            return
        nothing_yet: Future[object] = Future()
        nothing_yet.set_result(gthread._DEFER)
        self.finish_request(conn, nothing_yet)

    def handle(self, conn: Any) -> Any:
        """Answer one request, in a thread; take leave there too, and not in the main loop."""
        conn.sock.expect()
        more = super().handle(conn)
        if not more:
            conn.sock.part()
        return more

    def handle_error(self, req: Any, client: socket.socket, addr: Any, exc: BaseException) -> None:
        """Answer what is no request, or was left without an answer. Neither log nor answer repeats what was sent."""
        if isinstance(exc, ParseException):
            status = _STATUS.get(type(exc), HTTPStatus.BAD_REQUEST)
            self.log.debug("%s from %s", type(exc).__name__, addr)
        else:
            status = HTTPStatus.INTERNAL_SERVER_ERROR
            self.log.error("a request was left without an answer", exc_info=exc)
        with contextlib.suppress(OSError):
            client.sendall(_answer(status))


def _answer(status: HTTPStatus) -> bytes:
    problem = Problem(
        type="about:blank", title=status.phrase, status=status, detail=status.description or status.phrase
    )
    body = problem.model_dump_json(exclude_none=True).encode()
    headers = {
        **HEADERS,
        "Cache-Control": "no-store",
        "Connection": "close",
        "Content-Type": PROBLEM,
        "Content-Length": str(len(body)),
    }
    lines = [f"HTTP/1.1 {status.value} {status.phrase}", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode() + body
