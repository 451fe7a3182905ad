"""Layer maps: which layer of a model in one modality is alike to which layer of it in another."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, Field

from scorer.layers import calibrate_best
from scorer.overviews.differences import ReadObjects
from scorer.overviews.matrix import Cells, Statistic, statistic_of
from scorer.overviews.ordering import layer_place
from shared.columns import MILLIONS, MILLIONS_UNPRINTED, PROBABILITY, UNPRINTED
from shared.outcomes import ScoreRecord

ReadNulls = Callable[[ScoreRecord], Mapping[str, npt.NDArray[np.float64]]]
"""Gives, by label, each result's values under relabelling: `scorer.records.read_nulls`."""


class BestLayers(BaseModel):
    """The best pair of layers, held against the best that unrelated layers reach (arXiv 2602.14486).

    threshold, calibrated, p_value: of the maximum over all pairs of the map, under the same relabelling of all.
    calibrated is null of a metric that has no greatest value, as of its scores.
    """

    left_layer: str
    right_layer: str
    value: float
    threshold: float
    calibrated: float | None
    p_value: Annotated[float, PROBABILITY]


class LayerMap(BaseModel):
    """A statistic of every layer of one model in one modality (rows) with every one in another (columns).

    values: in the order of left_layers and right_layers, first to last; null where a pair was not scored. Of one
    modality with itself the map is symmetric, and null on its diagonal. best: null until all pairs are scored, and of
    a metric without a null.
    """

    dataset: str
    dataset_digest: str
    simulated: bool
    model: str
    family: str
    parameters: Annotated[float, MILLIONS] = Field(description="of the model, in millions")
    left_modality: str
    right_modality: str
    metric: str
    k: int | None
    statistic: Statistic
    left_layers: list[str]
    right_layers: list[str]
    values: Cells
    best: BestLayers | None = None

    @property
    def key(self) -> tuple[str | float, ...]:
        """Its place among a study's maps, and its name."""
        modalities = (self.left_modality, self.right_modality)
        return (self.dataset, self.dataset_digest, *modalities, self.family, self.parameters, self.model)


class LayerRow(BaseModel):
    """One cell of a layer map that has a value."""

    dataset: str
    dataset_digest: Annotated[str, UNPRINTED]
    simulated: bool
    model: str
    family: Annotated[str, UNPRINTED]
    parameters: Annotated[float, MILLIONS_UNPRINTED] = Field(description="of the model, in millions")
    left_modality: str
    right_modality: str
    metric: str
    k: int | None
    left_layer: str
    right_layer: str
    value: float = Field(description="the statistic that was asked for")


def layer_maps(
    records: Iterable[ScoreRecord],
    *,
    metric: str,
    k: int | None,
    statistic: Statistic = "value",
    read_nulls: ReadNulls | None = None,
    read_objects: ReadObjects | None = None,
) -> list[LayerMap]:
    """A map for each dataset, model and pair of modalities of which more than one layer was compared, in order.

    read_nulls, read_objects: with them, maps over two modalities say what their best pair is worth.
    """
    found: dict[tuple[str, ...], list[ScoreRecord]] = {}
    for record in records:
        left, right = record.spec.pair.left, record.spec.pair.right
        if record.spec.pair.kind != "probe" and left.model.digest == right.model.digest and record.result(metric, k):
            name = (left.dataset.digest, left.model.digest, left.modality.name, right.modality.name)
            found.setdefault(name, []).append(record)
    maps = ((_make_map(group, metric, k, statistic), group) for group in found.values())
    several = [(one, group) for one, group in maps if max(len(one.left_layers), len(one.right_layers)) > 1]
    if read_nulls and read_objects:
        judged = (
            one.model_copy(update={"best": _best(one, group, read_nulls, read_objects)}) for one, group in several
        )
        return sorted(judged, key=lambda one: one.key)
    return sorted((one for one, _ in several), key=lambda one: one.key)


