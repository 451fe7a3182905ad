"""The hub as its own clients see it: a real server on loopback, a fresh cache, a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

DATASET = "Smith42/jwst_hsc_crossmatched"

TINY = tuple(json.loads(Path(__file__).with_name("tiny_vision.json").read_text()))
# Resolve a dataset and models by their public ids, read the last rows, embed one: what one study does.
_STUDY = """
import json, sys
import numpy as np
from embedder.adapters.loading import load_adapter
from embedder.catalogue.models import find_model
from embedder.recipes import find_recipe
from embedder.resolve import resolve_dataset, resolve_model
from embedder.sources.kinds import open_source
from shared.errors import SameSkyError
from shared.requests import DatasetRequest
from shared.settings import Settings

settings = Settings.read({"SAMESKY_THREADS": "1", "SAMESKY_DEVICE": "cpu"})
said = {}
def attempt(name, do):
    try:
        said[name] = do()
    except SameSkyError as error:
        said[name] = [error.code, str(error)]
def model(name):
    ref = resolve_model(find_model(name), settings)
    adapter = load_adapter(ref, settings)
    (vectors,) = adapter.encode([adapter.prepare(np.zeros((96, 96, 3), np.uint8))], ["final"])
    return [ref.revision, vectors.shape[1]]
def specformer():
    ref = resolve_model(find_model("specformer-base"), settings)
    adapter = load_adapter(ref, settings)
    (vectors,) = adapter.encode([adapter.prepare(np.linspace(0, 1, 99, dtype=np.float32))], ["final"])
    return [ref.revision, vectors.shape[1]]
def other_file():
    ref = resolve_model(find_model("specformer-base"), settings)
    return load_adapter(ref.model_copy(update={"options": {"file": "other.ckpt"}}), settings).device
def dataset():
    ref, (hsc, _) = resolve_dataset(DatasetRequest(name="jwst_hsc"), settings)
    samples = list(open_source(ref, settings).read(hsc, 9, 12))
    shown = find_recipe(hsc.recipe).prepare(samples[0].observation, hsc)
    return [ref.revision, ref.rows, [sample.object_id for sample in samples], list(shown.values.shape)]
for name in sys.argv[1:]:
    attempt(name, lambda: model(name))
