"""What a process loads to score, and what it does not."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("module", "heavy"),
    [
        ("scorer.pipeline", ("torch", "transformers", "celery", "flask", "matplotlib")),
        (
            "scorer.ready, scorer.metrics, scorer.link",
            ("torch", "faiss", "scipy", "threadpoolctl", "celery", "flask", "matplotlib"),
        ),
        ("scorer.figures", ("torch", "faiss", "celery", "flask", "matplotlib.pyplot")),
        ("scorer.trends", ("torch", "faiss", "celery", "flask", "matplotlib", "scipy.stats")),
    ],
)
def test_a_fresh_interpreter_stays_light(module: str, heavy: tuple[str, ...]) -> None:
    program = f"import sys, {module}; print([name for name in {heavy!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.strip() == "[]"
