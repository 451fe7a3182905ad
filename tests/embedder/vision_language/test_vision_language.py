"""What a vision-language model's vector is: its object's own, and what a straight line computes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from embedder.adapters.hf_vision_language import HfVisionLanguageAdapter
from embedder.catalogue.models import find_model
from embedder.device import find_dtype
from embedder.resolve import resolve_model
from shared.errors import CheckpointUnavailable
from shared.settings import Settings

Floats = npt.NDArray[np.float32]
Pictures = list[npt.NDArray[np.uint8]]
Load = Callable[..., HfVisionLanguageAdapter]
START, SPACE, NEWLINE = 1, 6, 5  # of the tiny tokenizers
BLOCKS, WIDTH, SIDE = 3, 24, 28


def encode(adapter: HfVisionLanguageAdapter, inputs: Sequence[Any], layer: str = "final") -> Floats:
    (vectors,) = adapter.encode(inputs, [layer])
    return vectors


def test_a_vector_depends_on_its_object_alone(name: str, load: Load, pictures: Pictures) -> None:
    adapter = load(name)
    inputs = [adapter.prepare(picture) for picture in pictures]
    for layer in ("final", "block-00"):
        together = encode(adapter, inputs, layer)
        assert together.shape == (7, WIDTH)
        assert together.dtype == np.float32
        size = np.abs(together).max()
        alone = np.concatenate([encode(adapter, [one], layer) for one in inputs])
        assert np.abs(alone - together).max() / size < 1e-5
        assert np.abs(encode(adapter, inputs[::-1], layer)[::-1] - together).max() / size < 1e-5
        halves = np.concatenate([encode(adapter, inputs[:3], layer), encode(adapter, inputs[3:], layer)])
        assert np.abs(halves - together).max() / size < 1e-5
        assert (encode(adapter, inputs, layer) == together).all()
        distances = np.linalg.norm(together[:, None] - together[None], axis=2)[~np.eye(7, dtype=bool)]
        assert distances.min() / size > 1e-3
    assert encode(adapter, [adapter.prepare(np.zeros((96, 96, 3), np.uint8))]).any()
    # What is given to the processor is turned into input by itself, again and again the same.
    for key, value in adapter.prepare(pictures[0]).items():
        np.testing.assert_array_equal(value, inputs[0][key])


def show(picture: npt.NDArray[np.uint8], side: int, mean: Sequence[float], std: Sequence[float]) -> torch.Tensor:
    """`(3, side, side)`: resized by PIL, bicubic, and normalised."""
    from PIL import Image

    resized = np.asarray(Image.fromarray(picture).resize((side, side), Image.Resampling.BICUBIC), np.float64)
    return torch.from_numpy(((resized / 255 - mean) / std).transpose(2, 0, 1)).float()


CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)  # arXiv 2103.00020


def states_of_paligemma(model: Any, picture: npt.NDArray[np.uint8]) -> Any:
    """Picture, begin of text, prompt and newline see each other both ways (arXiv 2407.07726); positions from 1."""
    pixels = show(picture, SIDE, (0.5,) * 3, (0.5,) * 3)
    seen = model.multi_modal_projector(model.vision_tower(pixels[None]).last_hidden_state)[0]
    words = model.language_model.embed_tokens(torch.tensor([START, SPACE, NEWLINE]))
    given = torch.cat([seen, words])[None]
    open_to_all = torch.zeros(1, 1, len(given[0]), len(given[0]))
    masks = {"full_attention": open_to_all, "sliding_attention": open_to_all}
    places = torch.arange(1, len(given[0]) + 1)[None]
    return model.language_model(inputs_embeds=given, attention_mask=masks, position_ids=places).last_hidden_state[0]


def states_of_llava(model: Any, picture: npt.NDArray[np.uint8]) -> Any:
    """The last layer of the tower but one, without its class token, between the mark and the prompt's space."""
    pixels = show(picture, SIDE, CLIP_MEAN, CLIP_STD)
    seen = model.vision_tower(pixels[None], output_hidden_states=True).hidden_states[-2][0, 1:]
    start, space = model.language_model.embed_tokens(torch.tensor([START, SPACE]))
    given = torch.cat([start[None], model.multi_modal_projector(seen), space[None]])
    return model.language_model(inputs_embeds=given[None]).last_hidden_state[0]


