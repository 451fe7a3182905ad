"""Scaling curves: a metric against model size, a curve for each family (figure 1 of arXiv 2509.19453)."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Literal, NamedTuple

from pydantic import BaseModel, Field

from scorer.overviews.ladders import Side, find_places, with_a_step
from scorer.overviews.named import Named
from scorer.overviews.ordering import is_final
from shared.columns import MILLIONS, PROBABILITY, UNPRINTED
from shared.contracts import EmbeddingSpec
from shared.outcomes import MetricResult, ScoreRecord

CurveKind = Literal["crossmodal", "intramodal", "crosskind"]


class CurvePoint(BaseModel):
    """One point of a scaling curve: one result of one model, or of two neighbouring sizes, which stand at the larger.

    A curve is all points with the same dataset, kind, modalities, model they are held against, family, metric and k.
    A crosskind pair is of two models: the one of `left_modality` varies along the curve, the other stays the same. So
    it may be a point of two curves, each of which has the other's sides the other way round.
    """

    score: Annotated[str, UNPRINTED] = Field(description="digest of the score")
    dataset: str
    dataset_digest: Annotated[str, UNPRINTED] = Field(description="tells apart cuts of a dataset of one name")
    simulated: bool
    kind: CurveKind = Field(
        description="crossmodal: one model, two modalities; intramodal: two sizes, one modality; crosskind: the sizes "
        "of a family, in one modality, against one model in a modality of another kind"
    )
    left_modality: str = Field(description="of a crosskind pair: that of the model that varies")
    right_modality: str = Field(description="of a crosskind pair: that of the model that stays the same")
    against: str | None = Field(description="of a crosskind pair: the model that stays the same")
    left_published: Annotated[bool, UNPRINTED] = Field(description="whether vectors of left_modality were published")
    right_published: Annotated[bool, UNPRINTED] = Field(description="the same of right_modality")
    family: str
    model: str = Field(description="of an intramodal pair: the larger; of a crosskind pair: the one that varies")
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
        return (*self.panel, self.family, self.metric, self.k or 0)

    @property
    def panel(self) -> tuple[str | int, ...]:
        """What is the same along all curves that are held side by side: what is compared with what."""
        where = (self.dataset, self.dataset_digest, self.kind, self.left_modality, self.right_modality)
        return (*where, self.against or "", int(self.left_published), int(self.right_published))

    @property
    def key(self) -> tuple[str | int | float, ...]:
        """Its place: curve by curve, from small to large."""
        return (*self.curve, self.parameters, self.model, self.score)


class _Sized(NamedTuple):
    """A record and the model it stands at: `larger`. other: the other side, of an intramodal pair the smaller size."""

    record: ScoreRecord
    kind: CurveKind
    larger: EmbeddingSpec
    other: EmbeddingSpec


def curve_points(records: Iterable[ScoreRecord], q_values: Mapping[Named, float] | None = None) -> list[CurvePoint]:
    """The points of all curves of all metrics, in their places.

    Final layers alone: other layers of models of different depth do not answer to each other. Of two sizes only
    neighbouring ones make a step: a pair is left out when a third size of its ladder lies between them. A crosskind
    pair is a point where a family has two sizes at least against the same model.
    """
    known = q_values or {}
    final = [record for record in records if is_final(record.spec.pair)]
    return sorted(
        (
            _point(sized, result, known)
            for sized in itertools.chain(_on_ladders(final), _next_sizes(final))
            for result in sized.record.results
        ),
        key=lambda point: point.key,
    )


def _on_ladders(records: Sequence[ScoreRecord]) -> Iterator[_Sized]:
    pairs = [record.spec.pair for record in records]
    places = find_places(
        (pair.left.dataset.digest, pair.kind, Side.of(pair.left), Side.of(pair.right)) for pair in pairs
    )
    for place in with_a_step(places):
        left, right = pairs[place.pair].left, pairs[place.pair].right
        larger, other = (right, left) if place.flipped else (left, right)
        yield _Sized(records[place.pair], place.ladder.kind, larger, other)


def _next_sizes(records: Iterable[ScoreRecord]) -> Iterator[_Sized]:
    ladders: dict[tuple[str | bool, ...], list[_Sized]] = {}
    for record in records:
        pair = record.spec.pair
        smaller, larger = sorted((pair.left, pair.right), key=_size)
        if pair.kind == "intramodal":
            ladder = (larger.dataset.digest, larger.modality.name, larger.model.family, larger.published)
            ladders.setdefault(ladder, []).append(_Sized(record, "intramodal", larger, smaller))
    for ladder_steps in ladders.values():
        sizes = sorted({_size(side) for step in ladder_steps for side in (step.other, step.larger)})
        steps = set(itertools.pairwise(sizes))
        yield from (step for step in ladder_steps if (_size(step.other), _size(step.larger)) in steps)


def _size(spec: EmbeddingSpec) -> tuple[float, str]:
    return (spec.model.parameters, spec.model.name)


def _point(sized: _Sized, result: MetricResult, q_values: Mapping[Named, float]) -> CurvePoint:
    record, interval = sized.record, result.interval
    left, right = sized.larger, sized.other
    return CurvePoint(
        score=record.spec.digest,
        dataset=left.dataset.name,
        dataset_digest=left.dataset.digest,
        simulated=left.dataset.simulated,
        kind=sized.kind,
        left_modality=left.modality.name,
        right_modality=right.modality.name,
        against=right.model.name if sized.kind == "crosskind" else None,
        left_published=left.published,
        right_published=right.published,
        family=left.model.family,
        model=left.model.name,
        smaller_model=right.model.name if sized.kind == "intramodal" else None,
        parameters=left.model.parameters,
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
