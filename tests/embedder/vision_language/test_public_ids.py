"""Models of words and pictures under their public ids, from a hub on loopback: the same vectors as from a folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from embedder.adapters.loading import load_adapter
from embedder.catalogue.models import find_model
from embedder.resolve import resolve_model
from shared.settings import Settings

PICTURES = ("clip-base", "paligemma2-3b", "llava-1.5-7b", "llava-onevision-7b")
TEXTS = {"bge-small": "i magnitude", "qwen3-embedding-0.6b": "i magnitude"}

# What a worker does with a public id, in a process that has seen none of the files.
_EMBED = """
import json, sys
import numpy as np
from embedder.adapters.loading import load_adapter
from embedder.catalogue.models import find_model
from embedder.resolve import resolve_model
from shared.settings import Settings

settings = Settings.read({"SAMESKY_THREADS": "1", "SAMESKY_DEVICE": "cpu"})
said = {}
for name, text in json.loads(sys.argv[1]).items():
    model = resolve_model(find_model(name), settings)
    adapter = load_adapter(model, settings)
    given = adapter.prepare(np.full((96, 96, 3), 99, np.uint8) if text is None else text)
    said[name] = [model.revision, adapter.encode([given], ["final"])[0][0].tolist()]
print(json.dumps(said))
"""


def embed_here(name: str, text: str | None, settings: Settings) -> Any:
    adapter = load_adapter(resolve_model(find_model(name), settings), settings)
    given = adapter.prepare(np.full((96, 96, 3), 99, np.uint8) if text is None else text)
    return adapter.encode([given], ["final"])[0][0]  # type: ignore[list-item]


def test_a_public_id_gives_the_vector_of_its_files(
    save: Callable[[str], Path],
    save_clip: Path,
    save_text_model: Callable[[str], Path],
    serve_hub: Callable[[], str],
    settings: Settings,
    tmp_path: Path,
) -> None:
    for name in PICTURES[1:]:
        save(name)
    for name in TEXTS:
        save_text_model(name)
    asked: dict[str, str | None] = {**dict.fromkeys(PICTURES), **TEXTS}
    here = {name: embed_here(name, text, settings) for name, text in asked.items()}
    (tmp_path / "hub").rename(tmp_path / "served")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "SAMESKY_"))}
    more = {
        "PYTHONPATH": os.pathsep.join(sys.path),
        "HF_ENDPOINT": serve_hub(),
        "HF_HOME": str(tmp_path / "home"),
    }
    done = subprocess.run(
        [sys.executable, "-c", _EMBED, json.dumps(asked)],
        env={**clean, **more},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for name, (revision, vector) in json.loads(done.stdout.splitlines()[-1]).items():
        assert len(revision) == 40
        np.testing.assert_allclose(vector, here[name], rtol=1e-5, atol=1e-6)
