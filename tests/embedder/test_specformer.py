"""Specformer as a worker runs it, from a checkpoint of the published layout, and all the way from a table of DESI."""

from __future__ import annotations

import copyreg
import sys
import types
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from embedder.adapters.loading import load_adapter
from embedder.adapters.specformer import SpecformerAdapter
from embedder.adapters.specformer_network import Sizes, Specformer
from embedder.catalogue.models import find_model
from embedder.pipeline import embed_part, finish
from embedder.recipes import Dropped
from embedder.resolve import resolve_dataset, resolve_model
from embedder.sources.kinds import open_source
from shared.contracts import Dtype, EmbeddingSpec
from shared.embeddings import load_vectors
from shared.errors import CheckpointUnavailable, UnknownName
from shared.outcomes import Attempt
from shared.requests import DatasetRequest
from shared.settings import Settings
from shared.store import MemoryStore

Floats = npt.NDArray[np.float32]
Plain = dict[str, Any]
LAYERS = ("block-00", "block-01", "final")


def save(settings: Settings, checkpoint: Any) -> Path:
    assert settings.hub_dir is not None
    path = settings.hub_dir / "models" / "polymathic-ai" / "specformer" / "specformer.ckpt"
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(checkpoint, path)
    return path


def load(settings: Settings, dtype: Dtype = "float32", **changed: Any) -> SpecformerAdapter:
    model = resolve_model(find_model("specformer-base"), settings)
    adapter = load_adapter(model.model_copy(update=changed), settings, dtype)
    assert isinstance(adapter, SpecformerAdapter)
    return adapter


def make_spectra(lengths: Sequence[int]) -> list[Floats]:
    return [np.random.default_rng(seed).normal(1, 1, size).astype(np.float32) for seed, size in enumerate(lengths)]


def prepare(adapter: SpecformerAdapter, spectra: Sequence[Floats]) -> list[Any]:
    inputs = [adapter.prepare(flux) for flux in spectra]
    assert not any(isinstance(one, Dropped) for one in inputs)
    return inputs


@pytest.fixture
def adapter(settings: Settings, specformer_checkpoint: Plain) -> SpecformerAdapter:
    """A tiny one, loaded as a worker loads it."""
    save(settings, specformer_checkpoint)
    return load(settings)


def test_a_vector_depends_on_its_spectrum_alone(adapter: SpecformerAdapter) -> None:
    inputs = prepare(adapter, make_spectra([400, 81, 400, 207, 81, 400, 21]))
    for layer in LAYERS:
        (together,) = adapter.encode(inputs, [layer])
        assert together.shape == (7, 24)
        assert together.dtype == np.float32
        size = np.abs(together).max()
        alone = np.concatenate([adapter.encode([one], [layer])[0] for one in inputs])
        backwards = adapter.encode(inputs[::-1], [layer])[0][::-1]
        halves = np.concatenate([adapter.encode(part, [layer])[0] for part in (inputs[:3], inputs[3:])])
        for other in (alone, backwards, halves):
            assert np.abs(other - together).max() < 1e-5 * size
        distances = np.linalg.norm(together[:, None] - together[None], axis=2)[~np.eye(7, dtype=bool)]
        assert distances.min() > 1e-3 * size


def test_all_layers_come_of_one_pass_and_final_is_the_plain_one_to_the_bit(adapter: SpecformerAdapter) -> None:
    inputs = prepare(adapter, make_spectra([400, 81, 400]))
    passes: list[int] = []
    adapter._network.register_forward_hook(lambda module, given, states: passes.append(len(states)))
    together = adapter.encode(inputs, ["final", "block-00", "block-01"])
    assert sorted(passes) == [1, 2]  # one pass for each length
    for layer, vectors in zip(("final", "block-00", "block-01"), together, strict=True):
        assert (adapter.encode(inputs, [layer])[0] == vectors).all()
    assert adapter.blocks == 2
    with pytest.raises(CheckpointUnavailable, match="has no block-02: it has 2 blocks"):
        adapter.encode(inputs, ["block-02"])


