"""Chronos-Bolt: a tiny one of the real class, saved by its own library, loaded as from the hub."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from embedder.adapters.base import ModelInput
from embedder.adapters.loading import load_adapter
from embedder.catalogue.models import find_model
from embedder.pipeline import embed_part, finish
from embedder.recipes import Dropped
from embedder.resolve import resolve_dataset, resolve_model
from embedder.sources.kinds import open_source
from shared.contracts import Dtype, EmbeddingSpec, ModelRef
from shared.embeddings import load_vectors
from shared.errors import CheckpointUnavailable, UnknownName
from shared.outcomes import Attempt
from shared.requests import DatasetRequest
from shared.settings import Settings
from shared.store import MemoryStore

if TYPE_CHECKING:
    from embedder.adapters.chronos import ChronosAdapter

bolt = pytest.importorskip("chronos.chronos_bolt", reason="the extra light-curves is not installed")

Floats = npt.NDArray[np.float32]
NAME, PATCH, LONGEST, WIDTH = "chronos-bolt-tiny", 4, 64, 32
ALL = ("block-00", "block-01", "block-02", "block-03", "final")


def save(folder: Path, seed: int = 0, **changed: Any) -> Path:
    from transformers import T5Config

    config = T5Config(
        d_model=WIDTH, d_kv=8, d_ff=64, num_layers=4, num_decoder_layers=1, num_heads=4, dense_act_fn="relu",
        vocab_size=2, pad_token_id=0, decoder_start_token_id=0, initializer_factor=0.5,
        architectures=["ChronosBoltModelForForecasting"],
    )  # fmt: skip
    own = {"context_length": LONGEST, "input_patch_size": PATCH, "input_patch_stride": PATCH, "prediction_length": 8}
    config.chronos_config = {**own, "quantiles": [0.1, 0.5, 0.9], "use_reg_token": True, **changed}
    torch.manual_seed(seed)
    bolt.ChronosBoltModelForForecasting(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that stands in for the hub, with a tiny checkpoint."""
    folder = tmp_path_factory.mktemp("hub")
    save(folder / "models" / find_model(NAME).checkpoint)
    return folder


def settings_of(hub: Path, **more: str) -> Settings:
    return Settings.read({"SAMESKY_HUB_DIR": str(hub), "SAMESKY_DEVICE": "cpu", "SAMESKY_THREADS": "1", **more})


def load(hub: Path, dtype: Dtype = "float32", **changed: Any) -> ChronosAdapter:
    from embedder.adapters.chronos import ChronosAdapter

    model = resolve_model(find_model(NAME), settings_of(hub)).model_copy(update=changed)
    adapter = load_adapter(model, settings_of(hub), dtype)
    assert isinstance(adapter, ChronosAdapter)
    return adapter


@pytest.fixture(scope="module")
def adapter(hub: Path) -> ChronosAdapter:
    return load(hub)


def series(seed: int, steps: int, gaps: float = 0.3) -> Floats:
    """A series of which some steps have no value, but the first and the last have."""
    rng = np.random.default_rng(seed)
    values = rng.normal(5, 2, steps).astype(np.float32)
    values[1:-1][rng.random(steps - 2) < gaps] = np.nan
    return values


SERIES = [series(seed, steps) for seed, steps in enumerate((7, 64, 33, 20, 4))]


def prepare(adapter: ChronosAdapter, several: Sequence[Floats]) -> list[ModelInput]:
    prepared = [adapter.prepare(one) for one in several]
    return [one for one in prepared if not isinstance(one, Dropped)]


