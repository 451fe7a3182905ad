"""What a score leaves in the object store: per-object values as a Parquet table, and the record that names them.

Imports `shared` and pyarrow only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from scorer.comparison import Measured
from scorer.metrics import Metric
from shared import keys
from shared.contracts import ScoreSpec
from shared.errors import BadRecord
from shared.outcomes import MetricResult, ScoreRecord
from shared.records import read_record
from shared.store import ObjectStore


def read_score(store: ObjectStore, spec: ScoreSpec) -> ScoreRecord | None:
    """The stored record of a score, or None while there is none. Raises BadRecord when it is of another score."""
    record = read_record(store, keys.score(spec), ScoreRecord)
    if record is not None and record.spec.digest != spec.digest:
        raise BadRecord(
            f"{keys.score(spec)} is the record of {record.spec.pair.label} ({record.spec.digest})",
            f"that of {spec.pair.label} ({spec.digest})",
            "delete the object, and it will be made again",
        )
    return record


def result_of(metric: Metric, measured: Measured) -> MetricResult:
    """What a metric answered, as it is recorded."""
    return MetricResult(
        metric=metric.name,
        metric_version=metric.version,
        value=measured.value,
        chance=measured.chance,
        null_mean=measured.null_mean,
        null_std=measured.null_std,
        p_value=measured.p_value,
        interval=measured.interval,
        standard_error=measured.standard_error,
    )


def write_objects(object_ids: Sequence[str], measured: Mapping[str, Measured]) -> bytes:
    """Parquet with column `object_id: string` and, for each metric that has per-object values, one of float64."""
    columns = {"object_id": pa.array(object_ids, pa.string())}
    for name, answer in measured.items():
        if answer.per_object is not None:
            columns[name] = pa.array(answer.per_object, pa.float64())
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns), sink, compression="zstd")
    data: bytes = sink.getvalue().to_pybytes()
    return data