@pytest.mark.parametrize(("pooling", "first"), [("mean-after-first", 1), ("mean", 0)])
def test_pooling_takes_the_tokens_it_names(
    settings: Settings, specformer_checkpoint: Plain, pooling: str, first: int
) -> None:
    save(settings, specformer_checkpoint)
    adapter = load(settings, pooling=pooling)
    (tokens,) = prepare(adapter, make_spectra([207]))
    network = Specformer(Sizes(input_dim=22, embed_dim=24, num_layers=2, num_heads=3, max_len=40))
    network.load_state_dict(specformer_checkpoint["state_dict"])
    seen: list[torch.Tensor] = []
    for block in network.blocks:
        block.register_forward_hook(lambda module, given, states: seen.append(states[0]))
    with torch.inference_mode():
        seen.append(network(torch.from_numpy(tokens)[None])[0])
    for vectors, states in zip(adapter.encode([tokens], LAYERS), seen, strict=True):
        assert np.abs(vectors[0] - states[first:].mean(dim=0).numpy()).max() < 1e-6


@pytest.mark.usefixtures("adapter")
def test_a_pooling_or_an_option_that_is_not_known_is_refused(settings: Settings) -> None:
    with pytest.raises(UnknownName, match="did you mean mean-after-first"):
        load(settings, pooling="mean-after")
    with pytest.raises(UnknownName, match="no option of specformer-base 'files'"):
        load(settings, options={"files": "specformer.ckpt"})


@pytest.mark.usefixtures("adapter")
@pytest.mark.parametrize("file", ["", "other.ckpt", "../specformer.ckpt", "/etc/passwd"])
def test_a_file_that_is_not_in_the_repository_is_refused(settings: Settings, file: str) -> None:
    with pytest.raises(CheckpointUnavailable, match=r"has no file other\.ckpt|names no file of polymathic-ai"):
        load(settings, options={"file": file})


def test_a_spectrum_that_cannot_be_shown_whole_is_dropped_and_never_cut(adapter: SpecformerAdapter) -> None:
    for samples in (1, 19, 20):
        assert adapter.prepare(np.linspace(0, 1, samples, dtype=np.float32)) == Dropped("spectrum-too-short")
    longest = np.linspace(0, 1, 410, dtype=np.float32)
    assert np.shape(adapter.prepare(longest)) == (40, 22)
    assert adapter.prepare(np.append(longest, 1.0).astype(np.float32)) == Dropped("spectrum-too-long")
    with pytest.raises(TypeError, match="was given a text"):
        adapter.prepare("a spectrum in words")


@pytest.mark.parametrize(("dtype", "near"), [("bfloat16", 0.05), ("float16", 0.01)])
def test_half_precision_is_near_and_its_vectors_are_float32(
    adapter: SpecformerAdapter, settings: Settings, dtype: Dtype, near: float
) -> None:
    half = load(settings, dtype)
    inputs = prepare(adapter, make_spectra([207, 400]))
    for exact, found in zip(adapter.encode(inputs, LAYERS), half.encode(inputs, LAYERS), strict=True):
        assert found.dtype == np.float32
        assert 0 < np.abs(found - exact).max() < near * np.abs(exact).max()
    assert (prepare(half, make_spectra([207]))[0] == inputs[0]).all()  # statistics are in full precision


@contextmanager
def lightning_dict(*, says_its_state: bool) -> Iterator[type[dict[str, Any]]]:
    """The class of the published `hyper_parameters`, under its name: there while a checkpoint is written, then gone.

    says_its_state: as up to Python 3.10, where an empty state of the object is written too.
    """

    class AttributeDict(dict[str, Any]):
        def __reduce_ex__(self, protocol: Any) -> Any:
            state = {} if says_its_state else None
            return copyreg.__newobj__, (AttributeDict,), state, None, iter(self.items())  # type: ignore[attr-defined]

    place = "lightning.fabric.utilities.data"
    AttributeDict.__module__, AttributeDict.__qualname__ = place, "AttributeDict"
    names = ["lightning", "lightning.fabric", "lightning.fabric.utilities", place]
    sys.modules.update({name: types.ModuleType(name) for name in names})
    vars(sys.modules[place])["AttributeDict"] = AttributeDict
    try:
        yield AttributeDict
    finally:
        for name in names:
            del sys.modules[name]