def test_a_vector_depends_on_its_series_alone(adapter: ChronosAdapter) -> None:
    inputs = prepare(adapter, SERIES)
    together = adapter.encode(inputs, ALL)
    for layer, vectors in zip(ALL, together, strict=True):
        assert (vectors.shape, vectors.dtype) == ((5, WIDTH), np.float32)
        size = np.abs(vectors).max()
        alone = np.concatenate([adapter.encode([one], [layer])[0] for one in inputs])
        assert np.abs(alone - vectors).max() / size < 1e-5
        assert np.abs(adapter.encode(inputs[::-1], [layer])[0][::-1] - vectors).max() / size < 1e-5
        assert (adapter.encode(inputs, [layer])[0] == vectors).all()
        distances = np.linalg.norm(vectors[:, None] - vectors[None], axis=2)[~np.eye(5, dtype=bool)]
        assert distances.min() / size > 1e-3


@pytest.mark.parametrize("pooling", ["masked-mean", "last-token"])
def test_a_vector_is_made_of_what_the_library_gives(pooling: str, hub: Path) -> None:
    pipeline = bolt.ChronosBoltPipeline.from_pretrained(hub / "models" / find_model(NAME).checkpoint)
    adapter = load(hub, pooling=pooling)
    for values in SERIES:
        states = pipeline.embed(torch.from_numpy(values))[0][0].numpy()
        padded = np.pad(values, (-len(values) % PATCH, 0), constant_values=np.nan).reshape(-1, PATCH)
        there = ~np.isnan(padded).all(axis=1)
        assert len(states) == len(there) + 1  # the last is [REG]
        expected = states[:-1][there].mean(axis=0) if pooling == "masked-mean" else states[-1]
        (found,) = adapter.encode(prepare(adapter, [values]), ["final"])
        assert np.abs(found[0] - expected).max() < 1e-5


def test_a_gap_as_long_as_a_patch_has_no_part_in_a_vector(adapter: ChronosAdapter) -> None:
    values = series(9, 24, gaps=0)
    values[8:16] = np.nan
    (plain,) = adapter.encode(prepare(adapter, [values]), ["final"])
    before = np.concatenate([np.full(12, np.nan, np.float32), values])
    (longer,) = adapter.encode(prepare(adapter, [before]), ["final"])
    assert np.abs(plain - longer).max() < 1e-5


def test_a_vector_does_not_depend_on_the_unit_of_flux(adapter: ChronosAdapter) -> None:
    values = series(3, 40)
    faint = (values * np.float32(1e-20)).astype(np.float32)  # its squares are nought in single precision
    ((plain, scaled),) = adapter.encode(prepare(adapter, [values, faint]), ["final"])
    assert np.abs(plain - scaled).max() < 1e-5


def test_layers_come_of_one_pass_and_no_forecast_is_made(adapter: ChronosAdapter) -> None:
    network = adapter._network
    passes: list[str] = []
    hooks = [
        part.register_forward_hook(lambda *_, name=name: passes.append(name))
        for name, part in (("encoder", network.encoder), ("decoder", network.decoder))
    ]
    adapter.encode(prepare(adapter, SERIES), ALL)
    for hook in hooks:
        hook.remove()
    assert passes == ["encoder"]
    assert adapter.blocks == find_model(NAME).blocks


def test_a_series_longer_than_the_context_is_dropped_and_never_cut(adapter: ChronosAdapter) -> None:
    assert adapter.prepare(series(0, LONGEST + 1)) == Dropped("series-too-long")
    assert not isinstance(adapter.prepare(series(0, LONGEST)), Dropped)


@pytest.mark.parametrize(("dtype", "near"), [("bfloat16", 0.05), ("float16", 0.01)])
def test_half_precision_comes_near(dtype: Dtype, near: float, adapter: ChronosAdapter, hub: Path) -> None:
    inputs = prepare(adapter, SERIES)
    (plain,), (half,) = (one.encode(inputs, ["final"]) for one in (adapter, load(hub, dtype)))
    assert half.dtype == np.float32
    assert 0 < np.abs(plain - half).max() < near * np.abs(plain).max()


