"""Is large really better than base? Each step to the next larger size of a family, object by object.

Two scores whose intervals overlap may still differ for certain, since what is hard for one model is mostly hard for the
other: see `scorer.differences`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Annotated, NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, Field

from scorer.differences import paired_difference
from scorer.discoveries import benjamini_hochberg
from scorer.overviews.ladders import LadderKind, LadderName, Side, find_places
from scorer.overviews.ordering import is_final
from scorer.streams import open_stream
from shared.columns import MILLIONS, PROBABILITY, UNPRINTED
from shared.contracts import EmbeddingSpec
from shared.outcomes import ScoreRecord

ReadObjects = Callable[[ScoreRecord], tuple[tuple[str, ...], Mapping[str, npt.NDArray[np.float64]]]]
"""Gives a score's object ids and, by label, each result's values per object: `scorer.records.read_objects`."""


class SizeStep(BaseModel):
    """One step to the next larger size of a family: the larger one's score less the smaller one's, object by object.

    Of crosskind pairs the models of `left_modality` are these two sizes; the other side is the same for both.
    """

    dataset: str
    dataset_digest: Annotated[str, UNPRINTED]
    simulated: bool
    kind: LadderKind = Field(description="crossmodal, or crosskind: see the curves")
    left_modality: str = Field(description="of crosskind pairs: that of the models that are compared")
    right_modality: str = Field(description="of crosskind pairs: that of the model that stays the same")
    against: str | None = Field(description="of crosskind pairs: the model that stays the same")
    left_published: Annotated[bool, UNPRINTED] = Field(description="whether vectors of left_modality were published")
    right_published: Annotated[bool, UNPRINTED] = Field(description="the same of right_modality")
    family: str
    smaller_model: str
    larger_model: str
    smaller_parameters: Annotated[float, MILLIONS]
    larger_parameters: Annotated[float, MILLIONS]
    smaller_score: Annotated[str, UNPRINTED]
    larger_score: Annotated[str, UNPRINTED]
    metric: str
    k: int | None
    objects: int = Field(description="objects that both scores are of")
    difference: float = Field(description="larger less smaller, mean over objects")
    low: float = Field(description="lower end of the interval: percentile bootstrap over objects")
    high: float = Field(description="upper end of the interval")
    confidence: float
    standard_error: float
    p_value: Annotated[float, PROBABILITY] = Field(description="two-sided, by turning objects' differences round")
    q_value: Annotated[float | None, PROBABILITY] = Field(
        default=None, description="the same, corrected for the false discovery rate over these steps"
    )

    @property
    def key(self) -> tuple[str | float, ...]:
        """Its place among a study's steps."""
        where = (self.dataset, self.dataset_digest, self.kind, self.left_modality, self.right_modality)
        how = (self.against or "", int(self.left_published), int(self.right_published))
        return (*where, *how, self.family, self.smaller_parameters, self.smaller_model)


class _Rung(NamedTuple):
    """A record on one of its ladders, and the size that stands there."""

    record: ScoreRecord
    ladder: LadderName
    model: str
    parameters: float


def size_steps(
    records: Iterable[ScoreRecord], read_objects: ReadObjects, *, metric: str, k: int | None
) -> list[SizeStep]:
    """A step for each two neighbouring sizes of a family that are compared with the same, final layers, in order.

    Only of a metric that is a mean over objects; of another there is none. Raises what `read_objects` raises.
    """
    steps = [
        step
        for ladder in _ladders(records)
        for smaller, larger in itertools.pairwise(ladder)
        for step in _step(smaller, larger, read_objects, metric, k)
    ]
    steps.sort(key=lambda step: step.key)
    corrected = benjamini_hochberg(np.array([step.p_value for step in steps]))
    return [step.model_copy(update={"q_value": float(q)}) for step, q in zip(steps, corrected, strict=True)]


def _ladders(records: Iterable[ScoreRecord]) -> Iterator[Sequence[_Rung]]:
    """The records of each ladder (`scorer.overviews.ladders`), from the smallest model to the largest."""
    final = [record for record in records if is_final(record.spec.pair)]
    pairs = [record.spec.pair for record in final]
    found: dict[tuple[LadderName, str, str], list[_Rung]] = {}
    for place in find_places(
        (pair.left.dataset.digest, pair.kind, Side.of(pair.left), Side.of(pair.right)) for pair in pairs
    ):
        left, right = pairs[place.pair].left, pairs[place.pair].right
        if place.flipped:
            left, right = right, left
        rung = _Rung(final[place.pair], place.ladder, place.model, place.parameters)
        found.setdefault((place.ladder, _seen(left), _seen(right)), []).append(rung)
    for ladder_rungs in found.values():
        yield sorted(ladder_rungs, key=lambda rung: (rung.parameters, rung.model))


def _seen(side: EmbeddingSpec) -> str:
    """What the models of a side were shown; published vectors stand in a column for each model."""
    return "" if side.published else side.modality.digest


def _step(smaller: _Rung, larger: _Rung, read_objects: ReadObjects, metric: str, k: int | None) -> Iterator[SizeStep]:
    ours, theirs = larger.record.result(metric, k), smaller.record.result(metric, k)
    if ours is None or theirs is None or smaller.parameters == larger.parameters:
        return
    (ids, values), (their_ids, their_values) = read_objects(larger.record), read_objects(smaller.record)
    if ours.label not in values or theirs.label not in their_values:
        return
    scoring, pair = larger.record.spec.scoring, larger.record.spec.pair
    found = paired_difference(
        ids,
        values[ours.label],
        their_ids,
        their_values[theirs.label],
        resamples=scoring.resamples,
        confidence=scoring.confidence,
        stream=open_stream("differences", scoring.seed, pair.digest, smaller.record.spec.pair.digest),
    )
    dataset = pair.left.dataset
    yield SizeStep(
        **larger.ladder._replace(dataset=dataset.name)._asdict(),
        dataset_digest=dataset.digest,
        simulated=dataset.simulated,
        smaller_model=smaller.model,
        larger_model=larger.model,
        smaller_parameters=smaller.parameters,
        larger_parameters=larger.parameters,
        smaller_score=smaller.record.spec.digest,
        larger_score=larger.record.spec.digest,
        metric=metric,
        k=ours.k,
        objects=found.objects,
        difference=found.difference,
        low=found.interval.low,
        high=found.interval.high,
        confidence=scoring.confidence,
        standard_error=found.standard_error,
        p_value=found.p_value,
    )
