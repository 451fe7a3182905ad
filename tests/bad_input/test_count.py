"""The page docs/bad_input.md counts the corpus as it is, and the corpus is as large as was promised."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_page_counts_the_cases() -> None:
    run = subprocess.run(
        [sys.executable, "docs/corpus.py", "--check"], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert run.returncode == 0, run.stderr
    found = re.search(r"^(\d+) cases are written by hand", (ROOT / "docs/bad_input.md").read_text(), re.MULTILINE)
    assert found
    assert int(found[1]) >= 150
