"""Scores as a flat table, one row per metric of a pair: the same columns in every format."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from json import loads
from typing import Annotated, NamedTuple, overload

from pydantic import BaseModel, Field

from scorer.overviews.named import Named
from services.api.paging import Key
from services.tables.table import Cell
from shared.columns import MILLIONS_UNPRINTED, PROBABILITY, UNPRINTED
from shared.contracts import ScoreSpec
from shared.outcomes import MetricResult, ScoreRecord

_LEFT, _RIGHT = "of the left embedding", "of the right embedding"


class ScoreRow(BaseModel):
    """One metric of one pair, with what it is worth and where it comes from.

    left_*, right_*: the two embeddings of the pair. What a metric cannot give is null.
    """

    score: Annotated[str, UNPRINTED] = Field(
        description="digest of the score; GET /v1/scores/<score> gives the whole record"
    )
    dataset: str
    dataset_revision: Annotated[str, UNPRINTED]
    simulated: bool = Field(description="whether the dataset is a simulation")
    kind: str = Field(description="crossmodal, intramodal, crosskind, probe or other")
    left_modality: str
    right_modality: str
    left_model: str
    right_model: str
    left_family: Annotated[str, UNPRINTED]
    right_family: Annotated[str, UNPRINTED]
    left_parameters: Annotated[float, MILLIONS_UNPRINTED] = Field(description=f"model parameters {_LEFT}, in millions")
    right_parameters: Annotated[float, MILLIONS_UNPRINTED] = Field(
        description=f"model parameters {_RIGHT}, in millions"
    )
    left_layer: str
    right_layer: str
    left_recipe: Annotated[str, UNPRINTED] = Field(description=f"how objects were shown, {_LEFT}")
    right_recipe: Annotated[str, UNPRINTED] = Field(description=f"how objects were shown, {_RIGHT}")
    left_dtype: Annotated[str, UNPRINTED] = Field(description=f"what the network computed in, {_LEFT}")
    right_dtype: Annotated[str, UNPRINTED] = Field(description=f"what the network computed in, {_RIGHT}")
    left_objects: Annotated[int, UNPRINTED] = Field(description=f"objects {_LEFT}")
    right_objects: Annotated[int, UNPRINTED] = Field(description=f"objects {_RIGHT}")
    objects: int = Field(description="objects that the two embeddings share")
    metric: str
    metric_version: Annotated[int, UNPRINTED]
    k: int | None = Field(description="neighbours counted; null where the metric counts none")
    value: float
    chance: float | None = Field(description="the value expected of unrelated embeddings")
    p_value: Annotated[float | None, PROBABILITY] = Field(
        description="(1 + relabellings at or above the value)/(1 + relabellings)"
    )
    threshold: Annotated[float | None, UNPRINTED] = Field(description="what unrelated embeddings stay below")
    calibrated: float | None = Field(description="0 at or below the threshold, 1 for a perfect value")
    low: float | None = Field(description="lower end of the interval")
    high: float | None = Field(description="upper end of the interval")
    confidence: float = Field(description="of the interval and of the threshold")
    interval: Annotated[str | None, UNPRINTED] = Field(description="how low and high were found")
    standard_error: Annotated[float | None, UNPRINTED] = Field(description="jackknife over objects")
    null_mean: Annotated[float | None, UNPRINTED] = Field(description="mean over relabellings")
    null_std: Annotated[float | None, UNPRINTED] = Field(description="standard deviation over relabellings")
    permutations: Annotated[int, UNPRINTED] = Field(description="relabellings drawn")
    resamples: Annotated[int, UNPRINTED] = Field(description="bootstrap draws over objects")
    seed: Annotated[int, UNPRINTED] = Field(description="of all that was drawn")
    left_revision: Annotated[str, UNPRINTED] = Field(description=f"commit or release of the model {_LEFT}")
    right_revision: Annotated[str, UNPRINTED] = Field(description=f"commit or release of the model {_RIGHT}")
    left_manifest: Annotated[str, UNPRINTED] = Field(description=f"SHA-256 of the manifest {_LEFT}")
    right_manifest: Annotated[str, UNPRINTED] = Field(description=f"SHA-256 of the manifest {_RIGHT}")
    created_at: Annotated[str, UNPRINTED]


class KeptRow(NamedTuple):
    """A row as it is kept: what it is chosen and placed by, and itself as JSON."""

    dataset: str
    kind: str
    left_modality: str
    right_modality: str
    left_model: str
    right_model: str
    left_family: str
    right_family: str
    metric: str
    left_parameters: float
    right_parameters: float
    score: str
    k: int | None
    json: bytes

    @classmethod
    def of(cls, row: ScoreRow) -> KeptRow:
        """This row. The names of models and the like are those of many others, and are held once."""
        found = (getattr(row, name) for name in cls._fields[:-1])
        held = (sys.intern(value) if type(value) is str else value for value in found)
        return cls._make((*held, row.model_dump_json().encode()))

    @property
    def place(self) -> Key:
        """As `place`."""
        modalities, parameters = self[2:4], self[9:11]
        sizes = (self.left_family, *parameters, self.left_model)
        return (self.dataset, self.kind, *modalities, *sizes, self.score, self.metric, self.k or 0)

    @property
    def cells(self) -> tuple[Cell, ...]:
        """Its values in the order of the columns of ScoreRow."""
        return tuple(loads(self.json).values())


class KeptCells(Sequence[tuple[Cell, ...]]):
    """The cells of kept rows, made as they are asked for."""

    def __init__(self, rows: Sequence[KeptRow]) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, place: int) -> tuple[Cell, ...]: ...
    @overload
    def __getitem__(self, place: slice) -> KeptCells: ...
    def __getitem__(self, place: int | slice) -> tuple[Cell, ...] | KeptCells:
        return KeptCells(self._rows[place]) if isinstance(place, slice) else self._rows[place].cells


class StudyScoreRow(ScoreRow):
    """A score as one of a study's."""

    q_value: Annotated[float | None, PROBABILITY] = Field(
        description="p_value corrected for the false discovery rate (Benjamini & Hochberg 1995) over all results of "
        "the study that exist now and have the same metric, k and kind"
    )


