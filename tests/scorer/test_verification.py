"""Verification as a whole: what each check looks at, where it stops, what it leaves to whoever asks again.

What it finds in altered archives is in tests/bad_input/test_archives.py.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from scorer.verification import Check, verify
from shared import keys
from shared.archive import write_archive
from shared.contracts import Study
from shared.errors import StoreUnavailable
from shared.store import MemoryStore
from shared.zip_store import ZipStore

Scored = tuple[MemoryStore, Study]
ROOT = Path(__file__).resolve().parents[2]


def checks_of(store: MemoryStore, study: Study, folder: Path, *, vectors: bool = False) -> dict[str, Check]:
    file = folder / "study.zip"
    file.write_bytes(b"".join(write_archive(store, study, vectors=vectors)))
    with ZipStore(file) as archive:
        return {check.name: check for check in verify(archive, threads=1)}


@pytest.mark.parametrize("vectors", [False, True])
def test_what_was_exported_passes(scored: Scored, tmp_path: Path, vectors: bool) -> None:
    checks = checks_of(*scored, tmp_path, vectors=vectors)
    assert all(check.passed for check in checks.values())
    assert ("anew" in checks) == vectors
    assert all(check.looked_at for check in checks.values())


def test_an_unfinished_study_is_whole_but_for_what_it_says(
    scored: Scored, scored_copy: MemoryStore, tmp_path: Path
) -> None:
    _, study = scored
    last = study.scores()[-1]
    for key in (keys.score(last), keys.score_objects(last), keys.score_nulls(last)):
        scored_copy.delete(key)
    checks = checks_of(scored_copy, study, tmp_path)
    assert [name for name, check in checks.items() if not check.passed] == ["scores"]
    assert checks["scores"].problems == (f"there is no score of {last.pair.label}",)
    assert (checks["scores"].looked_at, checks["means"].looked_at) == (4, 3)


def test_without_an_index_or_a_study_there_is_nothing_to_hold_the_rest_against(scored: Scored) -> None:
    assert [check.name for check in verify(scored[0])] == ["index"]


class Away(MemoryStore):
    """A store that does not answer."""

    def get(self, key: str) -> bytes:
        raise StoreUnavailable("it does not answer")


def test_a_store_that_does_not_answer_is_no_damaged_archive() -> None:
    with pytest.raises(StoreUnavailable):
        list(verify(Away()))


def test_verifying_records_loads_neither_faiss_nor_torch() -> None:
    code = "import sys, scorer.verification; print(sorted({'faiss', 'torch', 'celery', 'flask'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout == "[]\n"