proposed = find_model("vit-mae-base").model_copy(update={"revision": find_model("vit-mae-huge").revision})
attempt("proposed", lambda: resolve_model(proposed, settings).revision)
attempt("specformer", specformer)
attempt("other file", other_file)
attempt("dataset", dataset)
attempt("missing", lambda: resolve_model(find_model("dinov2-giant"), settings).revision)
old = find_model("vit-base").model_copy(update={"revision": "0" * 40})
attempt("commit", lambda: resolve_model(old, settings).revision)
attempt("split", lambda: resolve_dataset(DatasetRequest(name="jwst_hsc", split="test"), settings)[0].rows)
print(json.dumps(said))
"""


def run(script: str, *names: str, **environment: str) -> Any:
    """What a process of its own says last, as JSON."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "SAMESKY_"))}
    done = subprocess.run(
        [sys.executable, "-c", script, *names],
        env={**clean, "PYTHONPATH": os.pathsep.join(sys.path), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def save_specformer(folder: Path, checkpoint: dict[str, Any]) -> None:
    """Alone in its repository, without a config.json, as the published one is."""
    import torch

    folder.mkdir(parents=True)
    torch.save(checkpoint, folder / "specformer.ckpt")


@pytest.fixture
def served(
    tmp_path: Path,
    write_table: Callable[..., Path],
    image: Callable[..., Any],
    save_vision_model: Callable[..., Path],
    specformer_checkpoint: dict[str, Any],
    serve_hub: Callable[[], str],
) -> str:
    """URL of a hub with twelve galaxies and tiny models, of every vision family and a Specformer, by public ids."""
    bands = ("f090w", "f277w", "f444w")
    folder = write_table(
        [image(seed) for seed in range(12)], jwst=[image(seed, bands, 32, 0.04) for seed in range(12)], files=3
    )
    place = tmp_path / "served" / "datasets" / DATASET
    place.parent.mkdir(parents=True)
    folder.rename(place)
    for name in TINY:
        save_vision_model(name, tmp_path / "served")
    save_specformer(tmp_path / "served" / "models" / "polymathic-ai" / "specformer", specformer_checkpoint)
    return serve_hub()


def test_public_ids_are_resolved_read_and_loaded(served: str, tmp_path: Path) -> None:
    home = str(tmp_path / "home")
    said = run(_STUDY, *TINY, HF_ENDPOINT=served, HF_HOME=home)
    commit = said["vit-base"][0]
    assert len(commit) == 40
    dimensions = {name: 64 if name == "hiera-tiny" else 24 for name in TINY}
    assert {name: said[name] for name in TINY} == {name: [commit, dimensions[name]] for name in TINY}
    assert said["proposed"] == commit
    assert said["specformer"] == [commit, 24]
    assert said["other file"][0] == "checkpoint-unavailable"
    assert "lacks a file: " in said["other file"][1]
    assert "other.ckpt" in said["other file"][1]
    assert said["dataset"] == [commit, 12, ["9", "10", "11"], [96, 96, 3]]
    assert said["missing"][0] == "checkpoint-unavailable"
    assert "facebook/dinov2-with-registers-giant at revision main is not on the hub" in said["missing"][1]
    assert said["commit"][0] == "checkpoint-unavailable"
    assert said["split"][0] == "unknown-name"

    off_line = run(_STUDY, *TINY, HF_HUB_OFFLINE="1", HF_HOME=home)
    assert {name: off_line[name] for name in TINY} == {name: [commit, dimensions[name]] for name in TINY}
    assert off_line["specformer"] == [commit, 24]
    assert off_line["other file"][0] == "checkpoint-unavailable"
    assert off_line["dataset"][0] == "checkpoint-unavailable"
    assert "HF_HUB_OFFLINE is set" in off_line["dataset"][1]


def test_a_hub_that_does_not_answer_may_be_asked_again(tmp_path: Path) -> None:
    said = run(_STUDY, "vit-base", HF_ENDPOINT="http://127.0.0.1:9", HF_HOME=str(tmp_path))
    assert {kind for kind, _ in said.values()} == {"hub-unavailable"}


_GATED = """
import json
from embedder.adapters.loading import load_adapter
from embedder.catalogue.models import find_model
from embedder.resolve import resolve_model
from shared.errors import CheckpointUnavailable
from shared.settings import Settings

settings = Settings.read({"SAMESKY_DEVICE": "cpu"})
model = resolve_model(find_model("dinov3-vits16"), settings)
try:
    load_adapter(model, settings)
except CheckpointUnavailable as error:
    print(json.dumps([model.revision, error.wrong, error.remedy]))
"""


class GatedHub(BaseHTTPRequestHandler):
    """As the hub is to whoever has not accepted a licence: it tells of a repository, and gives none of its files."""

    def do_GET(self) -> None:
        if self.path.startswith("/api/models/"):
            self._answer(200, json.dumps({"id": "gated", "sha": "9a" * 20, "gated": "manual", "siblings": []}).encode())
        else:
            self._answer(403, b"", ("X-Error-Code", "GatedRepo"), ("X-Error-Message", "Access to it is restricted."))

    def do_HEAD(self) -> None:
        self.do_GET()

    def _answer(self, status: int, body: bytes, *more: tuple[str, str]) -> None:
        self.send_response(status)
        for name, value in (("Content-Type", "application/json"), ("Content-Length", str(len(body))), *more):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *of: Any) -> None:
        """Say nothing."""


def test_a_gated_checkpoint_is_refused_for_good_with_what_to_do(tmp_path: Path) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), GatedHub) as hub:
        Thread(target=hub.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{hub.server_port}"
        revision, wrong, remedy = run(_GATED, HF_ENDPOINT=url, HF_HOME=str(tmp_path))
        hub.shutdown()
    assert revision == "9a" * 20
    assert wrong == f"model facebook/dinov3-vits16-pretrain-lvd1689m at revision {revision} is gated"
    assert remedy == "ask for access on its page, and set HF_TOKEN for the embedder and the api"
