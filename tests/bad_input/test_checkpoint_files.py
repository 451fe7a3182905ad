"""Checkpoints: one that does not fit its own description is refused by name, and one with code in it is not run."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given
from hypothesis import settings as tuned
from hypothesis import strategies as some

from embedder.adapters.base import Adapter
from embedder.adapters.loading import load_adapter
from embedder.catalogue.models import find_model
from embedder.resolve import resolve_model
from shared.errors import CheckpointUnavailable
from shared.settings import Settings

Plain = dict[str, Any]
Refused = Callable[..., AbstractContextManager[None]]
FILE = "specformer.ckpt of polymathic-ai/specformer at local-"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings by which the checkpoint of this test's own folder stands for the public one."""
    hub = {"SAMESKY_HUB_DIR": str(tmp_path / "hub")}
    return Settings.read({**hub, "SAMESKY_DEVICE": "cpu", "SAMESKY_THREADS": "1"})


def save(settings: Settings, checkpoint: Any) -> Path:
    assert settings.hub_dir is not None
    path = settings.hub_dir / "models" / "polymathic-ai" / "specformer" / "specformer.ckpt"
    path.parent.mkdir(parents=True)
    torch.save(checkpoint, path)
    return path


def load(settings: Settings) -> Adapter:
    return load_adapter(resolve_model(find_model("specformer-base"), settings), settings)


def change_hyper(**changed: Any) -> Callable[[Plain], Any]:
    def change(checkpoint: Plain) -> Any:
        given = {**checkpoint["hyper_parameters"], **changed}
        kept = {name: value for name, value in given.items() if value is not None}
        return {**checkpoint, "hyper_parameters": kept}

    return change


def change_tensors(changed: Mapping[str, Any]) -> Callable[[Plain], Any]:
    def change(checkpoint: Plain) -> Any:
        given = {**checkpoint["state_dict"], **changed}
        kept = {name: value for name, value in given.items() if value is not None}
        return {**checkpoint, "state_dict": kept}

    return change


MISFITS: list[tuple[str, Callable[[Plain], Any], str]] = [
    ("no dict", lambda checkpoint: [1.0], "is no checkpoint of a Specformer; expected a dict with hyper_parameters"),
    ("no weights", lambda checkpoint: {**checkpoint, "state_dict": None}, "is no checkpoint of a Specformer"),
    ("weights in a list", lambda checkpoint: {**checkpoint, "state_dict": []}, "is no checkpoint of a Specformer"),
    ("no depth", change_hyper(num_layers=None, max_len=None), "lacks the hyper-parameters num_layers, max_len"),
    (
        "a word of another model",
        change_hyper(num_head=3),
        "'num_head'; expected a known hyper-parameter of a Specformer; did",
    ),
    ("depth in words", change_hyper(num_layers="two"), "num_layers is 'two'; expected a whole number from 1 to 100"),
    ("too deep", change_hyper(num_layers=10**9), "num_layers is 1000000000"),
    ("depth yes", change_hyper(num_layers=True), "num_layers is True"),
    ("no heads", change_hyper(num_heads=0), "num_heads is 0"),
    ("heads that do not divide", change_hyper(num_heads=5), "embed_dim 24 is no multiple of num_heads 5"),
    ("sections of another width", change_hyper(slice_section_length=30), "input_dim 22 is not slice_section_length"),
    ("more blocks than said", change_hyper(num_layers=1), "has 12 tensors too many, such as blocks.1."),
    ("fewer blocks than said", change_hyper(num_layers=3), "lacks or misshapes 12 tensors, such as blocks.2."),
    ("fewer positions", change_hyper(max_len=39), "lacks or misshapes 1 tensors, such as position_embed.weight"),
    ("a lost tensor", change_tensors({"head.bias": None}), "1 tensors, such as head.bias"),
    ("a tensor that is none", change_tensors({"head.bias": [0.0] * 22}), "1 tensors, such as head.bias"),
    ("whole numbers", change_tensors({"head.bias": torch.zeros(22, dtype=torch.int64)}), "1 tensors, such as head"),
    ("depth in a tensor", change_hyper(num_layers=torch.zeros(9, 9)), "num_layers is tensor([[0., 0., "),
    ("a word of 10,000 letters", change_hyper(**{"x" * 10_000: 1}), "there is no hyper-parameter of a Specformer 'xxx"),
    ("a tensor that prints no more", change_tensors({"\x1b[2J": torch.zeros(1)}), "such as \\x1b[2J"),
    ("a foreign tensor", change_tensors({"model.head.bias": torch.zeros(22)}), "1 tensors too many, such as model"),
]


@pytest.mark.parametrize(("change", "says"), [pytest.param(*case, id=name) for name, *case in MISFITS])
def test_a_checkpoint_is_refused(
    refused: Refused,
    settings: Settings,
    specformer_checkpoint: Plain,
    change: Callable[[Plain], Any],
    says: str,
) -> None:
    save(settings, change(specformer_checkpoint))
    with refused(CheckpointUnavailable, FILE):
        load(settings)
    with refused(CheckpointUnavailable, says):
        load(settings)


class Evil:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize("part", ["hyper_parameters", "state_dict", "callbacks"])
def test_code_in_a_checkpoint_is_refused_and_not_run(
    refused: Refused, settings: Settings, specformer_checkpoint: Plain, tmp_path: Path, part: str
) -> None:
    save(settings, {**specformer_checkpoint, part: Evil(tmp_path / "made")})
    with refused(CheckpointUnavailable, " asks for posix.mkdir, which is code"):
        load(settings)
    assert not (tmp_path / "made").exists()


@pytest.mark.filterwarnings("ignore:Detected pickle protocol", "ignore:TypedStorage is deprecated")
@tuned(
    max_examples=100,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    cut=some.none() | some.floats(0, 1, exclude_max=True),
    changes=some.lists(some.tuples(some.integers(0, 1500), some.integers(0, 255)), min_size=1, max_size=3),
)
def test_any_damage_is_refused_or_leaves_it_whole(
    damage: tuple[Settings, Path, bytes], cut: float | None, changes: list[tuple[int, int]]
) -> None:
    """Cut short, or with bytes changed where the pickle says what there is."""
    settings, path, whole = damage
    damaged = bytearray(whole if cut is None else whole[: int(cut * len(whole))])
    if cut is None:
        for place, byte in changes:
            damaged[whole.index(b"hyper_parameters") - 40 + place] = byte
    path.write_bytes(damaged)
    try:
        said = f"{load(settings).blocks} blocks, as {FILE}"
    except CheckpointUnavailable as error:
        said = str(error)
    assert FILE in said
    assert said.isprintable()
    assert len(said) < 1000


@pytest.fixture
def damage(settings: Settings, specformer_checkpoint: Plain) -> tuple[Settings, Path, bytes]:
    """A checkpoint as it was saved, where it lies, and settings that find it."""
    path = save(settings, specformer_checkpoint)
    return settings, path, path.read_bytes()
