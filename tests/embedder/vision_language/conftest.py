"""Vision-language models: tiny ones of the real classes, saved as the hub has them, and read as a worker reads them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from embedder.adapters.hf_vision_language import HfVisionLanguageAdapter
from embedder.adapters.loading import load_adapter
from embedder.catalogue.models import find_model
from embedder.resolve import resolve_model
from shared.contracts import Dtype
from shared.settings import Settings

Save = Callable[[str], Path]
TINY = ("paligemma2-3b", "llava-1.5-7b", "llava-onevision-7b")
WORDS = ("<pad>", "<s>", "</s>", "<unk>", "<image>", "\n", *map(chr, range(32, 127)))
SIDE = 28  # pixels; parts of 14 pixels, so 2 x 2 of them
_TOWER = {"image_size": SIDE, "patch_size": 14, "hidden_size": 16, "intermediate_size": 32}
_SIGLIP = {"model_type": "siglip_vision_model", "vision_use_head": False, **_TOWER}
_CLIP = {"model_type": "clip_vision_model", **_TOWER}
_LANGUAGE = {"vocab_size": 128, "hidden_size": 24, "intermediate_size": 32, "num_hidden_layers": 3}
_GRID = [[SIDE, SIDE], [SIDE, 2 * SIDE], [2 * SIDE, SIDE], [2 * SIDE, 2 * SIDE]]


def make_network(name: str) -> Any:
    """A network of the model's own class, with random weights that are large enough for objects to differ."""
    import transformers

    tower = {"num_hidden_layers": 2, "num_attention_heads": 2}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 1}
    parts: dict[str, tuple[Any, dict[str, Any], dict[str, Any], dict[str, Any]]] = {
        "paligemma2-3b": (
            transformers.PaliGemmaConfig,
            {**_SIGLIP, **tower},
            {"model_type": "gemma2", "head_dim": 8, **_LANGUAGE, **heads},
            {"projection_dim": 24},
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
    made = config(text_config=text, vision_config=vision, image_token_index=WORDS.index("<image>"), **own)
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
        made.post_processor = TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
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


@pytest.fixture(params=TINY)
def name(request: pytest.FixtureRequest, save: Save) -> str:
    """Each family in turn, saved."""
    save(request.param)
    return str(request.param)


@pytest.fixture
def load(settings: Settings) -> Callable[..., HfVisionLanguageAdapter]:
    """Load a model that is saved, as a worker loads it; its options and its pooling may be others than the row's."""

    def make(
        name: str, dtype: Dtype = "float32", pooling: str = "masked-mean", **options: str
    ) -> HfVisionLanguageAdapter:
        model = resolve_model(find_model(name), settings)
        changed = model.model_copy(update={"options": {**model.options, **options}, "pooling": pooling})
        adapter = load_adapter(changed, settings, dtype)
        assert isinstance(adapter, HfVisionLanguageAdapter)
        return adapter

    return make


@pytest.fixture
def folder(name: str, tmp_path: Path) -> Path:
    """Where it is saved."""
    return tmp_path / "hub" / "models" / find_model(name).checkpoint


@pytest.fixture
def save_clip(tmp_path: Path) -> Path:
    """The checkpoint of a whole CLIP, under its public id."""
    import transformers

    small = {"num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 32}
    torch.manual_seed(0)
    config = transformers.CLIPConfig(
        text_config={**small, "hidden_size": 24, "vocab_size": 32, "projection_dim": 12},
        vision_config={**small, "hidden_size": 16, "image_size": 28, "patch_size": 14, "projection_dim": 12},
        projection_dim=12,
    )
    network = transformers.CLIPModel(config)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape))
    made = tmp_path / "hub" / "models" / find_model("clip-base").checkpoint
    network.save_pretrained(made)
    square = {"height": 28, "width": 28}
    transformers.CLIPImageProcessorPil(size={"shortest_edge": 28}, crop_size=square).save_pretrained(made)
    return made
