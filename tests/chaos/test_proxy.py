"""Every harm is really seen by an S3 client, and every request is in the log."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    HTTPClientError,
    IncompleteReadError,
    ReadTimeoutError,
    ResponseStreamingError,
)

from chaos.harms import Burst, Harm
from chaos.proxy import Proxy
from shared.s3 import S3Store

BODY = bytes(range(256)) * 40
NO_ANSWER = (ConnectionClosedError, HTTPClientError)


def get(client: Any, key: str) -> bytes:
    return bytes(client.get_object(Bucket="chaos", Key=key)["Body"].read())


def put(client: Any, key: str, body: bytes = BODY) -> None:
    client.put_object(Bucket="chaos", Key=key, Body=body)


def test_what_is_not_harmed_passes_unchanged(raw: Any, proxy: Proxy, direct: S3Store) -> None:
    put(raw, "a/b.bin")
    assert direct.get("a/b.bin") == get(raw, "a/b.bin") == BODY
    assert raw.head_object(Bucket="chaos", Key="a/b.bin")["ContentLength"] == len(BODY)
    assert [entry["Key"] for entry in raw.list_objects_v2(Bucket="chaos")["Contents"]] == ["a/b.bin"]
    with pytest.raises(ClientError, match="NoSuchKey"):
        get(raw, "a/c.bin")
    raw.delete_object(Bucket="chaos", Key="a/b.bin")
    assert not direct.exists("a/b.bin")
    log = [(entry.operation, entry.key, entry.status) for entry in proxy.entries]
    assert log == [
        ("PUT", "a/b.bin", 200),
        ("GET", "a/b.bin", 200),
        ("HEAD", "a/b.bin", 200),
        ("LIST", "", 200),
        ("GET", "a/c.bin", 404),
        ("DELETE", "a/b.bin", 204),
    ]
    assert proxy.entries[0].sent == proxy.entries[0].taken == hashlib.sha256(BODY).hexdigest()


@pytest.mark.parametrize(("harm", "status"), [(Harm.ERROR_500, 500), (Harm.ERROR_503, 503)])
@pytest.mark.parametrize("operation", ["GET", "PUT", "HEAD", "LIST"])
def test_errors(raw: Any, proxy: Proxy, direct: S3Store, harm: Harm, status: int, operation: str) -> None:
    direct.put("there", BODY)
    proxy.harm(Burst(harm, [operation], 1))  # type: ignore[list-item]
    calls: dict[str, Callable[[], Any]] = {
        "GET": lambda: get(raw, "there"),
        "PUT": lambda: put(raw, "new"),
        "HEAD": lambda: raw.head_object(Bucket="chaos", Key="there"),
        "LIST": lambda: raw.list_objects_v2(Bucket="chaos"),
    }
    with pytest.raises(ClientError) as caught:
        calls[operation]()
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == status
    calls[operation]()
    assert [entry.harm for entry in proxy.entries] == [harm, ""]
    assert not proxy.entries[0].accepted


@pytest.mark.parametrize("operation", ["GET", "PUT", "HEAD", "LIST"])
def test_silence_is_a_timeout(raw: Any, proxy: Proxy, direct: S3Store, operation: str) -> None:
    direct.put("there", BODY)
    proxy.harm(Burst(Harm.SILENCE, [operation], 1, seconds=3))  # type: ignore[list-item]
    calls: dict[str, Callable[[], Any]] = {
        "GET": lambda: get(raw, "there"),
        "PUT": lambda: put(raw, "new"),
        "HEAD": lambda: raw.head_object(Bucket="chaos", Key="there"),
        "LIST": lambda: raw.list_objects_v2(Bucket="chaos"),
    }
    with pytest.raises(ReadTimeoutError):
        calls[operation]()
    assert not direct.exists("new")


def test_a_delay_passes(raw: Any, proxy: Proxy) -> None:
    proxy.harm(Burst(Harm.DELAY, ["PUT"], 1, seconds=0.4))
    began = time.monotonic()
    put(raw, "late")
    assert time.monotonic() - began >= 0.4


def test_bodies_dribble(raw: Any, proxy: Proxy, direct: S3Store) -> None:
    proxy.harm(Burst(Harm.DRIBBLE, ["PUT", "GET"], 2, seconds=0.4))
    began = time.monotonic()
    put(raw, "slow")
    between = time.monotonic()
    assert get(raw, "slow") == direct.get("slow") == BODY
    assert between - began > 0.3
    assert time.monotonic() - between > 0.3


def test_a_get_is_cut_short(raw: Any, proxy: Proxy, direct: S3Store) -> None:
    direct.put("there", BODY)
    proxy.harm(Burst(Harm.CUT, ["GET"], 1))
    with pytest.raises((IncompleteReadError, ResponseStreamingError)):
        get(raw, "there")
    assert get(raw, "there") == BODY


@pytest.mark.parametrize("operation", ["HEAD", "LIST"])
def test_other_answers_are_cut_short(raw: Any, proxy: Proxy, direct: S3Store, operation: str) -> None:
    direct.put("there", BODY)
    proxy.harm(Burst(Harm.CUT, [operation], 1))  # type: ignore[list-item]
    with pytest.raises((*NO_ANSWER, ClientError)):  # of a list cut short, botocore 1.44 makes an error 500 of its own
        raw.head_object(Bucket="chaos", Key="there") if operation == "HEAD" else raw.list_objects_v2(Bucket="chaos")


def test_a_put_that_is_cut_is_not_stored(raw: Any, proxy: Proxy, direct: S3Store) -> None:
    proxy.harm(Burst(Harm.CUT, ["PUT"], 1))
    with pytest.raises(NO_ANSWER):
        put(raw, "part")
    assert not direct.exists("part")
    assert proxy.entries[0].taken != proxy.entries[0].sent


def test_a_corrupt_get_differs_and_says_nothing(raw: Any, proxy: Proxy, direct: S3Store) -> None:
    direct.put("there", BODY)
    proxy.harm(Burst(Harm.CORRUPT, ["GET"], 1))
    got = get(raw, "there")
    assert len(got) == len(BODY)
    assert sum(a != b for a, b in zip(got, BODY, strict=True)) == 3


def test_a_corrupt_put_is_stored_so(raw: Any, proxy: Proxy, direct: S3Store) -> None:
    proxy.harm(Burst(Harm.CORRUPT, ["PUT"], 1))
    put(raw, "bent")
    stored = direct.get("bent")
    assert stored != BODY
    entry = proxy.entries[0]
    assert entry.sent == hashlib.sha256(BODY).hexdigest()
    assert entry.taken == hashlib.sha256(stored).hexdigest()


def test_an_answer_that_is_lost(raw: Any, proxy: Proxy, direct: S3Store) -> None:
    proxy.harm(Burst(Harm.LOST_ANSWER, ["PUT"], 1))
    with pytest.raises(NO_ANSWER):
        put(raw, "done")
    assert direct.get("done") == BODY
    assert proxy.entries[0].accepted


def test_a_burst_chooses_its_objects(raw: Any, proxy: Proxy, direct: S3Store) -> None:
    direct.put("x/manifest.json", b"{}")
    direct.put("x/other.json", b"{}")
    burst = Burst(Harm.ERROR_503, ["GET"], 1, containing="manifest")
    proxy.harm(burst)
    assert get(raw, "x/other.json") == b"{}"
    assert burst.hits == 0
    with pytest.raises(ClientError):
        get(raw, "x/manifest.json")
    assert burst.hits == 1
    proxy.harm(Burst(Harm.ERROR_503, ["GET"], 1))
    proxy.bursts.end()
    assert get(raw, "x/manifest.json") == b"{}"


def test_the_stores_own_retries_get_through(proxy: Proxy, direct: S3Store) -> None:
    from shared.s3 import make_client

    store = S3Store("chaos", "", make_client(proxy.url, "us-east-1", answer_seconds=1))
    for harm in (Harm.ERROR_500, Harm.ERROR_503, Harm.SILENCE, Harm.CUT, Harm.LOST_ANSWER):
        proxy.harm(Burst(harm, ["PUT"], 1, seconds=2))
        store.put(f"by-{harm}", BODY)
        assert direct.get(f"by-{harm}") == BODY


@pytest.mark.parametrize("act", ["put", "put_if_absent"])
def test_what_only_ever_came_altered_does_not_stay(proxy: Proxy, direct: S3Store, act: str) -> None:
    from shared.errors import StoreUnavailable
    from shared.s3 import make_client

    store = S3Store("chaos", "", make_client(proxy.url, "us-east-1", answer_seconds=1))
    proxy.harm(Burst(Harm.CORRUPT, ["PUT"], 9))
    with pytest.raises(StoreUnavailable, match="x/manifest"):
        getattr(store, act)("x/manifest.json", BODY)
    assert not direct.exists("x/manifest.json")
    proxy.bursts.end()
    getattr(store, act)("x/manifest.json", BODY)
    assert direct.get("x/manifest.json") == BODY


def test_a_server_that_is_away_is_a_connection_closed(s3_credentials: tuple[str, str]) -> None:
    from shared.errors import StoreUnavailable
    from shared.s3 import make_client

    with Proxy("127.0.0.1", 9) as proxy:
        store = S3Store("chaos", "", make_client(proxy.url, "us-east-1", answer_seconds=1))
        with pytest.raises(StoreUnavailable):
            store.get("there")
