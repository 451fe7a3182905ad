"""Vision-language models: tiny ones of the real classes, saved as the hub has them, and read as a worker reads them."""

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

from embedder.adapters.batches import place_network
from embedder.adapters.hf_vision_language import HfVisionLanguageAdapter
from embedder.adapters.loading import load_adapter
from embedder.catalogue.models import find_model
from embedder.device import find_dtype
from embedder.resolve import resolve_model
from shared.contracts import Dtype
from shared.errors import BadStudy, CheckpointUnavailable, OutOfMemory, UnknownName
from shared.settings import Settings

Floats = npt.NDArray[np.float32]
Pictures = list[npt.NDArray[np.uint8]]
Save = Callable[[str], Path]
WORDS = ("<pad>", "<s>", "</s>", "<unk>", "<image>", "\n", *map(chr, range(32, 127)))
START, IMAGE, SPACE, NEWLINE = (WORDS.index(word) for word in ("<s>", "<image>", " ", "\n"))
BLOCKS, WIDTH, SIDE = 3, 24, 28  # pixels; parts of 14 pixels, so 2 x 2 of them
TINY = ("paligemma2-3b", "llava-1.5-7b", "llava-onevision-7b")
_TOWER = {"image_size": SIDE, "patch_size": 14, "hidden_size": 16, "intermediate_size": 32}
_SIGLIP = {"model_type": "siglip_vision_model", "vision_use_head": False, **_TOWER}
_CLIP = {"model_type": "clip_vision_model", **_TOWER}
_LANGUAGE = {"vocab_size": 128, "hidden_size": WIDTH, "intermediate_size": 32, "num_hidden_layers": BLOCKS}
_GRID = [[SIDE, SIDE], [SIDE, 2 * SIDE], [2 * SIDE, SIDE], [2 * SIDE, 2 * SIDE]]


def make_network(name: str) -> Any:
    """A network of the model's own class, with random weights that are large enough for objects to differ."""
    import transformers

    tower = {"num_hidden_layers": 2, "num_attention_heads": 2}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 1}
    parts = {
        "paligemma2-3b": (
            transformers.PaliGemmaConfig,
            {**_SIGLIP, **tower},
            {"model_type": "gemma2", "head_dim": 8, **_LANGUAGE, **heads},
            {"projection_dim": WIDTH},
        ),
        "llava-1.5-7b": (transformers.LlavaConfig, {**_CLIP, **tower}, {"model_type": "llama", **_LANGUAGE}, {}),
        "llava-onevision-7b": (
            transformers.LlavaOnevisionConfig,
            {**_SIGLIP, **tower},
            {"model_type": "qwen2", **_LANGUAGE, **heads},
            {"image_grid_pinpoints": _GRID},
        ),
    }
    config, vision, text, own = parts[name]
    text = {"num_attention_heads": 2, "num_key_value_heads": 2, **text}
    torch.manual_seed(0)
    made = config(text_config=text, vision_config=vision, image_token_index=IMAGE, **own)
    network = transformers.AutoModelForImageTextToText.from_config(made)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape))
    return network


def save_tokenizer(folder: Path, name: str) -> None:
    """One token a letter; LLaVA's sets a mark in front."""
    from tokenizers import Regex, Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Split
    from tokenizers.processors import TemplateProcessing
    from transformers import PreTrainedTokenizerFast

    made = Tokenizer(WordLevel({word: place for place, word in enumerate(WORDS)}, unk_token="<unk>"))
    made.pre_tokenizer = Split(Regex(r"[\s\S]"), "isolated")
    if name == "llava-1.5-7b":
        made.post_processor = TemplateProcessing(single="<s> $A", special_tokens=[("<s>", START)])
    PreTrainedTokenizerFast(
        tokenizer_object=made, pad_token="<pad>", bos_token="<s>", eos_token="</s>", unk_token="<unk>",
        additional_special_tokens=["<image>"],
    ).save_pretrained(folder)  # fmt: skip