def states_of_onevision(model: Any, picture: npt.NDArray[np.uint8]) -> Any:
    """The whole picture, then four parts of it at twice the side, read by rows, each of which ends in a mark."""
    large = show(picture, 2 * SIDE, CLIP_MEAN, CLIP_STD)
    parts = [large[:, y : y + SIDE, x : x + SIDE] for y in (0, SIDE) for x in (0, SIDE)]
    tower = torch.stack([show(picture, SIDE, CLIP_MEAN, CLIP_STD), *parts])
    seen = model.multi_modal_projector(model.vision_tower(tower, output_hidden_states=True).hidden_states[-1])
    rows = []
    for y in range(4):
        for x in range(4):
            rows.append(seen[1 + y // 2 * 2 + x // 2, y % 2 * 2 + x % 2])
        rows.append(model.image_newline)
    space = model.language_model.embed_tokens(torch.tensor([SPACE]))
    given = torch.cat([seen[0], torch.stack(rows), space])
    return model.language_model(inputs_embeds=given[None]).last_hidden_state[0]


STRAIGHT = {
    "paligemma2-3b": (states_of_paligemma, 7),
    "llava-1.5-7b": (states_of_llava, 6),
    "llava-onevision-7b": (states_of_onevision, 25),
}


def test_a_vector_is_what_a_straight_line_computes(name: str, load: Load, pictures: Pictures, folder: Path) -> None:
    import transformers

    model = transformers.AutoModelForImageTextToText.from_pretrained(folder).eval().model
    compute, length = STRAIGHT[name]
    adapter = load(name)
    inputs = [adapter.prepare(picture) for picture in pictures[:3]]
    with torch.inference_mode():
        states = [compute(model, picture) for picture in pictures[:3]]
    assert [len(one) for one in states] == [length] * 3 == [len(one["input_ids"]) for one in inputs]
    expected = torch.stack([one.mean(dim=0) for one in states]).numpy()
    assert np.abs(encode(adapter, inputs) - expected).max() / np.abs(expected).max() < 1e-5
    last = load(name, pooling="last-token")
    expected = torch.stack([one[-1] for one in states]).numpy()
    assert np.abs(encode(last, inputs) - expected).max() / np.abs(expected).max() < 1e-5


def test_a_block_is_what_the_language_model_computes_on_its_way(
    name: str, load: Load, pictures: Pictures, folder: Path
) -> None:
    import transformers

    model = transformers.AutoModelForImageTextToText.from_pretrained(folder).eval().model
    seen: list[torch.Tensor] = []
    for block in model.language_model.layers:
        block.register_forward_hook(
            lambda module, given, states: seen.append(states[0] if isinstance(states, tuple) else states)
        )
    with torch.inference_mode():
        STRAIGHT[name][0](model, pictures[0])
    adapter = load(name)
    assert adapter.blocks == BLOCKS == len(seen)
    inputs = [adapter.prepare(pictures[0])]
    *blocks, final = adapter.encode(inputs, [*(f"block-{number:02d}" for number in range(BLOCKS)), "final"])
    for found, states in zip(blocks, seen, strict=True):
        expected = states.mean(dim=1).numpy()
        assert np.abs(found - expected).max() / np.abs(expected).max() < 1e-5
    np.testing.assert_array_equal(final, encode(adapter, inputs))
    assert not np.allclose(blocks[-1], final)  # a norm follows the last block
    with pytest.raises(CheckpointUnavailable, match="has no block-03: it has 3 blocks"):
        encode(adapter, inputs, "block-03")


def test_another_prompt_gives_other_vectors_under_another_key(
    name: str, load: Load, settings: Settings, pictures: Pictures
) -> None:
    asked = resolve_model(find_model(name), settings)
    assert asked.options == {"prompt": "<image> "}
    other = asked.model_copy(update={"options": {"prompt": "<image> galaxy"}})
    assert other.digest != asked.digest
    first, second = load(name), load(name, prompt="<image> galaxy")
    vectors = [encode(adapter, [adapter.prepare(pictures[0])]) for adapter in (first, second)]
    assert len(second.prepare(pictures[0])["input_ids"]) == len(first.prepare(pictures[0])["input_ids"]) + 6
    assert np.abs(vectors[0] - vectors[1]).max() / np.abs(vectors[0]).max() > 1e-3


def test_bfloat16_gives_nearly_the_same(name: str, load: Load, pictures: Pictures) -> None:
    adapter, small = load(name), load(name, "bfloat16")
    assert {parameter.dtype for parameter in small._network.parameters()} == {find_dtype("bfloat16")}
    inputs = [adapter.prepare(picture) for picture in pictures]
    exact, near = encode(adapter, inputs), encode(small, inputs)
    assert near.dtype == np.float32
    assert 0 < np.abs(near - exact).max() / np.abs(exact).max() < 0.05
