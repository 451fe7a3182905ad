"""The work that chaos is let loose on: small real Parquet tables, many short jobs on fake models, one poison job."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

MODELS = ("fake-small", "fake-large", "fake-slow")
MODALITIES = {"blue": "g", "green": "r", "red": "z"}
ROWS = 96
_SIDE = 24
_IMAGE = pa.struct({"band": pa.list_(pa.string()), "flux": pa.list_(pa.list_(pa.list_(pa.float32())))})


def write_tables(folder: Path, datasets: int) -> None:
    """Write one folder of Parquet files for each dataset, two files in each; the same bytes every time."""
    for number in range(datasets):
        place = folder / _name(number)
        place.mkdir(parents=True, exist_ok=True)
        images = [_draw(number, row) for row in range(ROWS)]
        table = pa.table(
            {"object_id": [f"d{number}-g{row:03d}" for row in range(ROWS)], "image": pa.array(images, _IMAGE)}
        )
        half = ROWS // 2
        for index in range(2):
            pq.write_table(
                table.slice(index * half, half), place / f"train-{index:05d}-of-00002.parquet", row_group_size=16
            )


def main_study(folder: Path, datasets: int) -> dict[str, Any]:
    """The study that must be done to its last pair: for each dataset 3 modalities x 3 models, 15 pairs."""
    return {
        "title": "chaos",
        "datasets": [_dataset(folder, number, MODALITIES) for number in range(datasets)],
        "models": list(MODELS),
        "pairs": ["crossmodal", "intramodal"],
        "scoring": {"k": 5, "permutations": 99, "resamples": 99},
    }


def poison_study(folder: Path) -> dict[str, Any]:
    """The study of one job that works, one that kills whoever does it, and the pair that waits for both."""
    return {
        "title": "poison",
        "datasets": [_dataset(folder, 0, {"blue": MODALITIES["blue"]}) | {"limit": 16}],
        "models": ["fake-small", "fake-poison"],
        "pairs": ["intramodal"],
        "scoring": {"k": 5, "permutations": 99, "resamples": 99},
    }


def _name(number: int) -> str:
    return f"chaos-{number}"


def _dataset(folder: Path, number: int, modalities: dict[str, str]) -> dict[str, Any]:
    return {
        "name": _name(number),
        "folder": str((folder / _name(number)).resolve()),
        "id_column": "object_id",
        "modalities": {name: {"column": "image", "bands": [band]} for name, band in modalities.items()},
    }


def _draw(number: int, row: int) -> dict[str, Any]:
    """A blob, brighter in one band than in another, on noise."""
    rng = np.random.default_rng([number, row])
    y, x = np.mgrid[:_SIDE, :_SIDE] - (_SIDE - 1) / 2
    width, height, angle = rng.uniform(2, 7), rng.uniform(2, 7), rng.uniform(0, np.pi)
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    blob = np.exp(-((along / width) ** 2) - (across / height) ** 2)
    noise: npt.NDArray[np.float64] = rng.normal(0, 0.05, (3, _SIDE, _SIDE))
    flux = (blob * rng.uniform(0.5, 1.5, (3, 1, 1)) + noise).astype(np.float32)
    return {"band": list(MODALITIES.values()), "flux": flux.tolist()}