@pytest.fixture
def save(tmp_path: Path) -> Save:
    """Save a model under its public id, with files as they lie on the hub."""
    import transformers

    square = {"height": SIDE, "width": SIDE}
    pictures = {
        "paligemma2-3b": lambda: transformers.SiglipImageProcessorPil(size=square, image_seq_length=4),
        "llava-1.5-7b": lambda: transformers.CLIPImageProcessorPil(size={"shortest_edge": SIDE}, crop_size=square),
        "llava-onevision-7b": lambda: transformers.LlavaOnevisionImageProcessorPil(
            size=square, image_grid_pinpoints=_GRID
        ),
    }
    settings = {
        "llava-1.5-7b": {
            "processor_class": "LlavaProcessor", "patch_size": 14, "num_additional_image_tokens": 1,
            "vision_feature_select_strategy": "default", "image_token": "<image>",
        },
        "llava-onevision-7b": {
            "processor_class": "LlavaOnevisionProcessor", "num_image_tokens": 4, "image_token": "<image>",
            "video_token": "<video>", "vision_feature_select_strategy": "full",
        },
    }  # fmt: skip

    def make(name: str) -> Path:
        folder = tmp_path / "hub" / "models" / find_model(name).checkpoint
        make_network(name).save_pretrained(folder)
        save_tokenizer(folder, name)
        pictures[name]().save_pretrained(folder)
        if name in settings:
            (folder / "processor_config.json").write_text(json.dumps(settings[name]))
        return folder

    return make


def load(
    name: str, settings: Settings, dtype: Dtype = "float32", pooling: str = "masked-mean", **options: str
) -> HfVisionLanguageAdapter:
    model = resolve_model(find_model(name), settings)
    changed = model.model_copy(update={"options": {**model.options, **options}, "pooling": pooling})
    adapter = load_adapter(changed, settings, dtype)
    assert isinstance(adapter, HfVisionLanguageAdapter)
    return adapter


def encode(adapter: HfVisionLanguageAdapter, inputs: Sequence[Any], layer: str = "final") -> Floats:
    (vectors,) = adapter.encode(inputs, [layer])
    return vectors


@pytest.fixture(params=TINY)
def name(request: pytest.FixtureRequest, save: Save) -> str:
    """Each family in turn, saved."""
    save(request.param)
    return str(request.param)


def test_a_vector_depends_on_its_object_alone(name: str, settings: Settings, pictures: Pictures) -> None:
    adapter = load(name, settings)
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


def states_of_paligemma(model: Any, picture: npt.NDArray[np.uint8]) -> torch.Tensor:
    """Picture, begin of text, prompt and newline see each other both ways (arXiv 2407.07726); positions from 1."""
    pixels = show(picture, SIDE, (0.5,) * 3, (0.5,) * 3)
    seen = model.multi_modal_projector(model.vision_tower(pixels[None]).last_hidden_state)[0]
    words = model.language_model.embed_tokens(torch.tensor([START, SPACE, NEWLINE]))
    given = torch.cat([seen, words])[None]
    open_to_all = torch.zeros(1, 1, len(given[0]), len(given[0]))
    masks = {"full_attention": open_to_all, "sliding_attention": open_to_all}
    places = torch.arange(1, len(given[0]) + 1)[None]
    return model.language_model(inputs_embeds=given, attention_mask=masks, position_ids=places).last_hidden_state[0]


def states_of_llava(model: Any, picture: npt.NDArray[np.uint8]) -> torch.Tensor:
    """The last layer of the tower but one, without its class token, between the mark and the prompt's space."""
    pixels = show(picture, SIDE, CLIP_MEAN, CLIP_STD)
    seen = model.vision_tower(pixels[None], output_hidden_states=True).hidden_states[-2][0, 1:]
    start, space = model.language_model.embed_tokens(torch.tensor([START, SPACE]))
    given = torch.cat([start[None], model.multi_modal_projector(seen), space[None]])
    return model.language_model(inputs_embeds=given[None]).last_hidden_state[0]


def states_of_onevision(model: Any, picture: npt.NDArray[np.uint8]) -> torch.Tensor:
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


