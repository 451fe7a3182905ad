"""The directory store against what happens to processes and disks."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from shared.errors import BadName, StoreUnavailable
from shared.store import DirectoryStore

ROOT = Path(__file__).resolve().parents[2]

WRITE_FOR_EVER = """
import sys
from pathlib import Path
from shared.store import DirectoryStore
store = DirectoryStore(Path(sys.argv[1]))
turn = 0
while True:
    store.put("a/key", bytes([turn % 2]) * 3_000_000)
    store.put_if_absent(f"b/{turn}", b"x" * 1000)
    turn += 1
"""

WRITE_TOO_MUCH = """
import resource, sys
from pathlib import Path
from shared.errors import StoreUnavailable
from shared.store import DirectoryStore
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
store = DirectoryStore(Path(sys.argv[1]))
store.put("key", b"the old value")
for write in (store.put, store.put_if_absent):
    try:
        write("key", b"x" * 1_000_000)
    except StoreUnavailable as error:
        print(error)
"""


def _python(program: str, folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", program, str(folder)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def test_a_killed_writer_leaves_whole_objects_only(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    for round_number in range(3):
        writer = _python(WRITE_FOR_EVER, tmp_path)
        while len(list(store.keys("b/"))) < 3:
            assert writer.poll() is None
            time.sleep(0.01)
        time.sleep(0.2 + 0.013 * round_number)
        writer.kill()
        writer.communicate()
        assert store.get("a/key") in (b"\x00" * 3_000_000, b"\x01" * 3_000_000)
        small = list(store.keys("b/"))
        assert small
        assert {store.get(key) for key in small} == {b"x" * 1000}
    assert set(store.keys("")) == {"a/key", *small}


def test_a_full_disk_is_an_error_and_keeps_the_old_value(tmp_path: Path) -> None:
    said, _ = _python(WRITE_TOO_MUCH, tmp_path).communicate(timeout=30)
    assert said.count("the store folder") == 2
    assert "File too large" in said
    store = DirectoryStore(tmp_path)
    assert store.get("key") == b"the old value"
    assert list((tmp_path / ".writing").iterdir()) == []


def test_what_is_being_written_is_never_listed(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    store.put("key", b"value")
    (tmp_path / ".writing" / "abandoned").write_bytes(b"half")
    assert list(store.keys("")) == ["key"]


def test_preparing_clears_what_was_abandoned_a_day_ago(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    store.prepare()
    old, fresh = tmp_path / ".writing" / "old", tmp_path / ".writing" / "fresh"
    for file in (old, fresh):
        file.write_bytes(b"half")
    os.utime(old, (time.time() - 100_000,) * 2)
    store.prepare()
    assert not old.exists()
    assert fresh.exists()


def test_a_folder_that_cannot_be_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    store = DirectoryStore(tmp_path / "file" / "store")
    for act in (store.prepare, lambda: store.put("key", b"x"), lambda: store.put_if_absent("key", b"x")):
        with pytest.raises(StoreUnavailable, match="SAMESKY_STORE_URL"):
            act()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_of_another_owner_is_unavailable(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    store.put("key", b"value")
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(StoreUnavailable, match="Permission denied"):
            store.put("other/key", b"value")
    finally:
        tmp_path.chmod(0o700)


def test_an_object_cannot_also_be_a_folder(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    store.put("a", b"value")
    store.put("b/c", b"value")
    with pytest.raises(BadName, match="both an object and a folder"):
        store.put("a/b", b"value")
    with pytest.raises(BadName, match="both an object and a folder"):
        store.put("b", b"value")
    assert list(store.keys("")) == ["a", "b/c"]
