"""The rooms keep to themselves: imports run downwards, and light processes stay light."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
HEAVY = ("torch", "transformers", "faiss", "kcorrect", "matplotlib.pyplot")


def loaded_after(statement: str) -> set[str]:
    """Names of the modules that a fresh interpreter holds after a statement."""
    code = f"import sys\n{statement}\nprint('\\n'.join(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    return set(run.stdout.split())


def test_the_rooms_stand_on_one_another() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    run = subprocess.run([linter], capture_output=True, text=True, check=False, cwd=ROOT)
    assert run.returncode == 0, run.stdout


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("from services.api import create_app; import services.studies, services.api.server", (*HEAVY, "astropy")),
        ("import services.reconciler", HEAVY),
        ("import services.score_worker, scorer.pipeline", ("torch", "transformers")),
        ("import services.embed_worker, embedder.pipeline", ("faiss",)),
        ("import services.embed_worker", ("torch", "transformers")),
        ("import services.cli, samesky", (*HEAVY, "celery", "flask")),
    ],
)
def test_light_processes_stay_light(statement: str, absent: tuple[str, ...]) -> None:
    assert not loaded_after(statement) & set(absent)


def test_keys_are_built_in_one_file() -> None:
    rooms = ("embeddings/", "scores/", "studies/", "neighbours/")
    for room in ("services", "embedder", "scorer", "shared"):
        for path in (ROOT / room).rglob("*.py"):
            if path.name == "keys.py":
                continue
            text = path.read_text(encoding="utf-8")
            found = [name for name in rooms if f'"{name}' in text or f"'{name}" in text]
            assert not found, f"{path.relative_to(ROOT)} builds a key of its own: {found}"


def test_nothing_from_outside_is_executed() -> None:
    forbidden = ("import pickle", "allow_pickle=True", "trust_remote_code=True", "yaml.load(", "weights_only=False")
    for room in ("services", "embedder", "scorer", "shared"):
        for path in (ROOT / room).rglob("*.py"):
            text = path.read_text(encoding="utf-8")
            assert not [name for name in forbidden if name in text], path.relative_to(ROOT)
