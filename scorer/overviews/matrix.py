"""The score matrix: every two embeddings of a study, and how alike they are."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import BaseModel, Field

from scorer.overviews.ordering import embeddings_of
from shared.columns import MILLIONS, MILLIONS_UNPRINTED, UNPRINTED
from shared.contracts import EmbeddingSpec, ScoreSpec
from shared.outcomes import MetricResult, ScoreRecord

Statistic = Literal["value", "calibrated", "p_value"]
Cells = list[list[float | None]]


class EmbeddingLabel(BaseModel):
    """One embedding of a matrix."""

    embedding: str = Field(description="its digest")
    dataset: str
    simulated: bool
    modality: str
    model: str
    family: str
    parameters: Annotated[float, MILLIONS] = Field(description="of the model, in millions")
    layer: str


class Matrix(BaseModel):
    """A statistic of every two embeddings that were compared; null where they were not, and on the diagonal.

    values: square and symmetric, in the order of `embeddings`: by dataset, modality, family, size and layer.
    """

    metric: str
    k: int | None
    statistic: Statistic
    embeddings: list[EmbeddingLabel]
    values: Cells


class MatrixRow(BaseModel):
    """One cell of a score matrix that has a value. Each pair is there once."""

    score: Annotated[str, UNPRINTED] = Field(description="digest of the score")
    dataset: str
    simulated: bool
    left_modality: str
    left_model: str
    left_layer: str
    left_family: Annotated[str, UNPRINTED]
    left_parameters: Annotated[float, MILLIONS_UNPRINTED] = Field(description="in millions")
    right_modality: str
    right_model: str
    right_layer: str
    right_family: Annotated[str, UNPRINTED]
    right_parameters: Annotated[float, MILLIONS_UNPRINTED] = Field(description="in millions")
    metric: str
    k: int | None
    value: float = Field(description="the statistic that was asked for")


def statistic_of(result: MetricResult, statistic: Statistic) -> float | None:
    """The number of a result that a matrix shows."""
    number: float | None = getattr(result, statistic)
    return number


def make_matrix(
    wanted: Iterable[ScoreSpec],
    records: Iterable[ScoreRecord],
    *,
    metric: str,
    k: int | None,
    statistic: Statistic = "value",
) -> Matrix:
    """The matrix of all embeddings that the `wanted` scores compare, filled from the `records` there are."""
    specs = embeddings_of(wanted)
    places = {spec.digest: place for place, spec in enumerate(specs)}
    values: Cells = [[None] * len(specs) for _ in specs]
    for record in records:
        pair, result = record.spec.pair, record.result(metric, k)
        a, b = places.get(pair.left.digest), places.get(pair.right.digest)
        if result is not None and a is not None and b is not None:
            values[a][b] = values[b][a] = statistic_of(result, statistic)
    labels = [_label(spec) for spec in specs]
    return Matrix(metric=metric, k=k, statistic=statistic, embeddings=labels, values=values)


def matrix_rows(
    records: Iterable[ScoreRecord], *, metric: str, k: int | None, statistic: Statistic = "value"
) -> list[MatrixRow]:
    """The same, a row for each pair that has a value, in the order of the matrix, its upper half row by row."""
    found = [record for record in records if record.spec.pair.kind != "probe"]
    specs = embeddings_of(record.spec for record in found)
    places = {spec.digest: place for place, spec in enumerate(specs)}
    cells: dict[tuple[int, int], tuple[ScoreRecord, float]] = {}
    for record in found:
        pair, result = record.spec.pair, record.result(metric, k)
        number = None if result is None else statistic_of(result, statistic)
        if number is not None:
            a, b = sorted((places[pair.left.digest], places[pair.right.digest]))
            cells[a, b] = record, number
    return [
        _row(record, (specs[a], specs[b]), metric=metric, k=k, value=number)
        for (a, b), (record, number) in sorted(cells.items())
    ]


def _row(
    record: ScoreRecord, sides: tuple[EmbeddingSpec, EmbeddingSpec], *, metric: str, k: int | None, value: float
) -> MatrixRow:
    left, right = sides
    return MatrixRow(
        score=record.spec.digest,
        dataset=left.dataset.name,
        simulated=left.dataset.simulated,
        left_modality=left.modality.name,
        left_model=left.model.name,
        left_layer=left.layer,
        left_family=left.model.family,
        left_parameters=left.model.parameters,
        right_modality=right.modality.name,
        right_model=right.model.name,
        right_layer=right.layer,
        right_family=right.model.family,
        right_parameters=right.model.parameters,
        metric=metric,
        k=k,
        value=value,
    )


def _label(spec: EmbeddingSpec) -> EmbeddingLabel:
    return EmbeddingLabel(
        embedding=spec.digest,
        dataset=spec.dataset.name,
        simulated=spec.dataset.simulated,
        modality=spec.modality.name,
        model=spec.model.name,
        family=spec.model.family,
        parameters=spec.model.parameters,
        layer=spec.layer,
    )
