"""Scaling curves: a metric against model size, a curve for each family (figure 1 of arXiv 2509.19453)."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Literal, NamedTuple

from pydantic import BaseModel, Field

from scorer.overviews.named import Named
from scorer.overviews.ordering import is_final
from shared.columns import MILLIONS, PROBABILITY, UNPRINTED
from shared.contracts import EmbeddingSpec, PairSpec
from shared.outcomes import MetricResult, ScoreRecord

CurveKind = Literal["crossmodal", "intramodal"]


class CurvePoint(BaseModel):
    """One point of a scaling curve: one result of one model, or of two neighbouring sizes, which stand at the larger.

    A curve is all points with the same dataset, kind, modalities, family, metric and k.
    """

    score: Annotated[str, UNPRINTED] = Field(description="digest of the score")
    dataset: str
    dataset_digest: Annotated[str, UNPRINTED] = Field(description="tells apart cuts of a dataset of one name")
    simulated: bool
    kind: CurveKind = Field(description="crossmodal: one model, two modalities; intramodal: two sizes, one modality")
    left_modality: str
    right_modality: str
    family: str
    model: str = Field(description="of an intramodal pair: the larger")
    smaller_model: str | None = Field(description="of an intramodal pair")
    parameters: Annotated[float, MILLIONS] = Field(description="of the model, in millions")
    objects: int = Field(description="objects that the two embeddings share")
    metric: str
    k: int | None = Field(description="neighbours counted; null where the metric counts none")
    value: float
    low: float | None = Field(description="lower end of the interval")
    high: float | None = Field(description="upper end of the interval")
    confidence: float = Field(description="of the interval and of the threshold")
    chance: float | None = Field(description="the value expected of unrelated embeddings")
    threshold: float | None = Field(description="what unrelated embeddings stay below")
    calibrated: float | None = Field(description="0 at or below the threshold, 1 for a perfect value")
    p_value: Annotated[float | None, PROBABILITY]
    q_value: Annotated[float | None, PROBABILITY] = Field(description="as in the study's scores")

    @property
    def curve(self) -> tuple[str | int, ...]:
        """What is the same along its curve."""
        place = (self.dataset, self.dataset_digest, self.kind, self.left_modality, self.right_modality)
        return (*place, self.family, self.metric, self.k or 0)

    @property
    def key(self) -> tuple[str | int | float, ...]:
        """Its place: curve by curve, from small to large."""
        return (*self.curve, self.parameters, self.model, self.score)


class _Sized(NamedTuple):
    """A record and the model it stands at. smaller: the other size of an intramodal pair, else the same."""

    record: ScoreRecord
    kind: CurveKind
    smaller: EmbeddingSpec
    larger: EmbeddingSpec


def curve_points(records: Iterable[ScoreRecord], q_values: Mapping[Named, float] | None = None) -> list[CurvePoint]:
    """The points of all curves of all metrics, in their places.

    Final layers alone: other layers of models of different depth do not answer to each other. Of two sizes only
    neighbouring ones make a step: a pair is left out when a third size of its ladder lies between them.
    """
    known = q_values or {}
    return sorted(
        (_point(sized, result, known) for sized in _sized(records) for result in sized.record.results),
        key=lambda point: point.key,
    )


def _sized(records: Iterable[ScoreRecord]) -> Iterator[_Sized]:
    ladders: dict[tuple[str, ...], list[_Sized]] = {}
    for record in records:
        pair = record.spec.pair
        if not is_final(pair):
            continue
        if pair.kind == "crossmodal":
            yield _Sized(record, "crossmodal", pair.left, pair.right)
        elif pair.kind == "intramodal":
            smaller, larger = sorted((pair.left, pair.right), key=_size)
            ladder = (pair.left.dataset.digest, pair.left.modality.name, pair.left.model.family)
            ladders.setdefault(ladder, []).append(_Sized(record, "intramodal", smaller, larger))
    for ladder_steps in ladders.values():
        sizes = sorted({_size(side) for step in ladder_steps for side in (step.smaller, step.larger)})
        steps = set(itertools.pairwise(sizes))
        yield from (step for step in ladder_steps if (_size(step.smaller), _size(step.larger)) in steps)


def _size(spec: EmbeddingSpec) -> tuple[float, str]:
    return (spec.model.parameters, spec.model.name)


def _point(sized: _Sized, result: MetricResult, q_values: Mapping[Named, float]) -> CurvePoint:
    record, interval = sized.record, result.interval
    pair: PairSpec = record.spec.pair
    left, right = (pair.left, pair.right) if sized.kind == "crossmodal" else (sized.smaller, sized.larger)
    return CurvePoint(
        score=record.spec.digest,
        dataset=left.dataset.name,
        dataset_digest=left.dataset.digest,
        simulated=left.dataset.simulated,
        kind=sized.kind,
        left_modality=left.modality.name,
        right_modality=right.modality.name,
        family=left.model.family,
        model=sized.larger.model.name,
        smaller_model=None if sized.kind == "crossmodal" else sized.smaller.model.name,
        parameters=sized.larger.model.parameters,
        objects=record.objects,
        metric=result.metric,
        k=result.k,
        value=result.value,
        low=interval.low if interval else None,
        high=interval.high if interval else None,
        confidence=record.spec.scoring.confidence,
        chance=result.chance,
        threshold=result.threshold,
        calibrated=result.calibrated,
        p_value=result.p_value,
        q_value=q_values.get(Named(record.spec.digest, result.metric, result.k)),
    )
