"""The figures of docs/bad_input.md, counted from the tests. `python docs/corpus.py` writes them, `--check` compares.

A case is one row of a table in `tests/bad_input`, as pytest collects it; a law is a test named `test_any_...`, which
tries inputs that hypothesis or schemathesis makes.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "bad_input.md"
CORPUS = "tests/bad_input"
_ITEM = re.compile(rf"{CORPUS}/(?P<file>\w+)\.py::(?P<test>\w+)(?P<row>\[)?")


def collect() -> list[str]:
    """The names of the corpus's tests, as a run of pytest without a test would list them."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "--quiet", "-p", "no:cacheprovider", CORPUS]
    run = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    if run.returncode:
        raise SystemExit(f"the corpus cannot be collected:\n{run.stdout}{run.stderr}")
    return run.stdout.splitlines()


def count(names: Iterable[str]) -> tuple[Counter[str], Counter[str]]:
    """Cases and laws, by the door that a test file is about: what stands before the colon of its docstring."""
    cases: Counter[str] = Counter()
    laws: Counter[str] = Counter()
    for name in names:
        item = _ITEM.match(name)
        if item and item["test"].startswith("test_any"):
            laws[_door(item["file"])] += 1
        elif item and item["row"]:
            cases[_door(item["file"])] += 1
    return cases, laws


@cache
def _door(file: str) -> str:
    text = ast.get_docstring(ast.parse((ROOT / CORPUS / f"{file}.py").read_text(encoding="utf-8"))) or ""
    return text.split(":", maxsplit=1)[0]


def with_figures(page: str, names: Iterable[str]) -> str:
    """`page` with its sentence and table counted anew."""
    cases, laws = count(names)
    rows = [f"| {door} | {cases[door]} | {laws[door]} |" for door in sorted({*cases, *laws})]
    sentence = (
        f"{sum(cases.values())} cases are written by hand, and {sum(laws.values())} laws are tried on made inputs."
    )
    made = "\n".join([sentence, "", "| door | cases | laws |", "| --- | --: | --: |", *rows])
    marked = r"(<!-- figures -->\n).*?(<!-- /figures -->)"
    return re.sub(marked, lambda at: f"{at[1]}{made}\n{at[2]}", page, flags=re.DOTALL)


def main() -> None:
    """Write the figures, or with --check exit 1 if they are not those of the tests."""
    page = PAGE.read_text(encoding="utf-8")
    true = with_figures(page, collect())
    if "--check" not in sys.argv:
        PAGE.write_text(true, encoding="utf-8")
    elif true != page:
        raise SystemExit("docs/bad_input.md does not count the tests as they are: run `python docs/corpus.py`")


if __name__ == "__main__":
    main()
