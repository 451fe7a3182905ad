"""A proxy before an S3 server, that harms what passes through it and keeps a log of every request.

Bodies are streamed. It passes requests on unchanged but for the harm, so signatures hold; HTTP itself is h11's.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self
from urllib.parse import unquote, urlsplit

import h11

from chaos.harms import Burst, Bursts, Harm, Operation, wound

_PIECE = 64 * 1024
_LONGEST_EXCHANGE_SECONDS = 120
_DRIBBLE_PIECES = 20
_HOP_BY_HOP = {b"connection", b"keep-alive", b"expect", b"proxy-connection"}
_CUT_OFF = (OSError, EOFError, TimeoutError, h11.RemoteProtocolError, h11.LocalProtocolError)


@dataclass
class Entry:
    """One request. status: of the server's answer, 0 for none. sent: SHA-256 of a PUT's body as the client sent it;
    taken: of what reached the server. harm: what was done to it, if anything."""

    at: float
    operation: Operation
    key: str
    status: int = 0
    sent: str = ""
    taken: str = ""
    harm: str = ""

    @property
    def accepted(self) -> bool:
        """Whether the server did what was asked."""
        return 200 <= self.status < 300


class Proxy:
    """The proxy, in a thread of its own, on a free port of 127.0.0.1, before the server at `host`:`port`."""

    def __init__(self, host: str, port: int, *, seed: int = 0, log: Path | None = None) -> None:
        self.bursts, self.entries = Bursts(), list[Entry]()
        self._target, self._draw, self._log = (host, port), random.Random(seed), log
        self._ready, self._loop = threading.Event(), asyncio.new_event_loop()
        self._over = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="proxy", daemon=True)
        self.port = 0

    @property
    def url(self) -> str:
        """Where clients find the proxy."""
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        if not self._ready.wait(10):
            raise TimeoutError("the proxy did not start")
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(10)

    def harm(self, burst: Burst) -> None:
        """Let a burst begin."""
        self.bursts.add(burst)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._serve())
        finally:
            self._loop.close()

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = int(server.sockets[0].getsockname()[1])
        self._ready.set()
        await self._over.wait()
        server.close()
        under_way = asyncio.all_tasks() - {asyncio.current_task()}
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client = _Peer(h11.Connection(h11.SERVER), reader, writer)
        try:
            while isinstance(request := await client.receive(), h11.Request):
                async with asyncio.timeout(_LONGEST_EXCHANGE_SECONDS):
                    await self._exchange(client, request)
                if not client.begin_again():
                    return
        except (*_CUT_OFF, asyncio.CancelledError):
            return  # one side went away, was cut off, or the proxy ends: the connection is closed below
        finally:
            client.close()

    async def _exchange(self, client: _Peer, request: h11.Request) -> None:
        """Pass one request on and its answer back; whatever is left undone closes the connection."""
        operation, key = name_request(request)
        burst = self.bursts.take(operation, key)
        entry = Entry(time.time(), operation, key, harm=burst.harm if burst else "")
        self.entries.append(entry)  # before the answer, so that whoever has that finds it in the log
        try:
            if burst and burst.harm in (Harm.ERROR_500, Harm.ERROR_503):
                await _refuse(client, int(burst.harm[-3:]), entry)
            elif burst and burst.harm is Harm.SILENCE:
                await asyncio.sleep(burst.seconds)
            else:
                if burst and burst.harm is Harm.DELAY:
                    await asyncio.sleep(burst.seconds)
                await self._pass_on(client, request, burst, entry)
        finally:
            self._write(entry)

    async def _pass_on(self, client: _Peer, request: h11.Request, burst: Burst | None, entry: Entry) -> None:
        harm = burst.harm if burst else None
        there, back = (burst, None) if entry.operation == "PUT" else (None, burst)
        server = _Peer(h11.Connection(h11.CLIENT), *await asyncio.open_connection(*self._target))
        try:
            await server.send(h11.Request(method=request.method, target=request.target, headers=_kept(request)))
            entry.sent, entry.taken, whole = await self._stream(client, server, there, _length(request))
            if not whole:
                return
            answer = await server.receive()
            while isinstance(answer, h11.InformationalResponse):
                answer = await server.receive()
            if not isinstance(answer, h11.Response):
                return
            entry.status = answer.status_code
            bodiless = entry.operation == "HEAD" or not _length(answer)
            if harm is Harm.LOST_ANSWER or (back and harm is Harm.CUT and bodiless):
                return
            await client.send(h11.Response(status_code=answer.status_code, headers=_kept(answer), reason=answer.reason))
            await self._stream(server, client, back, _length(answer))
        finally:
            server.close()

    async def _stream(self, source: _Peer, sink: _Peer, burst: Burst | None, length: int) -> tuple[str, str, bool]:
        """Pass a body on; the SHA-256 of what came, of what went on, and whether it was ended and not cut."""
        hurt = wound(burst.harm if burst else None, length, self._draw)
        pause = burst.seconds / _DRIBBLE_PIECES if burst and burst.harm is Harm.DRIBBLE else 0
        came, went, place = hashlib.sha256(), hashlib.sha256(), 0
        while isinstance(event := await source.receive(), h11.Data):
            data = bytes(event.data)
            left = hurt.apply(place, data)
            came.update(data)
            went.update(left)
            place += len(data)
            for piece in _pieces(left, length or len(left)) if pause else [left]:
                if piece:
                    await sink.send(h11.Data(data=piece))
                await asyncio.sleep(pause)
        whole = hurt.keep is None
        if whole:
            await sink.send(h11.EndOfMessage())
        return came.hexdigest(), went.hexdigest(), whole

    def _write(self, entry: Entry) -> None:
        if self._log:
            with self._log.open("a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(entry)) + "\n")


class _Peer:
    """One connection: h11's rules on asyncio's streams."""

    def __init__(self, http: h11.Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.http, self._reader, self._writer = http, reader, writer

    async def receive(self) -> Any:
        """The next h11 event."""
        while (event := self.http.next_event()) is h11.NEED_DATA:
            if self.http.they_are_waiting_for_100_continue:
                await self.send(h11.InformationalResponse(status_code=100, headers=[], reason=b"Continue"))
            self.http.receive_data(await self._reader.read(_PIECE))
        return event

    async def send(self, event: Any) -> None:
        """Send one h11 event."""
        if data := self.http.send(event):
            self._writer.write(data)
            await self._writer.drain()

    def begin_again(self) -> bool:
        """Make ready for another request on the same connection, if it is still good."""
        if self.http.our_state is not h11.DONE or self.http.their_state is not h11.DONE:
            return False
        self.http.start_next_cycle()
        return True

    def close(self) -> None:
        """Close the connection."""
        self._writer.close()


def _pieces(data: bytes, length: int) -> list[bytes]:
    size = max(1, length // _DRIBBLE_PIECES)
    return [data[start : start + size] for start in range(0, len(data), size)]


async def _refuse(client: _Peer, status: int, entry: Entry) -> None:
    """Take the request and answer it with an S3 error."""
    sent = hashlib.sha256()
    while isinstance(event := await client.receive(), h11.Data):
        sent.update(event.data)
    entry.sent = sent.hexdigest()
    code = "InternalError" if status == 500 else "SlowDown"
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>chaos</Message></Error>".encode()
    headers = [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))]
    await client.send(h11.Response(status_code=status, headers=headers))
    if entry.operation != "HEAD":
        await client.send(h11.Data(data=body))
    await client.send(h11.EndOfMessage())


def name_request(request: h11.Request) -> tuple[Operation, str]:
    """The S3 operation of a path-style request, and its key; empty for a bucket's."""
    path = urlsplit(request.target.decode("ascii")).path
    key = unquote(path).lstrip("/").partition("/")[2]
    method = request.method.decode("ascii")
    if method == "GET":
        return ("GET" if key else "LIST"), key
    known: dict[str, Operation] = {"PUT": "PUT", "HEAD": "HEAD", "DELETE": "DELETE"}
    return (known.get(method, "OTHER") if key else "OTHER"), key


def _kept(message: h11.Request | h11.Response) -> list[tuple[bytes, bytes]]:
    return [(name, value) for name, value in message.headers.raw_items() if name.lower() not in _HOP_BY_HOP]


def _length(message: h11.Request | h11.Response) -> int:
    return next((int(value) for name, value in message.headers if name == b"content-length"), 0)
