"""Is large really better than base? Each step to the next larger size of a family, object by object.

Two scores whose intervals overlap may still differ for certain, since what is hard for one model is mostly hard for the
other: see `scorer.differences`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Annotated

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, Field

from scorer.differences import paired_difference
from scorer.discoveries import benjamini_hochberg
from scorer.overviews.ordering import is_final
from scorer.streams import open_stream
from shared.columns import MILLIONS, PROBABILITY, UNPRINTED
from shared.outcomes import ScoreRecord

ReadObjects = Callable[[ScoreRecord], tuple[tuple[str, ...], Mapping[str, npt.NDArray[np.float64]]]]
"""Gives a score's object ids and, by label, each result's values per object: `scorer.records.read_objects`."""


class SizeStep(BaseModel):
    """One step to the next larger size of a family: the larger one's score less the smaller one's, object by object."""

    dataset: str
    dataset_digest: Annotated[str, UNPRINTED]
    simulated: bool
    left_modality: str
    right_modality: str
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
        where = (self.dataset, self.dataset_digest, self.left_modality, self.right_modality, self.family)
        return (*where, self.smaller_parameters, self.smaller_model)


def size_steps(
    records: Iterable[ScoreRecord], read_objects: ReadObjects, *, metric: str, k: int | None
) -> list[SizeStep]:
    """A step for each two neighbouring sizes of a family on the same pair of modalities, final layers, in order.

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


def _ladders(records: Iterable[ScoreRecord]) -> Iterator[Sequence[ScoreRecord]]:
    """Crossmodal records of one family, dataset and pair of modalities, from the smallest model to the largest."""
    found: dict[tuple[str, ...], list[ScoreRecord]] = {}
    for record in records:
        pair = record.spec.pair
        if pair.kind == "crossmodal" and is_final(pair):
            left, right = pair.left, pair.right
            ladder = (left.dataset.digest, left.modality.digest, right.modality.digest, left.model.family)
            found.setdefault(ladder, []).append(record)
    for ladder_records in found.values():
        yield sorted(ladder_records, key=lambda one: (_parameters(one), one.spec.pair.left.model.name))


def _step(
    smaller: ScoreRecord, larger: ScoreRecord, read_objects: ReadObjects, metric: str, k: int | None
) -> Iterator[SizeStep]:
    ours, theirs = larger.result(metric, k), smaller.result(metric, k)
    if ours is None or theirs is None or _parameters(smaller) == _parameters(larger):
        return
    (ids, values), (their_ids, their_values) = read_objects(larger), read_objects(smaller)
    if ours.label not in values or theirs.label not in their_values:
        return
    scoring, left = larger.spec.scoring, larger.spec.pair.left
    found = paired_difference(
        ids,
        values[ours.label],
        their_ids,
        their_values[theirs.label],
        resamples=scoring.resamples,
        confidence=scoring.confidence,
        stream=open_stream("differences", scoring.seed, larger.spec.pair.digest, smaller.spec.pair.digest),
    )
    yield SizeStep(
        dataset=left.dataset.name,
        dataset_digest=left.dataset.digest,
        simulated=left.dataset.simulated,
        left_modality=left.modality.name,
        right_modality=larger.spec.pair.right.modality.name,
        family=left.model.family,
        smaller_model=smaller.spec.pair.left.model.name,
        larger_model=left.model.name,
        smaller_parameters=_parameters(smaller),
        larger_parameters=_parameters(larger),
        smaller_score=smaller.spec.digest,
        larger_score=larger.spec.digest,
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


def _parameters(record: ScoreRecord) -> float:
    return record.spec.pair.left.model.parameters
