"""A zip file as a store: what the contract says to readers holds, and nothing can be changed."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest

from shared.errors import BadInput, BadName, ObjectMissing
from shared.store import DirectoryStore, MemoryStore, ObjectStore
from shared.zip_store import ZipStore

Filled = Callable[[Mapping[str, bytes]], ObjectStore]
KEYS = ["a/x", "a/x.y", "a-b/x", "a.b", "a+b/c/d/e", "ab", "b/part-00010.json", "b/part-00002.json", "a/w/z"]
BAD_KEYS = [
    "",
    "/",
    "/etc/passwd",
    "a//b",
    "a/",
    "..",
    "a/../b",
    ".hidden",
    "a\\b",
    "a b",
    "é",
    "A",
    "a\x00b",
    "n" * 65,
]


def pack(path: Path, objects: Mapping[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        for key, data in objects.items():
            file.writestr(key, data)
    return path


@pytest.fixture(params=["memory", "directory", "zip"])
def filled(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Filled]:
    """Makes a store of these objects."""

    def fill(store: ObjectStore, objects: Mapping[str, bytes]) -> ObjectStore:
        store.prepare()
        for key, data in objects.items():
            store.put(key, data)
        return store

    with ExitStack() as opened:
        makers: dict[str, Filled] = {
            "memory": lambda objects: fill(MemoryStore(), objects),
            "directory": lambda objects: fill(DirectoryStore(tmp_path / "store"), objects),
            "zip": lambda objects: opened.enter_context(ZipStore(pack(tmp_path / "some.zip", objects))),
        }
        yield makers[request.param]


@pytest.mark.parametrize("data", [b"", b"x", b"\x00\xff\r\n", bytes(range(256)) * 32_768], ids=["0", "1", "raw", "8MB"])
def test_a_value_comes_back_whole(filled: Filled, data: bytes) -> None:
    store = filled({"some/key.bin": data})
    store.prepare()
    assert store.get("some/key.bin") == data
    assert store.exists("some/key.bin")


def test_what_is_not_there_is_missing(filled: Filled) -> None:
    store = filled({"a/b/c": b"value"})
    for key in ("other", "a", "a/b", "a/b/c/d"):
        assert not store.exists(key)
        with pytest.raises(ObjectMissing, match=key):
            store.get(key)


def test_keys_are_listed_deep_and_in_order(filled: Filled) -> None:
    store = filled({key: key.encode() for key in KEYS})
    assert list(store.keys("")) == sorted(KEYS)
    assert list(store.keys("a/")) == ["a/w/z", "a/x", "a/x.y"]
    assert list(store.keys("a")) == sorted(key for key in KEYS if key.startswith("a"))
    assert list(store.keys("b/part-0000")) == ["b/part-00002.json"]
    assert list(store.keys("none/")) == []
    assert list(store.keys("a/x/")) == []


@pytest.mark.parametrize("key", BAD_KEYS, ids=lambda key: repr(key)[:20])
def test_bad_keys_are_refused(filled: Filled, key: str) -> None:
    store = filled({"a/b": b"value"})
    for act in (
        lambda: store.get(key),
        lambda: store.exists(key),
        lambda: store.put(key, b"x"),
        lambda: store.put_if_absent(key, b"x"),
        lambda: store.delete(key),
    ):
        with pytest.raises(BadName):
            act()


@pytest.mark.parametrize("prefix", ["/", "/a", "a//", "../", "a/../b/", ".writing", "*"])
def test_bad_prefixes_are_refused(filled: Filled, prefix: str) -> None:
    with pytest.raises(BadName):
        list(filled({"a/b": b"value"}).keys(prefix))


def test_an_archive_is_not_changed(tmp_path: Path) -> None:
    file = pack(tmp_path / "some.zip", {"a/b": b"value"})
    before = file.read_bytes()
    with ZipStore(file) as store:
        for act in (
            lambda: store.put("a/b", b"other"),
            lambda: store.put("a/c", b"new"),
            lambda: store.put_if_absent("a/b", b"value"),
            lambda: store.delete("a/b"),
        ):
            with pytest.raises(BadInput, match="only read"):
                act()
        assert store.get("a/b") == b"value"
    assert file.read_bytes() == before


def test_an_empty_zip_is_an_empty_store(filled: Filled) -> None:
    assert list(filled({}).keys("")) == []
