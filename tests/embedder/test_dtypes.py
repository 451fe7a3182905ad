"""Networks that compute in fewer bits: almost the same vectors, kept in float32, under keys of their own."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from embedder.adapters.base import Adapter
from embedder.adapters.loading import load_adapter
from embedder.catalogue.models import find_model
from embedder.pipeline import embed_part, finish
from embedder.resolve import resolve_model
from embedder.sources.kinds import open_source
from shared import keys
from shared.contracts import Dtype, EmbeddingSpec
from shared.embeddings import load_vectors
from shared.errors import BadStudy
from shared.outcomes import Attempt
from shared.settings import Settings
from shared.store import MemoryStore

Floats = npt.NDArray[np.float32]
Pictures = list[npt.NDArray[np.uint8]]
SaveModel = Callable[..., Path]
TINY = tuple(json.loads(Path(__file__).with_name("tiny_vision.json").read_text()))
UNIT: dict[Dtype, float] = {"bfloat16": 2.0**-8, "float16": 2.0**-11}
"""The most that rounding to so many bits changes a number of size one."""


def load(name: str, settings: Settings, dtype: Dtype) -> Adapter:
    return load_adapter(resolve_model(find_model(name), settings), settings, dtype)


def encode(adapter: Adapter, inputs: Sequence[Any]) -> Floats:
    (vectors,) = adapter.encode(inputs, ["final"])
    return vectors


def cosines(ours: Floats, theirs: Floats) -> npt.NDArray[np.float64]:
    a, b = (side / np.linalg.norm(side, axis=1, keepdims=True) for side in (ours.astype(float), theirs.astype(float)))
    shared: npt.NDArray[np.float64] = (a * b).sum(axis=1)
    return shared


def check_bits(name: str, dtype: Dtype, settings: Settings, pictures: Pictures) -> None:
    """A vector in `dtype` is almost that in float32, and its object's own up to one rounding."""
    exact = load(name, settings, "float32")
    adapter = load(name, settings, dtype)
    inputs = [adapter.prepare(picture) for picture in pictures]
    vectors, expected = encode(adapter, inputs), encode(exact, inputs)
    assert vectors.dtype == np.float32
    assert (vectors != expected).any(axis=1).all()
    assert cosines(vectors, expected).min() > 0.99
    # Two objects stay further from each other than either moved.
    moved = np.linalg.norm(vectors - expected, axis=1).max()
    apart = np.linalg.norm(expected[:, None] - expected[None], axis=2)[~np.eye(len(inputs), dtype=bool)].min()
    assert moved < apart
    alone = np.concatenate([encode(adapter, [one]) for one in inputs])
    turned = encode(adapter, inputs[::-1])[::-1]
    largest = np.abs(vectors).max()
    for other in (alone, turned):
        assert np.abs(other - vectors).max() <= UNIT[dtype] * largest
    assert (encode(adapter, inputs) == vectors).all()


@pytest.mark.parametrize("dtype", UNIT)
@pytest.mark.parametrize("name", TINY)
def test_fewer_bits_give_almost_the_same_vectors(
    name: str, dtype: Dtype, settings: Settings, save_vision_model: SaveModel, pictures: Pictures
) -> None:
    save_vision_model(name)
    check_bits(name, dtype, settings, pictures)


def test_so_do_trained_weights(settings: Settings, pictures: Pictures) -> None:
    """In float16 a CPU computes them too, twenty times slower."""
    check_bits("efficientnet-lite0", "bfloat16", settings, pictures[:4])


def test_an_embedding_in_fewer_bits_is_another_one_kept_in_float32(
    write_table: Callable[..., Path],
    image: Callable[..., dict[str, Any]],
    specify: Callable[..., EmbeddingSpec],
    settings: Settings,
) -> None:
    model = resolve_model(find_model("efficientnet-lite0"), settings)
    plain = specify(write_table([image(seed) for seed in range(3)])).model_copy(update={"model": model})
    brief = plain.model_copy(update={"dtype": "bfloat16"})
    assert keys.manifest(plain) != keys.manifest(brief)
    assert (plain.label, brief.label) == ("sky/hsc/efficientnet-lite0", "sky/hsc/efficientnet-lite0 in bfloat16")
    store = MemoryStore()
    kept = []
    for spec in (plain, brief):
        embed_part(
            [spec],
            0,
            source=open_source(spec.dataset, settings),
            adapter=load_adapter(spec.model, settings, spec.dtype),
            store=store,
            attempt=Attempt(name="one", worker="test"),
            batch=2,
            on_rows=lambda rows: None,
        )
        manifest = finish(spec, store)
        assert manifest is not None
        assert manifest.spec.dtype == spec.dtype
        kept.append(load_vectors(store, manifest))
    assert kept[0].object_ids == kept[1].object_ids
    assert kept[0].matrix.dtype == kept[1].matrix.dtype == np.float32
    assert (kept[0].matrix != kept[1].matrix).any(axis=1).all()
    assert cosines(kept[0].matrix, kept[1].matrix).min() > 0.98
    # Not float32 rounded to bfloat16: the mean over the last map is taken in float32.
    assert (kept[1].matrix.view(np.uint32) & 0xFFFF).any()


def test_a_fake_has_its_own_bits_and_no_fewer() -> None:
    with pytest.raises(
        BadStudy, match="fake-small does not compute in bfloat16; expected float32; leave the model out"
    ):
        find_model("fake-small").check_dtype("bfloat16")
    for dtype in ("float32", *UNIT):
        find_model("vit-base").check_dtype(dtype)