def test_a_vector_is_what_a_straight_line_computes(
    name: str, settings: Settings, pictures: Pictures, tmp_path: Path
) -> None:
    import transformers

    folder = tmp_path / "hub" / "models" / find_model(name).checkpoint
    model = transformers.AutoModelForImageTextToText.from_pretrained(folder).eval().model
    compute, length = STRAIGHT[name]
    adapter = load(name, settings)
    inputs = [adapter.prepare(picture) for picture in pictures[:3]]
    with torch.inference_mode():
        states = [compute(model, picture) for picture in pictures[:3]]
    assert [len(one) for one in states] == [length] * 3 == [len(one["input_ids"]) for one in inputs]
    expected = torch.stack([one.mean(dim=0) for one in states]).numpy()
    assert np.abs(encode(adapter, inputs) - expected).max() / np.abs(expected).max() < 1e-5
    last = load(name, settings, pooling="last-token")
    expected = torch.stack([one[-1] for one in states]).numpy()
    assert np.abs(encode(last, inputs) - expected).max() / np.abs(expected).max() < 1e-5


def test_a_block_is_what_the_language_model_computes_on_its_way(
    name: str, settings: Settings, pictures: Pictures, tmp_path: Path
) -> None:
    import transformers

    folder = tmp_path / "hub" / "models" / find_model(name).checkpoint
    model = transformers.AutoModelForImageTextToText.from_pretrained(folder).eval().model
    seen: list[torch.Tensor] = []
    for block in model.language_model.layers:
        block.register_forward_hook(
            lambda module, given, states: seen.append(states[0] if isinstance(states, tuple) else states)
        )
    with torch.inference_mode():
        STRAIGHT[name][0](model, pictures[0])
    adapter = load(name, settings)
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
    name: str, settings: Settings, pictures: Pictures
) -> None:
    asked = resolve_model(find_model(name), settings)
    assert asked.options == {"prompt": "<image> "}
    other = asked.model_copy(update={"options": {"prompt": "<image> galaxy"}})
    assert other.digest != asked.digest
    first, second = load(name, settings), load(name, settings, prompt="<image> galaxy")
    vectors = [encode(adapter, [adapter.prepare(pictures[0])]) for adapter in (first, second)]
    assert len(second.prepare(pictures[0])["input_ids"]) == len(first.prepare(pictures[0])["input_ids"]) + 6
    assert np.abs(vectors[0] - vectors[1]).max() / np.abs(vectors[0]).max() > 1e-3


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"prompt": "a galaxy"}, BadStudy, r"'a galaxy'; expected <image> once"),
        ({"prompt": "<image><image>"}, BadStudy, "expected <image> once"),
        ({"promt": "<image>"}, UnknownName, "did you mean prompt"),
    ],
)
def test_a_prompt_has_one_place_for_the_picture(
    options: dict[str, str], error: type[Exception], says: str, settings: Settings, save: Save
) -> None:
    save("llava-1.5-7b")
    with pytest.raises(error, match=says):
        load("llava-1.5-7b", settings, **options)


def test_a_pooling_is_one_of_texts(settings: Settings, save: Save) -> None:
    save("llava-1.5-7b")
    with pytest.raises(UnknownName, match="did you mean masked-mean"):
        load("llava-1.5-7b", settings, pooling="masked-men")


def test_bfloat16_gives_nearly_the_same(name: str, settings: Settings, pictures: Pictures) -> None:
    adapter, small = load(name, settings), load(name, settings, "bfloat16")
    assert {parameter.dtype for parameter in small._network.parameters()} == {find_dtype("bfloat16")}
    inputs = [adapter.prepare(picture) for picture in pictures]
    exact, near = encode(adapter, inputs), encode(small, inputs)
    assert near.dtype == np.float32
    assert 0 < np.abs(near - exact).max() / np.abs(exact).max() < 0.05


def test_pictures_are_prepared_by_pil_wherever_torchvision_is(name: str, settings: Settings) -> None:
    assert type(load(name, settings)._processor.image_processor).__name__.endswith("Pil")


def lose_a_tensor(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    del tensors[next(key for key in tensors if "language_model" in key and "q_proj" in key)]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def lose_the_projection(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    kept = {key: tensor for key, tensor in tensors.items() if "projector" not in key}
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})