def test_a_layer_or_a_pooling_that_is_not_there_is_refused(adapter: ChronosAdapter, hub: Path) -> None:
    with pytest.raises(CheckpointUnavailable, match="no block-04: it has 4 blocks"):
        adapter.encode(prepare(adapter, SERIES), ["block-04"])
    with pytest.raises(UnknownName, match="did you mean masked-mean"):
        load(hub, pooling="mask-mean")


def change_config(folder: Path, **changed: Any) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **changed}))


def drop_tensor(folder: Path, name: str) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    weights.pop(name)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def test_a_checkpoint_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "models" / find_model(NAME).checkpoint
    save(folder, input_patch_stride=2)
    with pytest.raises(CheckpointUnavailable, match="overlap"):
        load(tmp_path)
    drop_tensor(save(folder), "input_patch_embedding.hidden_layer.weight")
    with pytest.raises(CheckpointUnavailable, match="lack or misshape 1 tensors, such as input_patch_embedding"):
        load(tmp_path)
    drop_tensor(save(folder), "encoder.block.1.layer.0.SelfAttention.q.weight")
    with pytest.raises(CheckpointUnavailable, match=r"such as encoder\.block\.1"):
        load(tmp_path)
    save(folder)
    config = json.loads((folder / "config.json").read_text())
    del config["chronos_config"]
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointUnavailable, match="Not a Chronos config file; expected a Chronos-Bolt"):
        load(tmp_path)


def curve(seed: int, samples: int, bands: Sequence[str]) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    time = np.sort(rng.uniform(0, 60, samples))
    flux = 5 + np.sin(time / rng.uniform(2, 9)) + rng.normal(0, 0.1, samples)
    return {
        "time": (59000 + time).tolist(),
        "flux": flux.tolist(),
        "flux_err": rng.uniform(0.05, 0.2, samples).tolist(),
        "band": rng.choice(bands, samples).tolist(),
    }


def test_light_curves_of_a_table_become_an_embedding(hub: Path, tmp_path: Path) -> None:
    rows = [curve(seed, 40, ["g", "r"]) for seed in range(10)]
    rows[3] = curve(3, 40, ["r"])  # never seen in g
    rows[5]["time"] = [59000 + 2.5 * step for step in range(40)]  # a hundred days: more steps than the model takes
    rows[5]["band"] = ["g"] * 40
    rows[7]["flux"][0] = None
    rows[7]["band"][0] = "g"
    (tmp_path / "roots" / "sky").mkdir(parents=True)
    table = pa.table({"curve": pa.array(rows), "name": [f"g{row}" for row in range(10)]})
    pq.write_table(table, tmp_path / "roots" / "sky" / "train-00000-of-00001.parquet")
    settings = settings_of(hub, SAMESKY_DATASET_ROOTS=str(tmp_path / "roots"))
    own = {"kind": "light-curve", "column": "curve", "bands": ["g"], "cadence_days": 1}
    request = {"name": "sky", "folder": str(tmp_path / "roots" / "sky"), "id_column": "name", "modalities": {"lc": own}}
    dataset, (modality,) = resolve_dataset(DatasetRequest.model_validate(request), settings)
    model: ModelRef = resolve_model(find_model(NAME), settings)
    spec = EmbeddingSpec(dataset=dataset, modality=modality, model=model)
    store = MemoryStore()
    embed_part(
        [spec], 0, source=open_source(dataset, settings), adapter=load_adapter(model, settings), store=store,
        attempt=Attempt(name="one", worker="test"), batch=4, on_rows=lambda _: None,
    )  # fmt: skip
    manifest = finish(spec, store)
    assert manifest is not None
    assert Counter(manifest.dropped) == {"no-usable-sample": 1, "series-too-long": 1}
    assert Counter(manifest.repaired) == {"unusable-samples": 1}
    vectors = load_vectors(store, manifest)
    assert vectors.object_ids == tuple(f"g{row}" for row in range(10) if row not in (3, 5))
    assert vectors.matrix.shape == (8, WIDTH)
