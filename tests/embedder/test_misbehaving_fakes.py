"""The fakes that misbehave do what they say, each in a process of its own."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
_ENCODE = """
import numpy as np
from embedder.adapters.fake import FakeAdapter
adapter = FakeAdapter("{name}")
print("ready", flush=True)
print(adapter.encode([adapter.prepare(np.zeros((96, 96, 3), np.uint8))] * 5, ["final"])[0].shape)
"""


@pytest.fixture
def encode() -> Callable[[str], subprocess.Popen[str]]:
    """Starts a process that lets a fake encode five objects, and returns it once the fake is loaded."""

    def start(name: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", _ENCODE.format(name=name)], stdout=subprocess.PIPE, text=True, cwd=ROOT
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        return process

    return start


def test_the_slow_one_takes_its_time(encode: Callable[[str], subprocess.Popen[str]]) -> None:
    process = encode("fake-slow")
    began = time.monotonic()
    out, _ = process.communicate(timeout=30)
    assert (out, process.returncode) == ("(5, 32)\n", 0)
    assert time.monotonic() - began > 5 * 0.02 * 0.9


def test_the_poison_kills_its_process(encode: Callable[[str], subprocess.Popen[str]]) -> None:
    process = encode("fake-poison")
    out, _ = process.communicate(timeout=30)
    assert (out, process.returncode) == ("", -signal.SIGKILL)


def test_the_hung_one_does_not_come_back(encode: Callable[[str], subprocess.Popen[str]]) -> None:
    process = encode("fake-hung")
    with pytest.raises(subprocess.TimeoutExpired):
        process.communicate(timeout=1)
    process.terminate()
    assert process.communicate(timeout=30)[0] == ""
    assert process.returncode == -signal.SIGTERM


def test_each_fake_is_another_projection() -> None:
    from embedder.adapters.fake import FakeAdapter

    picture = np.random.default_rng(0).integers(0, 255, (96, 96, 3), dtype=np.uint8)
    small, slow = FakeAdapter("fake-small"), FakeAdapter("fake-slow")
    ours, theirs = (fake.encode([fake.prepare(picture)], ["final"])[0] for fake in (small, slow))
    assert not np.allclose(ours, theirs)
