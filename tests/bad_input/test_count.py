"""The page docs/bad_input.md counts the corpus as it is, and the corpus is as large as was promised."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


def load_counting() -> ModuleType:
    spec = importlib.util.spec_from_file_location("corpus", ROOT / "docs" / "corpus.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_counts_the_cases(request: pytest.FixtureRequest) -> None:
    counting = load_counting()
    whole = not request.config.option.keyword and all(Path(given).is_dir() for given in request.config.args)
    # a run of the whole folder has collected it; a run of some tests has not, and collects it aside
    names = [item.nodeid for item in request.session.items] if whole else counting.collect()
    page = (ROOT / "docs" / "bad_input.md").read_text(encoding="utf-8")
    assert counting.with_figures(page, names) == page, "run `python docs/corpus.py`"
    cases, laws = counting.count(names)
    assert sum(cases.values()) >= 150
    assert all(cases[door] or laws[door] >= 10 for door in {*cases, *laws})
