"""What a score leaves in the object store: per-object values as a Parquet table, and the record that names them.

Imports `shared`, numpy and pyarrow only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from scorer.comparison import Comparison, Measured
from scorer.metrics import Metric
from scorer.probes.probing import Probing
from shared import keys
from shared.contracts import ScoreSpec
from shared.errors import BadRecord
from shared.outcomes import MetricResult, ScoreRecord
from shared.records import read_record
from shared.store import ObjectStore

Floats = npt.NDArray[np.float64]


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


def result_of(metric: Metric[Comparison] | Metric[Probing], k: int | None, measured: Measured) -> MetricResult:
    """What a metric or probe answered, as it is recorded. k: neighbours it counted, if it counts any."""
    return MetricResult(
        metric=metric.name,
        metric_version=metric.version,
        k=k,
        value=measured.value,
        chance=measured.chance,
        null_mean=measured.null_mean,
        null_std=measured.null_std,
        p_value=measured.p_value,
        permutations=measured.permutations,
        threshold=measured.threshold,
        calibrated=measured.calibrated,
        interval=measured.interval,
        standard_error=measured.standard_error,
        details=dict(measured.details),
    )


def write_objects(object_ids: Sequence[str], per_object: Mapping[str, Floats]) -> bytes:
    """Parquet with column `object_id: string` and one of float64 for each of these results, `(n,)` each."""
    columns = {"object_id": pa.array(object_ids, pa.string())}
    columns |= {name: pa.array(values, pa.float64()) for name, values in per_object.items()}
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns), sink, compression="zstd")
    data: bytes = sink.getvalue().to_pybytes()
    return data
