"""What lies beside a matched table: its card, and a study of it that is ready to submit. Imports numpy and pyarrow."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from embedder.sky.joining import Framing
from embedder.sky.sides import ImageSide, Side
from shared.contracts import PairPolicy

MATCHED, UNMATCHED = "matched", "unmatched"
_MOST_TOLD = 8  # columns of a catalogue: a language model takes some hundred tokens
_IMAGE_MODELS = ("efficientnet-lite0", "efficientnet-lite1", "efficientnet-lite2")
_TEXT_MODELS = ("minilm",)


def dataset_name(left: Side, right: Side) -> str:
    """The name of the dataset."""
    return f"{left.name}_{right.name}"[:64]


def write_card(path: Path, report: dict[str, Any]) -> None:
    """The dataset card. It names the matched table alone, so that the lists beside it are no part of the split."""
    left, right = report["left"], report["right"]
    front = {
        "pretty_name": f"{left['name']} and {right['name']}",
        "configs": [
            {"config_name": "default", "data_files": [{"split": "train", "path": f"{MATCHED}/*.parquet"}]},
        ],
    }
    lines = [
        f"# {left['name']} and {right['name']}",
        "",
        f"{report['matched']} objects of both, matched on the sky: each is the other's nearest, within "
        f"{report['radius_arcsec']:g} arcsec. {report['ambiguous']} have another candidate within that radius"
        f"{', and were left out' if report['drop_ambiguous'] else '; their column `ambiguous` is true'}.",
        "",
        *(
            f"* `{side['name']}`: {side['path']}, {side['rows']} objects, of which "
            f"{side['unmatched']} are not matched (`{UNMATCHED}/{side['name']}`)"
            for side in (left, right)
        ),
        "",
        f"`ra` and `dec` are of `{left['name']}`, in degrees, ICRS. `report.json` says what was read, and how.",
    ]
    path.write_text(f"---\n{yaml.safe_dump(front, sort_keys=False)}---\n\n" + "\n".join(lines) + "\n", encoding="utf-8")


def write_study(path: Path, sides: Sequence[Side], framing: Framing | None, matched: int) -> bool:
    """Write a study of the dataset in the folder of `path`: images as images, plain columns as text.

    Returns whether there is one: a single table of words has nothing to be compared with.
    """
    images: dict[str, Any] = {}
    texts: dict[str, Any] = {}
    for side in sides:
        images.update(_image_modalities(side, framing, path.parent / MATCHED))
        if not any(name in images for name in (side.name, *_column_modalities(side))):
            texts.update(_text_modality(side))
    pairs = _policies(len(images), len(texts))
    if not pairs:
        return False
    name = dataset_name(*sides)
    data = {
        "title": f"The same objects in {sides[0].name} and in {sides[1].name}",
        "datasets": [{"name": name, "folder": ".", "id_column": "object_id", "modalities": {**images, **texts}}],
        "models": [*(_IMAGE_MODELS if images else ()), *(_TEXT_MODELS if texts else ())],
        "pairs": pairs,
        "scoring": {"metrics": ["mknn", "cka-debiased", "rsa"], "k": [_neighbours(matched)]},
    }
    head = "# samesky submit study.yaml --watch\n"
    if texts:
        head += f"# Of each table the first {_MOST_TOLD} plain columns are told: choose those that say something.\n"
    path.write_text(head + yaml.safe_dump(data, sort_keys=False, allow_unicode=True), encoding="utf-8")
    return True


def _policies(images: int, texts: int) -> list[PairPolicy]:
    """The policies that find pairs among so many modalities of each kind."""
    policies: list[PairPolicy] = []
    if images > 1 or texts > 1:
        policies.append("crossmodal")
    if images and texts:
        policies.append("crosskind")
    return policies or (["intramodal"] if images else [])


def _neighbours(matched: int) -> int:
    """Ten, as the paper has it, or a third of what there is."""
    return 10 if matched > 30 else max(1, matched // 3)


def _image_modalities(side: Side, framing: Framing | None, folder: Path) -> dict[str, Any]:
    field = {} if framing is None else {"field_arcsec": framing.size_arcsec}
    if isinstance(side, ImageSide):
        return {side.name: {"column": f"{side.name}_image", "bands": [side.band], **field}}
    found = {}
    for name, column in _column_modalities(side).items():
        bands = _first_bands(folder, f"{side.name}_{column}")
        if bands:
            found[name] = {"column": f"{side.name}_{column}", "bands": bands, **field}
    return found


def _column_modalities(side: Side) -> dict[str, str]:
    """Columns of a table that hold images as Same Sky has them, by the name that each has as a modality."""
    columns = [
        one.name
        for one in side.schema
        if pa.types.is_struct(one.type) and {"flux", "band"} <= {field.name for field in one.type}
    ]
    if len(columns) == 1:
        return {side.name: columns[0]}
    return {re.sub(r"[^a-z0-9_+-]", "-", f"{side.name}_{column}".lower())[:64]: column for column in columns}


def _first_bands(folder: Path, column: str) -> list[str]:
    """Three bands of the first image, from first to last, or one."""
    with pq.ParquetFile(folder / "part-00000.parquet") as opened:
        first = next(opened.iter_batches(1, columns=[f"{column}.band"]), None)
    value = None if first is None else first.column(0)[0].as_py()
    bands = [str(band) for band in (value or {}).get("band") or ()]
    return [bands[0], bands[len(bands) // 2], bands[-1]] if len(bands) >= 3 else bands[:1]


def _text_modality(side: Side) -> dict[str, Any]:
    if isinstance(side, ImageSide) or not side.tellable:
        return {}
    columns = [
        {"name": f"{side.name}_{name}", "title": name.replace("_", " "), **({"unit": unit} if unit else {})}
        for name, unit in side.tellable[:_MOST_TOLD]
    ]
    return {side.name: {"kind": "text", "columns": columns}}
