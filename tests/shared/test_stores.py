"""From settings to a store, and waiting for one that is not there yet."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from shared.errors import BadSetting, StoreUnavailable
from shared.settings import Settings
from shared.store import DirectoryStore, MemoryStore
from shared.stores import open_store, wait_for_store


def _settings(url: str, **more: str) -> Settings:
    return Settings.read({"SAMESKY_STORE_URL": url, **more})


def test_a_folder_absolute_or_relative(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for url in (f"file://{tmp_path}/some/store", "file://some/store"):
        store = open_store(_settings(url))
        wait_for_store(store, 1)
        store.put("key", url.encode())
        assert (tmp_path / "some" / "store" / "key").read_text() == url


def test_a_relative_folder_stays_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    store = open_store(_settings("file://store"))
    monkeypatch.chdir("/")
    store.put("key", b"x")
    assert (tmp_path / "store" / "key").exists()


def test_memory_is_new_each_time() -> None:
    first, second = (open_store(_settings("memory:")) for _ in range(2))
    assert isinstance(first, MemoryStore)
    first.put("key", b"x")
    assert not second.exists("key")


def test_a_bucket_and_a_prefix(moto_endpoint: str) -> None:
    for url in ("s3://a-bucket", "s3://a-bucket/some/prefix", "s3://a-bucket/other/"):
        store = open_store(_settings(url, SAMESKY_S3_ENDPOINT=moto_endpoint))
        wait_for_store(store, 5)
        store.put("key", url.encode())
    whole = open_store(_settings("s3://a-bucket", SAMESKY_S3_ENDPOINT=moto_endpoint))
    assert list(whole.keys("")) == ["key", "other/key", "some/prefix/key"]


@pytest.mark.parametrize(
    "url",
    [
        "store",
        "/store",
        "file:",
        "file://",
        "file:/store",
        "http://x/y",
        "memory",
        "memory:x",
        "s3:x",
        "s3://",
        "s3://A",
    ],
)
def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(BadSetting, match="SAMESKY_STORE_URL"):
        open_store(_settings(url))


def test_a_prefix_that_cannot_be_is_refused() -> None:
    with pytest.raises(BadSetting, match="prefix"):
        open_store(_settings("s3://bucket/../other"))


def test_a_store_that_never_comes_is_waited_for_then_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "store").write_bytes(b"a file in the way")
    started = time.monotonic()
    with caplog.at_level(logging.WARNING), pytest.raises(StoreUnavailable, match=r"waited 0\.2 s .*SAMESKY_STORE_URL"):
        wait_for_store(DirectoryStore(tmp_path / "store"), 0.2)
    assert 0.2 <= time.monotonic() - started < 5
    assert "waiting 0 s more for the object store" in caplog.text


def test_a_store_that_comes_late_is_found(tmp_path: Path) -> None:
    (tmp_path / "store").write_bytes(b"a file in the way")
    clearing = threading.Timer(0.3, (tmp_path / "store").unlink)
    clearing.start()
    wait_for_store(DirectoryStore(tmp_path / "store"), 30)
    clearing.join()
    assert (tmp_path / "store").is_dir()


def test_a_directory_store_needs_no_boto3(tmp_path: Path) -> None:
    program = (
        "import sys; from shared.settings import Settings; from shared.stores import open_store;"
        "open_store(Settings.read({'SAMESKY_STORE_URL': 'file://x'})); print('boto3' in sys.modules)"
    )
    root = Path(__file__).resolve().parents[2]
    said = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "False"
