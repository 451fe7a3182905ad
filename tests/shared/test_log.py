"""Log lines, as a process writes them to standard error."""

from __future__ import annotations

import json
import logging
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from shared.log import ROOMS, JsonLines, TextLines, context
from shared.packages import package_versions

PROGRAM = """
import logging
from shared.log import configure
from shared.settings import Settings
configure(Settings.read())
configure(Settings.read())
log = logging.getLogger("embedder.pipeline")
log.info("part %d stored", 3, extra={"job": "abc", "attempt": 2})
log.debug("a detail")
logging.getLogger("a.library").info("chatter")
logging.getLogger("a.library").warning("at redis://user:secret@host:6379/0 and s3://:secret@x")
logging.getLogger("a.library").warning("sent Authorization: Bearer the-secret-of-one, took a-secret-token-of-ours")
try:
    1 / 0
except ZeroDivisionError:
    log.exception("failed at redis://:secret@host")
"""


def _lines(**environment: str) -> list[str]:
    environment = {
        "SAMESKY_TOKENS": "a-secret-token-of-ours",
        "SAMESKY_TOKEN": "a-secret-token-of-theirs",
        **environment,
    }
    root = Path(__file__).resolve().parents[2]
    said = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=root, env=environment, capture_output=True, text=True, check=True
    )
    assert said.stdout == ""
    assert "secret" not in said.stderr
    return said.stderr.splitlines()


def test_text_for_people() -> None:
    lines = _lines()
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z INFO embedder\.pipeline: part 3 stored job=abc attempt=2", lines[0]
    )
    assert "WARNING a.library: at redis://***@host:6379/0 and s3://***@x" in lines[1]
    assert "sent Authorization: Bearer *** took ***" in lines[2]
    assert "ERROR embedder.pipeline: failed at redis://***@host" in lines[3]
    assert lines[-1] == "ZeroDivisionError: division by zero"
    assert not any("detail" in line or "chatter" in line for line in lines)


def test_json_for_machines() -> None:
    records = [json.loads(line) for line in _lines(SAMESKY_LOG_FORMAT="json", SAMESKY_LOG_LEVEL="debug")]
    assert [record["level"] for record in records] == ["info", "debug", "warning", "warning", "error"]
    assert set(records[0]) == {"time", "level", "logger", "message", "job", "attempt"}
    assert records[0] | {"time": ""} == {
        "time": "",
        "level": "info",
        "logger": "embedder.pipeline",
        "message": "part 3 stored",
        "job": "abc",
        "attempt": 2,
    }
    assert "ZeroDivisionError: division by zero" in records[4]["error"]


def test_a_context_stands_in_every_line_inside_it() -> None:
    record = logging.makeLogRecord({"msg": "stored", "name": "shared.x", "part": 3})
    with context(study="s", job="j"), context(attempt="a", job="k"):
        fields = json.loads(JsonLines().format(record))
        assert {name: fields[name] for name in ("study", "job", "attempt", "part")} == {
            "study": "s",
            "job": "k",
            "attempt": "a",
            "part": 3,
        }
        assert TextLines().format(record).endswith("shared.x: stored study=s job=k attempt=a part=3")
        others: list[str] = []
        thread = threading.Thread(target=lambda: others.append(JsonLines().format(record)))
        thread.start()
        thread.join()
        assert "study" not in json.loads(others[0]), "another thread does other work"
    assert "study" not in json.loads(JsonLines().format(record))


def test_a_context_ends_with_its_block_even_by_an_error() -> None:
    with pytest.raises(ZeroDivisionError), context(study="s"):
        raise ZeroDivisionError
    assert "study" not in JsonLines().format(logging.makeLogRecord({"msg": "next"}))


def test_an_extra_of_any_type_is_one_line() -> None:
    record = logging.makeLogRecord({"msg": "two\nlines", "name": "shared.x", "folder": Path("/some\nwhere")})
    line = JsonLines().format(record)
    assert "\n" not in line
    assert json.loads(line)["folder"] == "/some\nwhere"


def test_the_rooms_are_the_packages() -> None:
    root = Path(__file__).resolve().parents[2]
    packages = {folder.parent.name for folder in root.glob("*/__init__.py")} - {"chaos"}
    assert set(ROOMS) == packages | {"samesky"}


def test_versions_of_what_is_installed() -> None:
    found = package_versions("pytest", "no-such-package-anywhere", "numpy")
    assert list(found) == ["numpy", "pytest"]
    assert found["pytest"] == pytest.__version__