def rename_tensors(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    renamed = {f"net.{key}": tensor for key, tensor in tensors.items()}
    save_file(renamed, folder / "model.safetensors", metadata={"format": "pt"})


def change_config(folder: Path, **changes: Any) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **changes}))


def misshape_tensors(folder: Path) -> None:
    text = json.loads((folder / "config.json").read_text())["text_config"]
    change_config(folder, text_config={**text, "intermediate_size": 40})


def pickle_the_weights(folder: Path) -> None:
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def forget_the_image_processor(folder: Path) -> None:
    (folder / "preprocessor_config.json").unlink()


def forget_the_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()


def forget_the_processor(folder: Path) -> None:
    """PaliGemma has no file for it: what is missing there is the number of tokens of a picture."""
    (folder / "processor_config.json").unlink(missing_ok=True)
    path = folder / "preprocessor_config.json"
    settings = json.loads(path.read_text())
    settings.pop("image_seq_length", None)
    path.write_text(json.dumps(settings))


def take_anothers_pictures(folder: Path) -> None:
    path = folder / "preprocessor_config.json"
    settings = json.loads(path.read_text())
    square = {"height": 2 * SIDE, "width": 2 * SIDE}
    changes = {"size": square, "crop_size": square, "image_seq_length": 16, "image_grid_pinpoints": [[SIDE, SIDE]]}
    path.write_text(json.dumps({**settings, **{key: changes[key] for key in changes if key in settings}}))


def take_anothers_token(folder: Path) -> None:
    change_config(folder, image_token_index=IMAGE + 2, image_token_id=IMAGE + 2)


def be_of_another_kind(folder: Path) -> None:
    change_config(folder, model_type="bert")


def ask_to_run_code(folder: Path) -> None:
    own = {"AutoModel": "evil.Model", "AutoConfig": "evil.Config", "AutoProcessor": "evil.Processor"}
    change_config(folder, model_type="of-its-own", auto_map=own)
    (folder / "evil.py").write_text("raise SystemExit('code of a checkpoint was run')")


OF_EACH = {
    lose_a_tensor: "lack or misshape 1 tensors, such as language_model.layers.0.self_attn.q_proj",
    lose_the_projection: "such as multi_modal_projector",
    forget_the_processor: "the processor of .* does not fit",
    take_anothers_pictures: "the processor of .* does not fit",
    take_anothers_token: "the processor of .* gives a picture 1 tokens; expected (4|24), as the model does",
}
OF_ANY = {
    rename_tensors: "lack or misshape",
    misshape_tensors: "cannot be loaded: .*mismatched",
    pickle_the_weights: "cannot be loaded: .*no file named model.safetensors",
    forget_the_image_processor: "cannot be loaded: .*image processor",
    forget_the_tokenizer: "cannot be loaded: .*tokenizer",
    be_of_another_kind: "bert is none of paligemma, llava, llava_onevision",
    ask_to_run_code: "cannot be loaded: .*custom code",
}


