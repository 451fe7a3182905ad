"""CLIP: a tiny model of the real class, both halves of it saved, of which the half that sees is read."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from safetensors.torch import load_file, save_file

from embedder.adapters.hf_clip import HfClipAdapter
from embedder.adapters.loading import load_adapter
from embedder.catalogue.models import find_model
from embedder.resolve import resolve_model
from shared.errors import CheckpointUnavailable, UnknownName
from shared.settings import Settings

Floats = npt.NDArray[np.float32]
Pictures = list[npt.NDArray[np.uint8]]
BLOCKS, WIDTH, SHARED = 3, 16, 12  # as it is saved


def load(settings: Settings, **changes: Any) -> HfClipAdapter:
    model = resolve_model(find_model("clip-base"), settings).model_copy(update=changes)
    adapter = load_adapter(model, settings)
    assert isinstance(adapter, HfClipAdapter)
    return adapter


def encode(adapter: HfClipAdapter, inputs: Sequence[Any], layer: str = "final") -> Floats:
    (vectors,) = adapter.encode(inputs, [layer])
    return vectors


@pytest.mark.usefixtures("save_clip")
def test_a_vector_depends_on_its_object_alone(settings: Settings, pictures: Pictures) -> None:
    adapter = load(settings)
    inputs = [adapter.prepare(picture) for picture in pictures]
    for layer, width in (("final", SHARED), ("block-01", WIDTH)):
        together = encode(adapter, inputs, layer)
        assert together.shape == (7, width)
        assert together.dtype == np.float32
        size = np.abs(together).max()
        alone = np.concatenate([encode(adapter, [one], layer) for one in inputs])
        assert np.abs(alone - together).max() / size < 1e-5
        assert np.abs(encode(adapter, inputs[::-1], layer)[::-1] - together).max() / size < 1e-5
        assert (encode(adapter, inputs, layer) == together).all()
        distances = np.linalg.norm(together[:, None] - together[None], axis=2)[~np.eye(7, dtype=bool)]
        assert distances.min() / size > 1e-3


def test_layers_are_class_tokens_and_the_last_is_projected(
    save_clip: Path, settings: Settings, pictures: Pictures
) -> None:
    import transformers

    adapter = load(settings)
    assert adapter.blocks == BLOCKS
    inputs = [adapter.prepare(picture) for picture in pictures]
    whole = transformers.CLIPModel.from_pretrained(save_clip).eval()
    with torch.inference_mode():
        pixels = torch.from_numpy(np.stack(inputs))
        states = whole.vision_model(pixels, output_hidden_states=True).hidden_states
        normed = torch.nn.functional.layer_norm(
            states[-1][:, 0],
            (WIDTH,),
            whole.vision_model.post_layernorm.weight,
            whole.vision_model.post_layernorm.bias,
            1e-5,
        )
        expected = (normed @ whole.visual_projection.weight.T).numpy()
    *blocks, final = adapter.encode(inputs, ["block-00", "block-01", "block-02", "final"])
    assert np.abs(final - expected).max() < 1e-5
    for number, found in enumerate(blocks):
        assert np.abs(found - states[number + 1][:, 0].numpy()).max() < 1e-5
    np.testing.assert_array_equal(final, encode(adapter, inputs))
    with pytest.raises(CheckpointUnavailable, match="has no block-03: it has 3 blocks"):
        encode(adapter, inputs, "block-03")


@pytest.mark.usefixtures("save_clip")
def test_the_half_for_texts_is_not_kept(settings: Settings) -> None:
    names = {name for name, _ in load(settings)._network.named_parameters()}
    assert names
    assert not any("text" in name for name in names)


@pytest.mark.usefixtures("save_clip")
def test_what_the_row_says_is_checked(settings: Settings) -> None:
    with pytest.raises(UnknownName, match="no pooling of CLIP 'mean'"):
        load(settings, pooling="mean")
    with pytest.raises(UnknownName, match="no option of CLIP 'prompt'"):
        load(settings, options={"prompt": "<image>"})


def lose_the_projection(save_clip: Path) -> None:
    tensors = load_file(save_clip / "model.safetensors")
    del tensors["visual_projection.weight"]
    save_file(tensors, save_clip / "model.safetensors", metadata={"format": "pt"})


def lose_a_block(save_clip: Path) -> None:
    tensors = load_file(save_clip / "model.safetensors")
    kept = {key: tensor for key, tensor in tensors.items() if "vision_model.encoder.layers.1" not in key}
    save_file(kept, save_clip / "model.safetensors", metadata={"format": "pt"})


def misshape_the_projection(save_clip: Path) -> None:
    config = json.loads((save_clip / "config.json").read_text())
    config["vision_config"]["projection_dim"] = SHARED + 1
    (save_clip / "config.json").write_text(json.dumps(config))


def forget_the_processor(save_clip: Path) -> None:
    (save_clip / "preprocessor_config.json").unlink()


@pytest.mark.parametrize("spoil", [lose_the_projection, lose_a_block, misshape_the_projection, forget_the_processor])
def test_a_checkpoint_that_does_not_fit_is_refused(
    spoil: Callable[[Path], None], save_clip: Path, settings: Settings
) -> None:
    spoil(save_clip)
    with pytest.raises(CheckpointUnavailable, match="openai/clip-vit-base-patch16"):
        load(settings)


@pytest.mark.parametrize(("size", "width", "layers", "patch"), [("base", 768, 12, 16), ("large", 1024, 24, 14)])
def test_rows_count_the_parameters_and_blocks_of_what_is_published(
    size: str, width: int, layers: int, patch: int
) -> None:
    """The shapes are those of the paper's table of vision transformers (arXiv 2103.00020)."""
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    shape = {"hidden_size": width, "intermediate_size": 4 * width, "num_hidden_layers": layers, "patch_size": patch}
    config = CLIPVisionConfig(
        **shape, num_attention_heads=width // 64, projection_dim=width * 3 // 4 if patch == 14 else 512
    )
    with torch.device("meta"):
        network = CLIPVisionModelWithProjection(config)
    row = find_model(f"clip-{size}")
    assert row.parameters == round(sum(one.numel() for one in network.parameters()) / 1e6)
    assert row.blocks == len(network.vision_model.encoder.layers)
