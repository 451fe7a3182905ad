"""The probe table: what each embedding tells of each label of its objects."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated

from pydantic import BaseModel, Field

from scorer.overviews.named import Named
from shared.columns import MILLIONS, PROBABILITY, UNPRINTED
from shared.outcomes import MetricResult, ScoreRecord

_FOLDS_STD, _RMSE = "folds_std", "rmse"  # as probes name them in a result's details


class ProbeRow(BaseModel):
    """One probe of one label by one embedding. What a probe cannot give is null."""

    score: Annotated[str, UNPRINTED] = Field(description="digest of the score")
    embedding: Annotated[str, UNPRINTED] = Field(description="digest of the embedding")
    dataset: str
    simulated: bool
    label: str = Field(description="the property of the objects that was predicted")
    label_unit: str | None = Field(description="as astropy writes it; null for a pure number or a class")
    classes: int | None = Field(description="number of classes; null for a label that is a number")
    modality: str
    family: Annotated[str, UNPRINTED]
    model: str
    parameters: Annotated[float, MILLIONS] = Field(description="of the model, in millions")
    layer: str
    metric: str
    k: int | None = Field(description="neighbours asked; null where the metric asks none")
    objects: int = Field(description="objects with a vector and a label")
    value: float
    folds_std: float | None = Field(description="standard deviation of the value over cross-validation folds")
    low: float | None = Field(description="lower end of the interval")
    high: float | None = Field(description="upper end of the interval")
    confidence: float = Field(description="of the interval")
    chance: float | None = Field(description="the value expected of an embedding that knows nothing of the label")
    calibrated: float | None = Field(description="0 at or below what such an embedding reaches, 1 for a perfect value")
    rmse: float | None = Field(description="root of the mean squared error, in label_unit")
    p_value: Annotated[float | None, PROBABILITY] = Field(
        description="(1 + relabellings at or above the value)/(1 + relabellings)"
    )
    q_value: Annotated[float | None, PROBABILITY] = Field(description="as in the study's scores")

    @property
    def key(self) -> tuple[str | int | float, ...]:
        """Its place: by dataset, label, metric, modality, family and size."""
        what = (self.dataset, self.label, self.metric, self.k or 0)
        return (*what, self.modality, self.family, self.parameters, self.model, self.layer, self.score)


def probe_rows(records: Iterable[ScoreRecord], q_values: Mapping[Named, float] | None = None) -> list[ProbeRow]:
    """The rows of all probes among the records, in their places."""
    known = q_values or {}
    return sorted(
        (
            _row(record, result, known)
            for record in records
            if record.spec.pair.kind == "probe"
            for result in record.results
        ),
        key=lambda row: row.key,
    )


def _row(record: ScoreRecord, result: MetricResult, q_values: Mapping[Named, float]) -> ProbeRow:
    pair, interval = record.spec.pair, result.interval
    label, side = (pair.left, pair.right) if pair.left.modality.kind == "label" else (pair.right, pair.left)
    return ProbeRow(
        score=record.spec.digest,
        embedding=side.digest,
        dataset=side.dataset.name,
        simulated=side.dataset.simulated,
        label=label.modality.name,
        label_unit=label.modality.unit or None,
        classes=len(label.modality.classes) or None,
        modality=side.modality.name,
        family=side.model.family,
        model=side.model.name,
        parameters=side.model.parameters,
        layer=side.layer,
        metric=result.metric,
        k=result.k,
        objects=record.objects,
        value=result.value,
        folds_std=result.details.get(_FOLDS_STD),
        low=interval.low if interval else None,
        high=interval.high if interval else None,
        confidence=record.spec.scoring.confidence,
        chance=result.chance,
        calibrated=result.calibrated,
        rmse=result.details.get(_RMSE),
        p_value=result.p_value,
        q_value=q_values.get(Named(record.spec.digest, result.metric, result.k)),
    )
