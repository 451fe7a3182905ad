"""The checkpoint of a Specformer: the published layout is read as data; what does not fit, or is code, is refused."""

from __future__ import annotations

import copyreg
import os
import sys
import types
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given
from hypothesis import settings as tuned
from hypothesis import strategies as some

from embedder.adapters.loading import load_adapter
from embedder.adapters.specformer import SpecformerAdapter
from embedder.catalogue.models import find_model
from embedder.recipes import Dropped
from embedder.resolve import resolve_model
from shared.errors import CheckpointUnavailable
from shared.settings import Settings

Plain = dict[str, Any]


def save(settings: Settings, checkpoint: Any) -> Path:
    assert settings.hub_dir is not None
    path = settings.hub_dir / "models" / "polymathic-ai" / "specformer" / "specformer.ckpt"
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(checkpoint, path)
    return path


def load(settings: Settings) -> SpecformerAdapter:
    adapter = load_adapter(resolve_model(find_model("specformer-base"), settings), settings)
    assert isinstance(adapter, SpecformerAdapter)
    return adapter


@contextmanager
def lightning_dict(*, says_its_state: bool) -> Iterator[type[dict[str, Any]]]:
    """The class of the published `hyper_parameters`, under its name: there while a checkpoint is written, then gone.

    says_its_state: as up to Python 3.10, where an empty state of the object is written too.
    """

    class AttributeDict(dict[str, Any]):
        def __reduce_ex__(self, protocol: Any) -> Any:
            state = {} if says_its_state else None
            return copyreg.__newobj__, (AttributeDict,), state, None, iter(self.items())  # type: ignore[attr-defined]

    place = "lightning.fabric.utilities.data"
    AttributeDict.__module__, AttributeDict.__qualname__ = place, "AttributeDict"
    names = ["lightning", "lightning.fabric", "lightning.fabric.utilities", place]
    sys.modules.update({name: types.ModuleType(name) for name in names})
    vars(sys.modules[place])["AttributeDict"] = AttributeDict
    try:
        yield AttributeDict
    finally:
        for name in names:
            del sys.modules[name]


@pytest.mark.parametrize("says_its_state", [False, True])
def test_the_published_class_of_hyper_parameters_is_read_without_lightning(
    settings: Settings, specformer_checkpoint: Plain, *, says_its_state: bool
) -> None:
    flux = np.random.default_rng(0).normal(1, 1, 207).astype(np.float32)

    def embed() -> Any:
        adapter = load(settings)
        tokens = adapter.prepare(flux)
        assert not isinstance(tokens, Dropped)
        return adapter.encode([tokens], ["final"])[0]

    save(settings, specformer_checkpoint)
    expected = embed()
    with lightning_dict(says_its_state=says_its_state) as kind:
        hyper_parameters = kind(specformer_checkpoint["hyper_parameters"])
        save(settings, {**specformer_checkpoint, "hyper_parameters": hyper_parameters})
    assert "lightning" not in sys.modules
    assert (embed() == expected).all()


def test_what_lightning_writes_besides_is_left_alone(settings: Settings, specformer_checkpoint: Plain) -> None:
    specformer_checkpoint["hyper_parameters"]["_instantiator"] = "lightning.pytorch.cli.instantiate_module"
    notes = {"epoch": 3, "global_step": 9, "pytorch-lightning_version": "2.1.0", "optimizer_states": [], "loops": {}}
    save(settings, {**notes, **specformer_checkpoint})
    assert load(settings).blocks == 2


class Evil:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize("part", ["hyper_parameters", "state_dict", "callbacks"])
def test_code_in_a_checkpoint_is_refused_and_not_run(
    settings: Settings, specformer_checkpoint: Plain, tmp_path: Path, part: str
) -> None:
    save(settings, {**specformer_checkpoint, part: Evil(tmp_path / "made")})
    with pytest.raises(CheckpointUnavailable, match=r"specformer\.ckpt of polymathic-ai.* asks for posix\.mkdir"):
        load(settings)
    assert not (tmp_path / "made").exists()


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
    ("no dict", lambda checkpoint: [1.0], r"is no checkpoint of a Specformer; expected a dict with hyper_parameters"),
    ("no weights", lambda checkpoint: {**checkpoint, "state_dict": None}, "is no checkpoint of a Specformer"),
    ("weights in a list", lambda checkpoint: {**checkpoint, "state_dict": []}, "is no checkpoint of a Specformer"),
    ("no depth", change_hyper(num_layers=None, max_len=None), "lacks the hyper-parameters num_layers, max_len"),
    ("a word of another model", change_hyper(num_head=3), "'num_head'.*did you mean num_heads"),
    ("depth in words", change_hyper(num_layers="two"), "num_layers is 'two'; expected a whole number from 1 to 100"),
    ("too deep", change_hyper(num_layers=10**9), "num_layers is 1000000000"),
    ("depth yes", change_hyper(num_layers=True), "num_layers is True"),
    ("no heads", change_hyper(num_heads=0), "num_heads is 0"),
    ("heads that do not divide", change_hyper(num_heads=5), "embed_dim 24 is no multiple of num_heads 5"),
    ("sections of another width", change_hyper(slice_section_length=30), "input_dim 22 is not slice_section_length"),
    ("more blocks than said", change_hyper(num_layers=1), r"has 12 tensors too many, such as blocks\.1\."),
    ("fewer blocks than said", change_hyper(num_layers=3), r"lacks or misshapes 12 tensors, such as blocks\.2\."),
    ("fewer positions", change_hyper(max_len=39), r"lacks or misshapes 1 tensors, such as position_embed\.weight"),
    ("a lost tensor", change_tensors({"head.bias": None}), r"1 tensors, such as head\.bias"),
    ("a tensor that is none", change_tensors({"head.bias": [0.0] * 22}), r"1 tensors, such as head\.bias"),
    ("whole numbers", change_tensors({"head.bias": torch.zeros(22, dtype=torch.int64)}), r"1 tensors, such as head"),
    ("a foreign tensor", change_tensors({"model.head.bias": torch.zeros(22)}), "1 tensors too many, such as model"),
]


@pytest.mark.parametrize(("change", "said"), [case[1:] for case in MISFITS], ids=[case[0] for case in MISFITS])
def test_a_checkpoint_that_does_not_fit_is_refused(
    settings: Settings, specformer_checkpoint: Plain, change: Callable[[Plain], Any], said: str
) -> None:
    save(settings, change(specformer_checkpoint))
    with pytest.raises(CheckpointUnavailable, match=said) as caught:
        load(settings)
    assert "specformer.ckpt of polymathic-ai/specformer at local-" in str(caught.value)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol", "ignore:TypedStorage is deprecated")
@tuned(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    cut=some.none() | some.floats(0, 1, exclude_max=True),
    changes=some.lists(some.tuples(some.integers(0, 1500), some.integers(0, 255)), min_size=1, max_size=3),
)
def test_a_damaged_checkpoint_is_refused_or_still_fits(
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
        blocks = load(settings).blocks
    except CheckpointUnavailable:
        blocks = 2
    assert blocks == 2


@pytest.fixture
def damage(settings: Settings, specformer_checkpoint: Plain) -> tuple[Settings, Path, bytes]:
    """A checkpoint as it was saved, where it lies, and settings that find it."""
    path = save(settings, specformer_checkpoint)
    return settings, path, path.read_bytes()
