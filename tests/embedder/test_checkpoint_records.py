"""Checkpoints with more than tensors in them: settings are read as plain records, and nothing of theirs runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from embedder.adapters.files import find_file
from embedder.adapters.records import NUMPY_NUMBERS, Record, read_records
from shared.contracts import ModelRef
from shared.errors import CheckpointUnavailable

NAMES = ("elsewhere.settings.Registry", "elsewhere.settings.Config")


@pytest.fixture
def settings_classes() -> Iterator[tuple[type, type]]:
    """Two plain classes of a package that is gone when the checkpoint is read."""
    made = tuple(type(name.rpartition(".")[2], (), {"__module__": "elsewhere.settings"}) for name in NAMES)
    module = types.ModuleType("elsewhere.settings")
    sys.modules.update({"elsewhere": types.ModuleType("elsewhere"), "elsewhere.settings": module})
    for kind in made:
        setattr(module, kind.__name__, kind)
    yield made  # type: ignore[misc]
    for name in ("elsewhere", "elsewhere.settings"):
        sys.modules.pop(name, None)


@pytest.fixture
def saved(settings_classes: tuple[type, type], tmp_path: Path) -> Path:
    """A checkpoint as a training script saves it: weights, a number of numpy, and settings in classes."""
    registry, config = (kind() for kind in settings_classes)
    config.name, config.patch_size = "images", 16
    registry.modalities = {"images": config}
    whole = {
        "model": {"weight": torch.arange(6.0)},
        "best_val_loss": np.mean([torch.tensor(1.5)]),
        "model_args": {"n_layer": 3, "modalities": [config]},
        "modality_registry": registry,
    }
    torch.save(whole, tmp_path / "ckpt.pt")
    sys.modules.pop("elsewhere.settings")
    return tmp_path / "ckpt.pt"


def test_settings_are_read_as_records_without_their_package(saved: Path) -> None:
    found = read_records(saved, (*NAMES, *NUMPY_NUMBERS))
    (config,) = found["model_args"]["modalities"]
    assert type(config) is Record
    assert vars(config) == {"name": "images", "patch_size": 16}
    assert vars(found["modality_registry"])["modalities"] == {"images": config}
    assert found["model"]["weight"].tolist() == [0, 1, 2, 3, 4, 5]


def test_a_class_that_is_not_named_is_refused_by_its_name(saved: Path) -> None:
    with pytest.raises(CheckpointUnavailable, match=r"objects of elsewhere\.settings\.Config"):
        read_records(saved, (NAMES[0], *NUMPY_NUMBERS))


class Harmful:
    """What would run a command if it were unpickled."""

    def __init__(self, command: str) -> None:
        self._command = command

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (self._command,)


def test_nothing_that_comes_with_a_checkpoint_runs(tmp_path: Path) -> None:
    torch.save({"model": {}, "extra": Harmful(f"touch {tmp_path / 'ran'}")}, tmp_path / "ckpt.pt")
    for names in ((), ("posix.system",)):
        with pytest.raises(CheckpointUnavailable):
            read_records(tmp_path / "ckpt.pt", names)
    assert not (tmp_path / "ran").exists()


def write_words(file: Path) -> None:
    file.write_text("not a checkpoint")


def write_half(file: Path) -> None:
    torch.save({"model": {"weight": torch.zeros(1000)}}, file)
    file.write_bytes(file.read_bytes()[:2000])


def write_a_tensor(file: Path) -> None:
    torch.save(torch.zeros(3), file)


@pytest.mark.parametrize("spoil", [write_words, write_half, write_a_tensor, lambda file: file.write_bytes(b"")])
def test_what_is_no_checkpoint_is_refused(spoil: Callable[[Path], None], tmp_path: Path) -> None:
    spoil(tmp_path / "ckpt.pt")
    with pytest.raises(CheckpointUnavailable, match=r"ckpt\.pt (cannot be read|holds a Tensor)"):
        read_records(tmp_path / "ckpt.pt", NUMPY_NUMBERS)


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "a/../../b", "a\\b", ""])
def test_a_file_outside_the_checkpoint_is_not_looked_for(name: str, fake_model: ModelRef, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("")
    (tmp_path / "hub").mkdir()
    with pytest.raises(CheckpointUnavailable):
        find_file(fake_model, tmp_path / "hub", name)


def test_a_file_of_a_stand_in_is_found_where_it_lies(fake_model: ModelRef, tmp_path: Path) -> None:
    (tmp_path / "astropt").mkdir()
    (tmp_path / "astropt" / "ckpt.pt").write_text("")
    assert find_file(fake_model, tmp_path, "astropt/ckpt.pt") == tmp_path / "astropt" / "ckpt.pt"
    with pytest.raises(CheckpointUnavailable, match=r"has no file other\.pt"):
        find_file(fake_model, tmp_path, "other.pt")


# Two files of a public id: one that is there, and one that is not.
_FETCH = """
import json, sys
from embedder.adapters.files import find_file
from embedder.catalogue.models import find_model
from embedder.resolve import resolve_model
from shared.errors import CheckpointUnavailable
from shared.settings import Settings

model = resolve_model(find_model("astropt-015m"), Settings.read({}))
found = find_file(model, None, "astropt/015M/ckpt.pt").read_text()
try:
    find_file(model, None, "astropt/015M/other.pt")
except CheckpointUnavailable as error:
    print(json.dumps([model.revision, found, str(error)]))
"""


def test_a_file_of_the_hub_is_fetched_at_its_commit_and_kept(serve_hub: Callable[[], str], tmp_path: Path) -> None:
    place = tmp_path / "served" / "models" / "Smith42" / "astroPT_v2.0" / "astropt" / "015M"
    place.mkdir(parents=True)
    (place / "ckpt.pt").write_text("weights")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "SAMESKY_"))}
    clean |= {"PYTHONPATH": os.pathsep.join(sys.path), "HF_HOME": str(tmp_path / "home")}

    def fetch(**environment: str) -> str:
        command = [sys.executable, "-c", _FETCH]
        return subprocess.run(command, env={**clean, **environment}, capture_output=True, text=True, check=True).stdout

    commit, found, refusal = json.loads(fetch(HF_ENDPOINT=serve_hub()))
    assert len(commit) == 40
    assert found == "weights"
    assert "lacks a file: " in refusal
    assert "astropt/015M/other.pt" in refusal
    kept = json.loads(fetch(HF_HUB_OFFLINE="1"))
    assert kept[:2] == [commit, "weights"]
    assert "is not in the local cache, and HF_HUB_OFFLINE is set" in kept[2]