def place(spec: ScoreSpec, metric: str, k: int | None) -> Key:
    """A row's place among those of a study: by kind, modalities, family and size; unique by score, metric and k."""
    left, right = spec.pair.left, spec.pair.right
    modalities = (left.modality.name, right.modality.name)
    models = (left.model.family, left.model.parameters, right.model.parameters, left.model.name)
    return (left.dataset.name, spec.pair.kind, *modalities, *models, spec.digest, metric, k or 0)


def score_rows(records: Iterable[ScoreRecord]) -> list[ScoreRow]:
    """The rows of all metrics of all records, each in its place."""
    found = [(record, result) for record in records for result in record.results]
    return [_row(*each) for each in sorted(found, key=lambda each: place(each[0].spec, each[1].metric, each[1].k))]


def keep_rows(record: ScoreRecord) -> tuple[KeptRow, ...]:
    """The rows of a record, by metric and k."""
    return tuple(map(KeptRow.of, score_rows([record])))


def study_score_rows(records: Iterable[ScoreRecord], q_values: Mapping[Named, float]) -> list[StudyScoreRow]:
    """The same as rows of a study. q_values: of its results."""
    return [
        StudyScoreRow(**dict(row), q_value=q_values.get(Named(row.score, row.metric, row.k)))
        for row in score_rows(records)
    ]


def _row(record: ScoreRecord, result: MetricResult) -> ScoreRow:
    pair, scoring = record.spec.pair, record.spec.scoring
    left, right = pair.left, pair.right
    return ScoreRow(
        score=record.spec.digest,
        dataset=left.dataset.name,
        dataset_revision=left.dataset.revision,
        simulated=left.dataset.simulated,
        kind=pair.kind,
        left_modality=left.modality.name,
        right_modality=right.modality.name,
        left_model=left.model.name,
        right_model=right.model.name,
        left_family=left.model.family,
        right_family=right.model.family,
        left_parameters=left.model.parameters,
        right_parameters=right.model.parameters,
        left_layer=left.layer,
        right_layer=right.layer,
        left_recipe=left.recipe,
        right_recipe=right.recipe,
        left_dtype=left.dtype,
        right_dtype=right.dtype,
        left_objects=record.left_objects,
        right_objects=record.right_objects,
        objects=record.objects,
        **result.model_dump(exclude={"interval", "details"}),
        low=result.interval.low if result.interval else None,
        high=result.interval.high if result.interval else None,
        interval=result.interval.method if result.interval else None,
        confidence=scoring.confidence,
        resamples=scoring.resamples,
        seed=scoring.seed,
        left_revision=left.model.revision,
        right_revision=right.model.revision,
        left_manifest=record.provenance.left_manifest,
        right_manifest=record.provenance.right_manifest,
        created_at=record.provenance.created_at,
    )
