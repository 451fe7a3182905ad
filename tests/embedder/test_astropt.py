"""AstroPT: a tiny checkpoint of the package's own network, in the form of the public one, loaded as workers do."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from embedder.adapters.base import Adapter
from embedder.adapters.loading import load_adapter
from embedder.catalogue.models import find_model
from embedder.resolve import resolve_model
from shared.contracts import ModelRef
from shared.errors import CheckpointUnavailable
from shared.settings import Settings

Pictures = list[npt.NDArray[np.uint8]]
NAME, FILE = "astropt-015m", "astropt/015M/ckpt.pt"
BLOCKS = 5
Save = Callable[..., Path]


@pytest.fixture
def save(tmp_path: Path) -> Save:
    """Save a checkpoint of random weights under its public id; skip where the package is not installed."""
    package = pytest.importorskip("astropt.model", reason="the package astropt is not installed")

    def make(prefix: str = "", lose: str = "", **changed: Any) -> Path:
        kind = {"name": "images", "input_size": 768, "patch_size": 16, "embed_pos": True, "pos_input_size": 1}
        seen = [package.ModalityConfig(**{**kind, **changed})]
        settings = {"n_layer": BLOCKS, "n_head": 2, "n_embd": 24, "n_chan": 3, "block_size": 64, "dropout": 0.1}
        torch.manual_seed(0)
        network = package.GPT(package.GPTConfig(**settings), package.ModalityRegistry(seen), master_process=False)
        file = tmp_path / "hub" / "models" / find_model(NAME).checkpoint / FILE
        file.parent.mkdir(parents=True)
        whole = {
            "model": {f"{prefix}{name}": value for name, value in network.state_dict().items() if name != lose},
            "optimizer": torch.optim.AdamW(network.parameters()).state_dict(),
            "model_args": {**settings, "modalities": seen, "attn_type": "causal"},
            "iter_num": 5,
            "best_val_loss": np.mean([torch.tensor(0.5)]),
            "config": {"n_layer": BLOCKS, "compile": True},
            "modality_registry": package.ModalityRegistry(seen),
        }
        torch.save(whole, file)
        return file

    return make


def pin(settings: Settings) -> ModelRef:
    return resolve_model(find_model(NAME), settings)


@pytest.fixture
def adapter(save: Save, settings: Settings) -> Adapter:
    save()
    return load_adapter(pin(settings), settings)


def encode(adapter: Adapter, inputs: list[Any], layer: str = "final") -> npt.NDArray[np.float32]:
    (vectors,) = adapter.encode(inputs, [layer])
    return vectors


def test_without_the_package_it_says_how_to_install_it(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "hub" / "models" / find_model(NAME).checkpoint).mkdir(parents=True)
    monkeypatch.delitem(sys.modules, "astropt.model", raising=False)
    monkeypatch.setitem(sys.modules, "astropt", None)
    with pytest.raises(CheckpointUnavailable, match=r"the package astropt, which this model needs") as caught:
        load_adapter(pin(settings), settings)
    assert caught.value.remedy == (
        "in this repository, pip install '.[astropt]' -c constraints-astropt.txt where the embedder runs"
    )


def test_a_vector_is_the_object_s_own(adapter: Adapter, pictures: Pictures) -> None:
    inputs = [adapter.prepare(picture) for picture in pictures]
    together = encode(adapter, inputs)
    assert together.shape == (7, 24)
    assert together.dtype == np.float32
    size = np.abs(together).max()
    for apart in (
        np.concatenate([encode(adapter, [one]) for one in inputs]),
        encode(adapter, inputs[::-1])[::-1],
        np.concatenate([encode(adapter, inputs[:3]), encode(adapter, inputs[3:])]),
    ):
        assert np.abs(apart - together).max() / size < 1e-5
    assert (encode(adapter, inputs) == together).all()
    distances = np.linalg.norm(together[:, None] - together[None], axis=2)[~np.eye(7, dtype=bool)]
    assert distances.min() / size > 1e-4


def test_the_final_layer_is_what_the_package_itself_gives(save: Save, settings: Settings, pictures: Pictures) -> None:
    package = pytest.importorskip("astropt.model")
    file = save()
    adapter = load_adapter(pin(settings), settings)
    inputs: list[Any] = [adapter.prepare(picture) for picture in pictures]
    whole = torch.load(file, weights_only=False)  # our own file, made a moment ago
    network = package.GPT(package.GPTConfig(**whole["model_args"]), whole["modality_registry"], master_process=False)
    network.load_state_dict(whole["model"])
    batch = {name: torch.from_numpy(np.stack([one[name] for one in inputs])) for name in inputs[0]}
    assert batch["images"].shape == (7, 36, 768)
    expected = network.eval().generate_embeddings(batch)["images"].numpy()
    assert np.abs(encode(adapter, inputs) - expected).max() < 1e-6


def test_all_layers_come_of_one_pass_and_the_middle_one_is_final(adapter: Adapter, pictures: Pictures) -> None:
    assert adapter.blocks == BLOCKS
    inputs = [adapter.prepare(picture) for picture in pictures]
    layers = [*(f"block-{number:02d}" for number in range(BLOCKS)), "final"]
    vectors = dict(zip(layers, adapter.encode(inputs, layers), strict=True))
    assert (vectors["final"] == encode(adapter, inputs)).all()
    assert [layer for layer in layers if (vectors[layer] == vectors["final"]).all()] == [
        f"block-{BLOCKS // 2:02d}",
        "final",
    ]
    with pytest.raises(CheckpointUnavailable, match="has no block-05"):
        adapter.encode(inputs, ["block-05"])


def test_a_black_picture_has_a_direction(adapter: Adapter) -> None:
    assert encode(adapter, [adapter.prepare(np.zeros((96, 96, 3), np.uint8))]).any()


def test_pictures_of_other_sizes_have_other_numbers_of_patches(adapter: Adapter) -> None:
    small, large = (np.random.default_rng(side).integers(0, 255, (side, side, 3), np.uint8) for side in (32, 128))
    assert [len(adapter.prepare(picture)["images"]) for picture in (small, large)] == [4, 64]  # type: ignore[index, call-overload]
    assert encode(adapter, [adapter.prepare(large)]).any()
    for side in (100, 144):  # no whole number of patches, and more than the network has places for
        with pytest.raises(CheckpointUnavailable, match="not cut into at most 64 patches of 16"):
            adapter.prepare(np.zeros((side, side, 3), np.uint8))


def test_half_precision_is_near(save: Save, settings: Settings, pictures: Pictures) -> None:
    save()
    full, half = (load_adapter(pin(settings), settings, dtype) for dtype in ("float32", "bfloat16"))
    inputs = [full.prepare(picture) for picture in pictures]
    exact, rounded = encode(full, inputs), encode(half, inputs)
    assert rounded.dtype == np.float32
    assert 0 < np.abs(rounded - exact).max() / np.abs(exact).max() < 0.05


def test_weights_of_a_compiled_network_are_the_same_weights(
    save: Save, settings: Settings, tmp_path: Path, pictures: Pictures
) -> None:
    save()
    plain = load_adapter(pin(settings), settings)
    inputs = [plain.prepare(picture) for picture in pictures]
    file = tmp_path / "hub" / "models" / find_model(NAME).checkpoint / FILE
    whole = torch.load(file, weights_only=False)  # our own file, made a moment ago
    whole["model"] = {f"_orig_mod.{name}": value for name, value in whole["model"].items()}
    torch.save(whole, file)
    assert (encode(load_adapter(pin(settings), settings), inputs) == encode(plain, inputs)).all()


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"lose": "transformer.ln_f.weight"}, "transformer.ln_f.weight"),
        ({"prefix": "other."}, "does not fit the package astropt"),
        ({"patch_size": 7}, "images alone, in square patches of three colours"),
        ({"input_size": 256}, "images alone, in square patches of three colours"),
        ({"name": "spectra"}, "takes spectra"),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_refused(
    given: dict[str, Any], says: str, save: Save, settings: Settings
) -> None:
    save(**given)
    with pytest.raises(CheckpointUnavailable, match=says):
        load_adapter(pin(settings), settings)


def test_a_checkpoint_without_its_size_is_refused(save: Save, settings: Settings) -> None:
    save().rename(settings.hub_dir / "elsewhere.pt")  # type: ignore[operator]
    with pytest.raises(CheckpointUnavailable, match=r"has no file astropt/015M/ckpt\.pt"):
        load_adapter(pin(settings), settings)
