"""The README tells the truth: its tables are the code's, and what it names exists."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")


def test_the_tables_are_the_codes() -> None:
    run = subprocess.run(
        [sys.executable, "docs/tables.py", "--check"], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert run.returncode == 0, run.stderr


def test_every_make_verb_in_the_docs_exists() -> None:
    verbs = set(re.findall(r"^([a-z-]+):.*## ", MAKEFILE, re.MULTILINE))
    assert {"help", "install", "demo", "up", "test", "check", "bench", "clean"} <= verbs
    for page in ("README.md", "CONTRIBUTING.md"):
        named = set(re.findall(r"`?make ([a-z-]+)`?", (ROOT / page).read_text(encoding="utf-8")))
        assert named <= verbs | {"and"}, f"{page} names {named - verbs}"


def test_every_file_the_docs_name_exists() -> None:
    for page in ("README.md", "CONTRIBUTING.md"):
        text = (ROOT / page).read_text(encoding="utf-8")
        links = [link for link in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in link]
        paths = re.findall(r"`((?:embedder|scorer|services|shared|docs|examples|tests|docker)/[\w./-]+)`", text)
        for name in [*links, *paths]:
            assert (ROOT / name).exists(), f"{page} names {name}"


def test_every_command_of_the_readme_exists() -> None:
    verbs = set(re.findall(r"samesky (\w+)", README)) - {"import"}
    helped = subprocess.run(
        [sys.executable, "-m", "services.cli", "--help"], capture_output=True, text=True, check=True, cwd=ROOT
    ).stdout
    assert verbs
    assert all(re.search(rf"\b{verb}\b", helped) for verb in verbs), verbs


def test_versions_are_pinned() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", pin) for pin in pins)
    pinned = {pin.split("==")[0].lower().replace("_", "-") for pin in pins}
    wanted = re.findall(r'"([A-Za-z][\w-]*)(?:\[[\w,]+\])?"', (ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    for name in ("celery", "kombu", "torch", "transformers", "faiss-cpu", "flask", "boto3", "redis", "numpy"):
        assert name in pinned
    assert {"celery", "torch"} <= set(wanted)
