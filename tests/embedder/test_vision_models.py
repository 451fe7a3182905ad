"""What each vision family's vector is: computed again, by its own class or a sister's, and pooled by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
import transformers
from safetensors.torch import load_file

from embedder.adapters.base import Adapter
from embedder.adapters.loading import load_adapter
from embedder.catalogue.models import find_model, known_models
from embedder.resolve import resolve_model
from shared.errors import BadInput, UnknownName
from shared.settings import Settings

Pictures = list[npt.NDArray[np.uint8]]
Pool = Callable[[torch.Tensor], torch.Tensor]
SaveModel = Callable[..., Path]
FRAMES = 16


def _still(pixels: torch.Tensor) -> dict[str, torch.Tensor]:
    return {"pixel_values_videos": torch.stack([pixels] * FRAMES, dim=1)}


def _picture(pixels: torch.Tensor) -> dict[str, torch.Tensor]:
    return {"pixel_values": pixels}


def _cls(states: torch.Tensor) -> torch.Tensor:
    return states[:, 0]


def _mean(states: torch.Tensor) -> torch.Tensor:
    return states.mean(1)


# Of each family: its class, what it is given, the shape of its states for one picture, and how they become one vector.
FAMILIES: dict[str, tuple[str, Callable[[torch.Tensor], dict[str, torch.Tensor]], tuple[int, ...], Pool]] = {
    "vit-base": (
        "ViTModel",
        _picture,
        (17, 24),
        lambda states: states[:, -16:].mean(1),
    ),  # 16 patches after the CLS token
    "dinov2-small": ("Dinov2WithRegistersModel", _picture, (21, 24), _cls),
    "convnextv2-nano": ("ConvNextV2Model", _picture, (24, 1, 1), lambda states: states.mean((2, 3))),
    "ijepa-huge": ("IJepaModel", _picture, (16, 24), _mean),
    "dinov3-vits16": ("DINOv3ViTModel", _picture, (21, 24), _cls),  # CLS, 4 registers, 16 patches
    "vjepa2-large": ("VJEPA2Model", _still, (FRAMES // 2 * 16, 24), _mean),  # frames two by two
    "hiera-tiny": ("HieraModel", _picture, (4, 64), _mean),
}


def load(name: str, settings: Settings, **changes: Any) -> Adapter:
    return load_adapter(resolve_model(find_model(name), settings).model_copy(update=changes), settings)


def prepare(adapter: Adapter, pictures: Pictures) -> tuple[list[Any], torch.Tensor]:
    inputs = [adapter.prepare(picture) for picture in pictures]
    return inputs, torch.from_numpy(np.stack(inputs))  # type: ignore[arg-type]


def largest_difference(found: npt.NDArray[np.float32], expected: torch.Tensor) -> float:
    return float(np.abs(found - expected.numpy()).max() / expected.abs().max())


def test_every_vision_family_is_tried_here() -> None:
    families = {row.family for row in known_models().values() if row.adapter == "hf-vision"}
    assert families == {find_model(name).family for name in (*FAMILIES, "vit-mae-base")}


@pytest.mark.parametrize("name", FAMILIES)
def test_a_vector_is_the_pooled_output_of_the_model(
    name: str, settings: Settings, save_vision_model: SaveModel, pictures: Pictures
) -> None:
    of_class, give, shape, pool = FAMILIES[name]
    folder = save_vision_model(name)
    adapter = load(name, settings)
    inputs, pixels = prepare(adapter, pictures)
    network = getattr(transformers, of_class).from_pretrained(folder).eval()
    with torch.inference_mode():
        given = network(**give(pixels), output_hidden_states=True)
    assert given.last_hidden_state.shape[1:] == shape
    *blocks, final = adapter.encode(inputs, [*(f"block-{number:02d}" for number in range(adapter.blocks)), "final"])
    assert largest_difference(final, pool(given.last_hidden_state)) < 1e-5
    # Hiera tells the states after each of its stages, which end with these blocks; the others after every block.
    ends = [0, 2, 3, 4] if name == "hiera-tiny" else range(adapter.blocks)
    assert len(given.hidden_states) == len(ends) + 1
    for end, states in zip(ends, given.hidden_states[1:], strict=True):
        assert largest_difference(blocks[end], pool(states)) < 1e-5


@pytest.mark.parametrize("name", ["dinov2-small", "dinov3-vits16"])
def test_registers_are_left_out_of_the_patch_mean(
    name: str, settings: Settings, save_vision_model: SaveModel, pictures: Pictures
) -> None:
    folder = save_vision_model(name)
    adapter = load(name, settings, pooling="patch-mean")
    inputs, pixels = prepare(adapter, pictures)
    network = getattr(transformers, FAMILIES[name][0]).from_pretrained(folder).eval()
    with torch.inference_mode():
        states = network(pixel_values=pixels).last_hidden_state
    assert largest_difference(adapter.encode(inputs, ["final"])[0], states[:, -16:].mean(1)) < 1e-5


def test_the_order_of_the_tokens_of_hiera_does_not_matter(
    settings: Settings, save_vision_model: SaveModel, pictures: Pictures
) -> None:
    folder = save_vision_model("hiera-tiny")
    adapter = load("hiera-tiny", settings)
    inputs, pixels = prepare(adapter, pictures)
    network = transformers.HieraModel.from_pretrained(folder).eval()
    with torch.inference_mode():
        in_space = network(pixel_values=pixels, output_hidden_states=True).reshaped_hidden_states
    found = adapter.encode(inputs, ["block-00", "block-02", "block-03", "final"])
    for vectors, states in zip(found, in_space[1:], strict=True):  # (n, y, x, d), of 16, 8, 4 and 2 a side
        assert largest_difference(vectors, states.mean((1, 2))) < 1e-5


def test_a_masked_autoencoder_sees_all_of_a_picture_in_its_order(
    settings: Settings, save_vision_model: SaveModel, pictures: Pictures
) -> None:
    """Computed again by a ViT of the same weights, which knows of no masking."""
    save_vision_model("vit-mae-base")
    adapter = load("vit-mae-base", settings)
    inputs, pixels = prepare(adapter, pictures)
    masked = adapter._network  # type: ignore[attr-defined]
    shared = masked.config.to_dict().keys() & transformers.ViTConfig().to_dict().keys() - {"model_type"}
    config = transformers.ViTConfig(**{name: getattr(masked.config, name) for name in shared})
    plain = transformers.ViTModel(config, add_pooling_layer=False).eval()
    plain.load_state_dict(masked.state_dict(), strict=True)
    with torch.inference_mode():
        states = plain(pixel_values=pixels, output_hidden_states=True)
    first, final = adapter.encode(inputs, ["block-00", "final"])
    assert largest_difference(final, states.last_hidden_state[:, -16:].mean(1)) < 1e-5
    assert largest_difference(first, states.hidden_states[1][:, -16:].mean(1)) < 1e-5


def test_the_same_picture_twice_gives_the_same_vector(
    settings: Settings, save_vision_model: SaveModel, pictures: Pictures
) -> None:
    save_vision_model("vit-mae-base")
    unmasked, masked = load("vit-mae-base", settings), load("vit-mae-base", settings, options={})
    assert unmasked._network.config.mask_ratio == 0.75  # type: ignore[attr-defined]
    given = [unmasked.prepare(pictures[0])]
    seen: list[list[npt.NDArray[np.float32]]] = []
    for adapter in (unmasked, masked):
        seen.append([])
        for seed in (1, 2):
            torch.manual_seed(seed)
            seen[-1] += adapter.encode(given, ["final"])
    np.testing.assert_array_equal(*seen[0])
    assert np.abs(seen[1][0] - seen[1][1]).max() > 1e-3  # as it would be with masking


def test_a_decoder_that_is_not_needed_is_left_out_in_silence(
    settings: Settings, save_vision_model: SaveModel, caplog: pytest.LogCaptureFixture
) -> None:
    folder = save_vision_model("vit-mae-base")
    assert any(name.startswith("decoder.") for name in load_file(folder / "model.safetensors"))
    adapter = load("vit-mae-base", settings)
    assert not any("decoder" in name for name, _ in adapter._network.named_parameters())  # type: ignore[attr-defined]
    assert not caplog.records


@pytest.mark.parametrize("frames", [2, 16])
def test_frames_of_a_still_share_their_memory(
    frames: int, settings: Settings, save_vision_model: SaveModel, pictures: Pictures
) -> None:
    save_vision_model("vjepa2-large")
    adapter = load("vjepa2-large", settings, options={"frames": frames})
    given: dict[str, Any] = {}
    network = adapter._network  # type: ignore[attr-defined]
    network.register_forward_pre_hook(lambda module, inputs, named: given.update(named), with_kwargs=True)
    network.predictor.register_forward_hook(lambda *of: pytest.fail("the predictor was run"))
    adapter.encode([adapter.prepare(picture) for picture in pictures], ["final"])
    video = given["pixel_values_videos"]
    assert video.shape == (7, frames, 3, 32, 32)
    assert video.stride()[1] == 0


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"masking": "on"}, BadInput, "the option masking is 'on'; expected off"),
        ({"frames": 0}, BadInput, "the option frames is 0; expected a whole number from 2 to 64"),
        ({"frames": 16.0}, BadInput, "frames is 16.0"),
        ({"frames": "16"}, BadInput, "frames is '16'"),
        ({"frames": 10**9}, BadInput, "frames is 1000000000"),
        ({"resize": "bilinear"}, BadInput, "the option resize is 'bilinear'; expected float"),
        ({"mask": "off"}, UnknownName, "no option of a vision model 'mask'.*did you mean masking"),
        ({"prompt": "<image> "}, UnknownName, "known: frames, masking, resize"),
    ],
)
def test_an_option_that_is_none_is_refused(
    options: dict[str, Any], error: type[Exception], says: str, settings: Settings, save_vision_model: SaveModel
) -> None:
    save_vision_model("vit-base")
    with pytest.raises(error, match=says):
        load("vit-base", settings, options=options)


def test_a_pooling_that_is_none_is_refused(settings: Settings, save_vision_model: SaveModel) -> None:
    save_vision_model("vit-base")
    with pytest.raises(UnknownName, match=r"no pooling of a vision model 'patches'.*did you mean patch-mean"):
        load("vit-base", settings, pooling="patches")