@pytest.mark.parametrize("says_its_state", [False, True])
def test_the_published_class_of_hyper_parameters_is_read_without_lightning(
    adapter: SpecformerAdapter, settings: Settings, specformer_checkpoint: Plain, *, says_its_state: bool
) -> None:
    inputs = prepare(adapter, make_spectra([207]))
    expected = adapter.encode(inputs, LAYERS)
    with lightning_dict(says_its_state=says_its_state) as kind:
        hyper_parameters = kind(specformer_checkpoint["hyper_parameters"])
        save(settings, {**specformer_checkpoint, "hyper_parameters": hyper_parameters})
    assert "lightning" not in sys.modules
    for vectors, wanted in zip(load(settings).encode(inputs, LAYERS), expected, strict=True):
        assert (vectors == wanted).all()


def test_what_lightning_writes_besides_is_left_alone(settings: Settings, specformer_checkpoint: Plain) -> None:
    specformer_checkpoint["hyper_parameters"]["_instantiator"] = "lightning.pytorch.cli.instantiate_module"
    notes = {"epoch": 3, "global_step": 9, "pytorch-lightning_version": "2.1.0", "optimizer_states": [], "loops": {}}
    save(settings, {**notes, **specformer_checkpoint})
    assert load(settings).blocks == 2


_LINE = pa.list_(pa.float32())
SPECTRUM = pa.struct({"flux": _LINE, "ivar": _LINE, "lambda": _LINE, "lsf_sigma": _LINE, "mask": pa.list_(pa.bool_())})


def save_table(settings: Settings, images: Sequence[Any], spectra: Sequence[Any]) -> None:
    assert settings.hub_dir is not None
    folder = settings.hub_dir / "datasets" / "Smith42" / "desi_hsc_crossmatched"
    folder.mkdir(parents=True)
    table = pa.table({"image": pa.array(images), "spectrum": pa.array(spectra, SPECTRUM)})
    pq.write_table(table, folder / "train-00000-of-00001.parquet", row_group_size=3)


@pytest.mark.usefixtures("adapter")
def test_a_table_of_desi_is_embedded_from_end_to_end(
    settings: Settings, image: Callable[..., Any], spectrum: Callable[..., Any]
) -> None:
    spectra = [spectrum(seed, samples=201 if seed == 4 else 407) for seed in range(9)]
    spectra[2]["flux"][:50] = [float("nan")] * 50
    spectra[3]["flux"] = [1.0] * 407
    spectra[5] = spectrum(5, samples=411)
    save_table(settings, [image(seed, side=8) for seed in range(9)], spectra)
    dataset, (desi,) = resolve_dataset(DatasetRequest(name="desi_hsc", modalities=["desi"]), settings)
    model = resolve_model(find_model("specformer-base"), settings).model_copy(update={"part_rows": 5})
    specs = [EmbeddingSpec(dataset=dataset, modality=desi, model=model, layer=layer) for layer in LAYERS]
    found = {}
    for batch in (4, 1):
        store = MemoryStore()
        for index in range(2):
            embed_part(
                specs,
                index,
                source=open_source(dataset, settings),
                adapter=load_adapter(model, settings),
                store=store,
                attempt=Attempt(name="one", worker="test"),
                batch=batch,
                on_rows=lambda rows: None,
            )
        for spec in specs:
            manifest = finish(spec, store)
            assert manifest is not None
            assert (manifest.dropped, manifest.repaired) == (
                {"constant-spectrum": 1, "spectrum-too-long": 1},
                {"nonfinite-samples": 50},
            )
            found[spec.layer, batch] = load_vectors(store, manifest)
    for layer in LAYERS:
        together, alone = found[layer, 4], found[layer, 1]
        assert together.object_ids == alone.object_ids == ("0", "1", "2", "4", "6", "7", "8")
        assert together.matrix.shape == (7, 24)
        assert np.abs(together.matrix - alone.matrix).max() < 1e-5 * np.abs(together.matrix).max()
