"""The audit of dependencies: findings fail, a service that is away is said and passes, and it takes seconds."""

from __future__ import annotations

import importlib.util
import time
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def audit() -> ModuleType:
    """`.ci/audit.py`."""
    spec = importlib.util.spec_from_file_location("audit", ROOT / ".ci/audit.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_service_that_is_away_is_said_in_one_line_and_passes(
    audit: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pins = tmp_path / "pins.txt"
    pins.write_text("flask==3.1.3\n")
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))  # no answer of an earlier day
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    started = time.monotonic()
    assert audit.judge(audit.run(pins)) == (
        ["audit: the vulnerability service does not answer; nothing was audited"],
        False,
    )
    assert time.monotonic() - started < 60


def test_pins_that_cannot_be_read_are_a_fault_and_no_pass(audit: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="pip-audit failed"):
        audit.run(tmp_path / "none.txt")


def test_a_finding_fails_and_is_named(audit: ModuleType) -> None:
    fault = {"id": "PYSEC-2021-108", "fix_versions": ["1.26.5"], "aliases": ["CVE-2021-33503"], "description": ""}
    clean = {"name": "flask", "version": "3.1.3", "vulns": []}
    report = {"dependencies": [{"name": "urllib3", "version": "1.26.4", "vulns": [fault]}, clean], "fixes": []}
    assert audit.judge(report) == (
        [
            "audit: urllib3 1.26.4 has PYSEC-2021-108, fixed in 1.26.5",
            "audit: 2 of 2 pinned packages audited, 1 findings",
        ],
        True,
    )


def test_packages_that_the_service_does_not_know_are_counted(audit: ModuleType) -> None:
    unknown = {"name": "flask", "skip_reason": "Dependency not found on PyPI and could not be audited: flask (3.1.3)"}
    assert audit.judge({"dependencies": [unknown], "fixes": []}) == (
        ["audit: 0 of 1 pinned packages audited, 0 findings"],
        False,
    )