@pytest.mark.parametrize(
    ("name", "spoil", "says"),
    [
        *((name, spoil, says) for name in TINY for spoil, says in OF_EACH.items()),
        *(("llava-1.5-7b", spoil, says) for spoil, says in OF_ANY.items()),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_refused(
    name: str, spoil: Callable[[Path], None], says: str, settings: Settings, save: Save
) -> None:
    spoil(save(name))
    with pytest.raises(CheckpointUnavailable, match=says) as caught:
        load(name, settings)
    assert find_model(name).checkpoint in str(caught.value)


def test_weights_in_parts_under_newer_names_are_the_same(
    name: str, settings: Settings, pictures: Pictures, tmp_path: Path
) -> None:
    """What save_pretrained writes has the hub's names; transformers itself has others since 4.52, and reads both."""
    adapter = load(name, settings)
    inputs = [adapter.prepare(pictures[0])]
    folder = tmp_path / "hub" / "models" / find_model(name).checkpoint
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    parts: dict[str, dict[str, torch.Tensor]] = {"a.safetensors": {}, "b.safetensors": {}}
    for place, (key, tensor) in enumerate(tensors.items()):
        inner = key.replace("language_model.model.", "language_model.")
        newer = "lm_head.weight" if "lm_head" in key else f"model.{inner}"
        parts[("a.safetensors", "b.safetensors")[place % 2]][newer] = tensor
    for file, part in parts.items():
        save_file(part, folder / file, metadata={"format": "pt"})
    index = {"metadata": {}, "weight_map": {key: file for file, part in parts.items() for key in part}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    np.testing.assert_array_equal(encode(load(name, settings), inputs), encode(adapter, inputs))


class Huge:
    """A network that has no room on any device, or that cannot be moved for another reason."""

    def __init__(self, reason: str) -> None:
        self.reason = reason

    def to(self, device: torch.device) -> None:
        raise RuntimeError(f"{self.reason} on {device}")


def test_without_room_for_the_weights_it_is_said() -> None:
    with pytest.raises(OutOfMemory, match=r"no room for the weights on cpu.*; ask for bfloat16"):
        place_network(Huge("CUDA out of memory"), torch.device("cpu"))
    with pytest.raises(RuntimeError, match="no kernel image"):
        place_network(Huge("no kernel image"), torch.device("cpu"))


PALIGEMMA_SHAPES = {"3b": (2304, 26, 9216, 8, 4, 256), "10b": (3584, 42, 14336, 16, 8, 256)}
PALIGEMMA_SHAPES["28b"] = (4608, 46, 36864, 32, 16, 128)
LLAVA_SHAPES = {"1.5-7b": (4096, 32, 11008, 32), "1.5-13b": (5120, 40, 13824, 40)}


def published_configs() -> dict[str, Any]:
    """The shapes of the published checkpoints: arXiv 2412.03555, 2408.00118, 2310.03744 and 2408.03326."""
    import transformers

    so400m = {"hidden_size": 1152, "intermediate_size": 4304, "num_attention_heads": 16, "patch_size": 14}
    siglip = {"model_type": "siglip_vision_model", "vision_use_head": False, **so400m}
    clip = {"hidden_size": 1024, "intermediate_size": 4096, "num_attention_heads": 16, "num_hidden_layers": 24}
    made: dict[str, Any] = {}
    for size, (width, layers, inner, heads, keys, head) in PALIGEMMA_SHAPES.items():
        text = dict(zip(_SHAPE, (width, layers, inner, heads, keys), strict=True))
        made[f"paligemma2-{size}"] = transformers.PaliGemmaConfig(
            text_config={"model_type": "gemma2", "vocab_size": 257216, "head_dim": head, **text},
            vision_config={**siglip, "image_size": 224, "num_hidden_layers": 27},
            projection_dim=width,
        )
    for size, (width, layers, inner, heads) in LLAVA_SHAPES.items():
        text = dict(zip(_SHAPE, (width, layers, inner, heads, heads), strict=True))
        made[f"llava-{size}"] = transformers.LlavaConfig(
            text_config={"model_type": "llama", "vocab_size": 32064, **text},
            vision_config={"model_type": "clip_vision_model", **clip, "image_size": 336, "patch_size": 14},
        )
    qwen = dict(zip(_SHAPE, (3584, 28, 18944, 28, 4), strict=True))
    made["llava-onevision-7b"] = transformers.LlavaOnevisionConfig(
        text_config={"model_type": "qwen2", "vocab_size": 152128, **qwen},
        vision_config={**siglip, "image_size": 384, "num_hidden_layers": 26},
    )
    return made


_SHAPE = ("hidden_size", "num_hidden_layers", "intermediate_size", "num_attention_heads", "num_key_value_heads")


def test_rows_count_the_parameters_and_blocks_of_what_is_published() -> None:
    from transformers import AutoModel

    for name, config in published_configs().items():
        with torch.device("meta"):
            network = AutoModel.from_config(config)
        row = find_model(name)
        assert row.parameters == round(sum(one.numel() for one in network.parameters()) / 1e6), name
        assert row.blocks == len(network.language_model.layers), name