def _same_objects(records: Sequence[ScoreRecord], read_objects: ReadObjects) -> bool:
    """Whether all records are of the same objects: others would meet other relabellings.

    Ids are read only where counts do not tell: where every side has what all sides share, there is nothing to read.
    """
    if len({record.objects for record in records}) > 1:
        return False
    if all(record.left_objects == record.right_objects == record.objects for record in records):
        return True
    first, *others = (read_objects(record)[0] for record in records)
    return all(ids == first for ids in others)


def _best(
    one: LayerMap, records: Sequence[ScoreRecord], read_nulls: ReadNulls, read_objects: ReadObjects
) -> BestLayers | None:
    """The best pair of layers, from nulls that all pairs drew alike; None where one is missing, or there is no null."""
    shape = len(one.left_layers), len(one.right_layers)
    if one.left_modality == one.right_modality or len(records) < math.prod(shape):
        return None
    values, nulls, bounded = np.empty(shape), {}, True
    for record in records:
        place = (
            one.left_layers.index(record.spec.pair.left.layer),
            one.right_layers.index(record.spec.pair.right.layer),
        )
        result = record.result(one.metric, one.k)
        null = read_nulls(record).get(result.label) if result else None
        if result is None or null is None:
            return None
        values[place], nulls[place] = result.value, null
        bounded = bounded and result.calibrated is not None
    if not _same_objects(records, read_objects):
        return None
    stacked = np.array([[nulls[row, column] for column in range(shape[1])] for row in range(shape[0])])
    worth = calibrate_best(values, stacked, records[0].spec.scoring.confidence)
    return BestLayers(
        left_layer=one.left_layers[worth.best[0]],
        right_layer=one.right_layers[worth.best[1]],
        value=float(values[worth.best]),
        threshold=worth.threshold,
        calibrated=worth.calibrated if bounded else None,
        p_value=worth.p_value,
    )


def layer_rows(maps: Iterable[LayerMap]) -> list[LayerRow]:
    """The same, a row for each cell that has a value; of a symmetric map, each pair of layers once."""
    told_of_both = set(LayerRow.model_fields) & set(LayerMap.model_fields)
    rows = []
    for one in maps:
        told = one.model_dump(include=told_of_both)
        alone = one.left_modality == one.right_modality
        for row, left in enumerate(one.left_layers):
            for column, right in enumerate(one.right_layers):
                value = one.values[row][column]
                if value is not None and not (alone and column <= row):
                    rows.append(LayerRow(**told, left_layer=left, right_layer=right, value=value))
    return rows


def _make_map(records: list[ScoreRecord], metric: str, k: int | None, statistic: Statistic) -> LayerMap:
    pairs = [record.spec.pair for record in records]
    first = pairs[0].left
    alone = first.modality.name == pairs[0].right.modality.name
    lefts, rights = ({getattr(pair, side).layer for pair in pairs} for side in ("left", "right"))
    rows = sorted(lefts | rights if alone else lefts, key=layer_place)
    columns = rows if alone else sorted(rights, key=layer_place)
    values: Cells = [[None] * len(columns) for _ in rows]
    for record, pair in zip(records, pairs, strict=True):
        result = record.result(metric, k)
        number = statistic_of(result, statistic) if result else None
        values[rows.index(pair.left.layer)][columns.index(pair.right.layer)] = number
        if alone:
            values[rows.index(pair.right.layer)][columns.index(pair.left.layer)] = number
    return LayerMap(
        dataset=first.dataset.name,
        dataset_digest=first.dataset.digest,
        simulated=first.dataset.simulated,
        model=first.model.name,
        family=first.model.family,
        parameters=first.model.parameters,
        left_modality=first.modality.name,
        right_modality=pairs[0].right.modality.name,
        metric=metric,
        k=k,
        statistic=statistic,
        left_layers=rows,
        right_layers=columns,
        values=values,
    )
