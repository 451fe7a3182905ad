"""A small real Parquet table that is seen in many ways, and the study of all its pairs on fake models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

MODELS = ("fake-small", "fake-large")
_SIDE = 12
_IMAGE = pa.struct({"band": pa.list_(pa.string()), "flux": pa.list_(pa.list_(pa.list_(pa.float32())))})


def write_table(folder: Path, modalities: int, rows: int) -> None:
    """Write one Parquet file: `rows` objects, each with one `(band, y, x)` image of `modalities` bands, of noise."""
    folder.mkdir(parents=True, exist_ok=True)
    names = [_band(number) for number in range(modalities)]
    rng = np.random.default_rng(0)
    images = [
        {"band": names, "flux": rng.normal(size=(modalities, _SIDE, _SIDE)).astype(np.float32).tolist()}
        for _ in range(rows)
    ]
    ids = [f"g{row:04d}" for row in range(rows)]
    table = pa.table({"object_id": ids, "image": pa.array(images, _IMAGE)})
    pq.write_table(table, folder / "train-00000-of-00001.parquet")


def make_study(folder: Path, modalities: int, *, title: str, limit: int) -> dict[str, Any]:
    """The study of every two of `2 * modalities` embeddings of the first `limit` rows: one modality for each band."""
    columns = {_band(number): {"column": "image", "bands": [_band(number)]} for number in range(modalities)}
    dataset = {"name": "wide", "folder": str(folder.resolve()), "id_column": "object_id", "modalities": columns}
    return {
        "title": title,
        "datasets": [dataset | {"limit": limit}],
        "models": list(MODELS),
        "pairs": ["all"],
        "scoring": {"k": 5, "permutations": 99, "resamples": 99},
    }


def _band(number: int) -> str:
    return f"band-{number:03d}"
