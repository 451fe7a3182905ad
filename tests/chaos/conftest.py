"""A proxy before moto's S3 server, emptied of bursts for each test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from chaos.proxy import Proxy
from shared.s3 import S3Store, make_client


@pytest.fixture
def proxy(moto_endpoint: str) -> Iterator[Proxy]:
    """A proxy before moto."""
    address = urlsplit(moto_endpoint)
    assert address.hostname
    assert address.port
    with Proxy(address.hostname, address.port, seed=1) as proxy:
        yield proxy


@pytest.fixture
def direct(moto_endpoint: str) -> S3Store:
    """The bucket without the proxy."""
    store = S3Store("chaos", "", make_client(moto_endpoint, "us-east-1"))
    store.prepare()
    for key in store.keys(""):
        store.delete(key)
    return store


@pytest.fixture
def raw(proxy: Proxy, direct: S3Store) -> Callable[..., Any]:
    """An S3 client through the proxy that tries once and waits for one second."""
    from boto3.session import Session
    from botocore.config import Config

    del direct  # makes the bucket
    config = Config(
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        retries={"mode": "standard", "total_max_attempts": 1},
        read_timeout=1,
        s3={"addressing_style": "path"},
    )
    return Session().client("s3", endpoint_url=proxy.url, region_name="us-east-1", config=config)
