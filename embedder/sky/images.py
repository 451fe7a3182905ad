"""Image columns of a matched table: the struct that Same Sky takes for an image. Imports numpy and pyarrow."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from embedder.sky.cutouts import Cutout

IMAGE = pa.struct(
    {"band": pa.list_(pa.string()), "flux": pa.list_(pa.list_(pa.list_(pa.float32()))), "scale": pa.list_(pa.float64())}
)


def as_structs(cutouts: Sequence[Cutout], band: str) -> pa.StructArray:
    """Cutouts `(y, x)` of one band as structs of band, flux `(band, y, x)` and scale, by way of no Python lists."""
    pixels = np.concatenate([cutout.flux.ravel() for cutout in cutouts])
    widths = np.concatenate([np.full(cutout.flux.shape[0], cutout.flux.shape[1]) for cutout in cutouts])
    heights = [cutout.flux.shape[0] for cutout in cutouts]
    ones = [1] * len(cutouts)
    rows = pa.ListArray.from_arrays(_offsets(widths), pa.array(pixels, pa.float32()))
    planes = pa.ListArray.from_arrays(_offsets(heights), rows)
    return pa.StructArray.from_arrays(
        [
            pa.array([[band]] * len(cutouts), IMAGE.field("band").type),
            pa.ListArray.from_arrays(_offsets(ones), planes),
            pa.array([[cutout.scale] for cutout in cutouts], IMAGE.field("scale").type),
        ],
        fields=list(IMAGE),
    )


def _offsets(lengths: Sequence[int] | np.ndarray[tuple[int], np.dtype[np.int64]]) -> pa.Array:
    return pa.array(np.concatenate([[0], np.cumsum(lengths)]), pa.int32())
