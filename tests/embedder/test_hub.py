"""The hub as its own clients see it: a real server on loopback, a fresh cache, a process of its own."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

HUB = Path(__file__).resolve().parents[2] / ".." / "shared" / "hub" / "loopback-hub"
MODEL, DATASET = "google/vit-base-patch16-224-in21k", "Smith42/jwst_hsc_crossmatched"
needs_hub = pytest.mark.skipif(not HUB.is_file(), reason="../shared/hub/loopback-hub is not beside the checkout")

# Resolve a dataset and a model by their public ids, read the last rows, embed one: what one study does.
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
def model():
    ref = resolve_model(find_model("vit-base"), settings)
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
attempt("model", model)
attempt("specformer", specformer)
attempt("other file", other_file)
attempt("dataset", dataset)
attempt("missing", lambda: resolve_model(find_model("dinov2-giant"), settings).revision)
old = find_model("vit-base").model_copy(update={"revision": "0" * 40})
attempt("commit", lambda: resolve_model(old, settings).revision)
attempt("split", lambda: resolve_dataset(DatasetRequest(name="jwst_hsc", split="test"), settings)[0].rows)
print(json.dumps(said))
"""


def run(script: str, **environment: str) -> str:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "SAMESKY_"))}
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**clean, "PYTHONPATH": os.pathsep.join(sys.path), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def save_vit(folder: Path) -> None:
    from transformers import ViTConfig, ViTImageProcessorPil, ViTModel

    small = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 32, "patch_size": 8}
    ViTModel(ViTConfig(**small)).save_pretrained(folder)
    ViTImageProcessorPil(size={"height": 32, "width": 32}).save_pretrained(folder)


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
    specformer_checkpoint: dict[str, Any],
) -> Iterator[str]:
    """URL of a hub that serves a tiny ViT, a tiny Specformer and twelve galaxies under their public ids."""
    bands = ("f090w", "f277w", "f444w")
    folder = write_table(
        [image(seed) for seed in range(12)], jwst=[image(seed, bands, 32, 0.04) for seed in range(12)], files=3
    )
    place = tmp_path / "served" / "datasets" / DATASET
    place.parent.mkdir(parents=True)
    folder.rename(place)
    save_vit(tmp_path / "served" / "models" / MODEL)
    save_specformer(tmp_path / "served" / "models" / "polymathic-ai" / "specformer", specformer_checkpoint)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen([sys.executable, HUB, str(tmp_path / "served"), str(port)], stderr=subprocess.DEVNULL)
    try:
        wait_for(port)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(10)


def wait_for(port: int) -> None:
    for _ in range(100):
        with socket.socket() as caller:
            if caller.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise AssertionError("the hub did not start")


@needs_hub
def test_public_ids_are_resolved_read_and_loaded(served: str, tmp_path: Path) -> None:
    home = str(tmp_path / "home")
    said = json.loads(run(_STUDY, HF_ENDPOINT=served, HF_HOME=home).splitlines()[-1])
    commit, dimension = said["model"]
    assert len(commit) == 40
    assert dimension == 24
    assert said["specformer"] == [commit, 24]
    assert said["other file"][0] == "checkpoint-unavailable"
    assert "lacks a file: " in said["other file"][1]
    assert "other.ckpt" in said["other file"][1]
    assert said["dataset"] == [commit, 12, ["9", "10", "11"], [96, 96, 3]]
    assert said["missing"][0] == "checkpoint-unavailable"
    assert "facebook/dinov2-with-registers-giant at revision main is not on the hub" in said["missing"][1]
    assert said["commit"][0] == "checkpoint-unavailable"
    assert said["split"][0] == "unknown-name"

    off_line = json.loads(run(_STUDY, HF_HUB_OFFLINE="1", HF_HOME=home).splitlines()[-1])
    assert off_line["model"] == off_line["specformer"] == [commit, 24]
    assert off_line["other file"][0] == "checkpoint-unavailable"
    assert off_line["dataset"][0] == "checkpoint-unavailable"
    assert "HF_HUB_OFFLINE is set" in off_line["dataset"][1]


def test_a_hub_that_does_not_answer_may_be_asked_again(tmp_path: Path) -> None:
    said = json.loads(run(_STUDY, HF_ENDPOINT="http://127.0.0.1:9", HF_HOME=str(tmp_path)).splitlines()[-1])
    assert {kind for kind, _ in said.values()} == {"hub-unavailable"}
