"""A proxy before moto's S3 server, and one short run of chaos, whose results tests look at and tamper with."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from chaos.proxy import Proxy
from shared.s3 import S3Store, make_client

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(scope="session")
def whole_proxy(moto_endpoint: str) -> Iterator[Proxy]:
    """A proxy before moto, for all tests."""
    address = urlsplit(moto_endpoint)
    assert address.hostname
    assert address.port
    with Proxy(address.hostname, address.port, seed=1) as proxy:
        yield proxy


@pytest.fixture
def proxy(whole_proxy: Proxy) -> Proxy:
    """The proxy, harmless, its log empty."""
    whole_proxy.bursts.end()
    whole_proxy.entries.clear()
    return whole_proxy


@pytest.fixture(scope="session")
def bucket(moto_endpoint: str) -> S3Store:
    """The bucket without the proxy, for all tests."""
    store = S3Store("chaos", "", make_client(moto_endpoint, "us-east-1"))
    store.prepare()
    return store


@pytest.fixture
def direct(bucket: S3Store) -> S3Store:
    """The bucket without the proxy, empty."""
    for key in bucket.keys(""):
        bucket.delete(key)
    return bucket


@pytest.fixture(scope="session")
def impatient(whole_proxy: Proxy, bucket: S3Store) -> Any:
    """An S3 client through the proxy that tries once and waits for one second, for all tests."""
    from boto3.session import Session
    from botocore.config import Config

    del bucket  # makes it
    config = Config(
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        retries={"mode": "standard", "total_max_attempts": 1},
        read_timeout=1,
        s3={"addressing_style": "path"},
    )
    return Session().client("s3", endpoint_url=whole_proxy.url, region_name="us-east-1", config=config)


@pytest.fixture
def raw(impatient: Any, proxy: Proxy, direct: S3Store) -> Any:
    """The impatient client, with a proxy and a bucket that are as new."""
    del proxy, direct
    return impatient


@pytest.fixture(scope="session")
def short_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a short run of one seed, which kept every promise."""
    folder = tmp_path_factory.mktemp("chaos")
    command = [sys.executable, "-m", "chaos", "--seeds", "1", "--faults", "5", "--datasets", "1", "--attempts", "4"]
    run = subprocess.run(
        [*command, "--store", "rclone", "--products", str(10**12), "--folder", str(folder)],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        timeout=280,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return folder
