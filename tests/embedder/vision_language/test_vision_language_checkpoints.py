"""What of a vision-language checkpoint is taken, and what is refused; and that rows say what is published."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from safetensors.torch import load_file, save_file

from embedder.adapters.batches import place_network
from embedder.adapters.hf_vision_language import HfVisionLanguageAdapter
from embedder.catalogue.models import find_model
from shared.errors import BadStudy, CheckpointUnavailable, OutOfMemory, UnknownName

Pictures = list[npt.NDArray[np.uint8]]
Save = Callable[[str], Path]
Load = Callable[..., HfVisionLanguageAdapter]
SIDE = 28  # of the tiny models' pictures


def test_weights_in_parts_under_newer_names_are_the_same(
    name: str, load: Load, pictures: Pictures, folder: Path
) -> None:
    """What save_pretrained writes has the hub's names; transformers itself has others since 4.52, and reads both."""
    adapter = load(name)
    inputs = [adapter.prepare(pictures[0])]
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
    (before,), (after,) = (one.encode(inputs, ["final"]) for one in (adapter, load(name)))
    np.testing.assert_array_equal(after, before)


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"prompt": "a galaxy"}, BadStudy, r"'a galaxy'; expected <image> once"),
        ({"prompt": "<image><image>"}, BadStudy, "expected <image> once"),
        ({"promt": "<image>"}, UnknownName, "did you mean prompt"),
    ],
)
def test_a_prompt_has_one_place_for_the_picture(
    options: dict[str, str], error: type[Exception], says: str, load: Load, save: Save
) -> None:
    save("llava-1.5-7b")
    with pytest.raises(error, match=says):
        load("llava-1.5-7b", **options)


def test_paligemma_is_not_asked_for_float16() -> None:
    """Its language model's states are too large for it."""
    find_model("paligemma2-28b").check_dtype("bfloat16")
    with pytest.raises(BadStudy, match="paligemma2-28b does not compute in float16"):
        find_model("paligemma2-28b").check_dtype("float16")


def test_a_pooling_is_one_of_texts(load: Load, save: Save) -> None:
    save("llava-1.5-7b")
    with pytest.raises(UnknownName, match="did you mean masked-mean"):
        load("llava-1.5-7b", pooling="masked-men")


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


class _Runs:
    def __reduce__(self) -> tuple[Any, ...]:
        return (SystemExit, ("code of a checkpoint was run",))


def pickle_code_with_the_weights(folder: Path) -> None:
    torch.save({**load_file(folder / "model.safetensors"), "more": _Runs()}, folder / "pytorch_model.bin")
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
    change_config(folder, image_token_index=6, image_token_id=6)  # of a space


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
    pickle_code_with_the_weights: "cannot be loaded: pytorch_model.bin asks for exceptions.SystemExit, which is code",
    forget_the_image_processor: "cannot be loaded: .*image processor",
    forget_the_tokenizer: "cannot be loaded: .*tokenizer",
    be_of_another_kind: "bert is none of paligemma, llava, llava_onevision",
    ask_to_run_code: "cannot be loaded: .*custom code",
}


@pytest.mark.parametrize(("spoil", "says"), OF_EACH.items())
def test_a_checkpoint_of_each_kind_that_does_not_fit_is_refused(
    name: str, folder: Path, spoil: Callable[[Path], None], says: str, load: Load
) -> None:
    spoil(folder)
    with pytest.raises(CheckpointUnavailable, match=says) as caught:
        load(name)
    assert find_model(name).checkpoint in str(caught.value)


@pytest.mark.parametrize(("spoil", "says"), OF_ANY.items())
def test_a_checkpoint_that_does_not_fit_is_refused(
    spoil: Callable[[Path], None], says: str, load: Load, save: Save
) -> None:
    spoil(save("llava-1.5-7b"))
    with pytest.raises(CheckpointUnavailable, match=says) as caught:
        load("llava-1.5-7b")
    assert "llava-hf/llava-1.5-7b-hf" in str(caught.value)


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
