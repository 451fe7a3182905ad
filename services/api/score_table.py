"""Scores as a flat table, one row per metric of a pair: the same columns as JSON, CSV and Parquet.

Imports pyarrow only when a Parquet file is asked for.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any

from pydantic import BaseModel, Field

from services.api.paging import Key
from shared.contracts import ScoreSpec
from shared.outcomes import MetricResult, ScoreRecord


class ScoreRow(BaseModel):
    """One metric of one pair, with what it is worth and where it comes from.

    left_*, right_*: the two embeddings of the pair. *_parameters: millions. *_objects: objects of each
    embedding; objects: how many the two share. k: neighbours counted. interval: how low and high were found. What
    a metric cannot give is null.
    """

    score: str = Field(description="digest of the score; GET /v1/scores/<score> gives the whole record")
    dataset: str
    dataset_revision: str
    simulated: bool
    kind: str
    left_modality: str
    right_modality: str
    left_model: str
    right_model: str
    left_family: str
    right_family: str
    left_parameters: float
    right_parameters: float
    left_layer: str
    right_layer: str
    left_objects: int
    right_objects: int
    objects: int
    metric: str
    metric_version: int
    k: int | None
    value: float
    chance: float | None
    p_value: float | None
    threshold: float | None
    calibrated: float | None
    low: float | None
    high: float | None
    confidence: float
    interval: str | None
    standard_error: float | None
    null_mean: float | None
    null_std: float | None
    permutations: int
    resamples: int
    seed: int
    left_revision: str
    right_revision: str
    left_manifest: str
    right_manifest: str
    created_at: str


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


def to_csv(rows: Sequence[ScoreRow]) -> bytes:
    """The rows as CSV (RFC 4180), UTF-8, with a header line; floats with all their digits."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(ScoreRow.model_fields))
    writer.writeheader()
    writer.writerows(row.model_dump() for row in rows)
    return text.getvalue().encode()


def to_parquet(rows: Sequence[ScoreRow]) -> bytes:
    """The rows as a Parquet file; the columns have their types even when there is no row."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    types = {"string": pa.string(), "boolean": pa.bool_(), "integer": pa.int64(), "number": pa.float64()}
    columns = ScoreRow.model_json_schema()["properties"]
    schema = pa.schema([(name, types[_json_type(column)]) for name, column in columns.items()])
    file = io.BytesIO()
    pq.write_table(pa.Table.from_pylist([row.model_dump() for row in rows], schema=schema), file)
    return file.getvalue()


def _json_type(column: dict[str, Any]) -> str:
    """The JSON type of a field, whether or not it may be null."""
    return str(column["type"] if "type" in column else column["anyOf"][0]["type"])
