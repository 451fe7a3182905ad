"""What a score leaves in the object store: per-object values as a Parquet table, and the record that names them.

Imports `shared`, numpy and pyarrow only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from scorer.comparison import Comparison, Measured
from scorer.metrics import Metric
from scorer.probes.probing import Probing
from scorer.score_tables import parse_nulls, parse_objects
from shared import keys
from shared.contracts import ScoreSpec
from shared.errors import AlteredPart, BadRecord, BadTable
from shared.outcomes import MetricResult, ScoreRecord
from shared.records import read_bytes, read_record, sha256_of
from shared.store import ObjectStore

Floats = npt.NDArray[np.float64]
T = TypeVar("T")
_REMEDY = "delete the score's record, and it will be made again"


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
        permutations=0 if measured.null is None else len(measured.null),
        threshold=measured.threshold,
        calibrated=measured.calibrated,
        interval=measured.interval,
        standard_error=measured.standard_error,
        details=dict(measured.details),
    )


def write_objects(object_ids: Sequence[str], per_object: Mapping[str, Floats]) -> bytes:
    """Parquet with column `object_id: string` and one of float64 for each of these results, `(n,)` each."""
    columns = {"object_id": pa.array(object_ids, pa.string())}
    return _to_parquet(columns | {name: pa.array(values, pa.float64()) for name, values in per_object.items()})


def write_nulls(nulls: Mapping[str, Floats]) -> bytes:
    """Parquet with columns `result: string` and `null: list<float64>`: one row for each of these results."""
    values = pa.array(list(nulls.values()), pa.list_(pa.float64()))
    return _to_parquet({"result": pa.array(nulls, pa.string()), "null": values})


def read_nulls(store: ObjectStore, record: ScoreRecord) -> dict[str, Floats]:
    """Each result's values under relabelling, `(permutations,)`, by its label. Raises Corrupt for altered bytes.

    Empty for a record that names none.
    """
    if not record.nulls:
        return {}
    return _parse(record.nulls, partial(parse_nulls, _read_values(store, record.nulls, record.nulls_sha256), record))


def read_objects(store: ObjectStore, record: ScoreRecord) -> tuple[tuple[str, ...], dict[str, Floats]]:
    """The object ids of a score, and each result's values per object, `(n,)`, by its label. Raises Corrupt."""
    data = _read_values(store, record.per_object, record.per_object_sha256)
    return _parse(record.per_object, partial(parse_objects, data, record))


def _read_values(store: ObjectStore, key: str, sha256: str) -> bytes:
    data = read_bytes(store, key)
    if data is None or sha256_of(data) != sha256:
        raise AlteredPart(
            f"{key} is {'missing' if data is None else 'not what was written'}",
            f"bytes with SHA-256 {sha256[:12]}...",
            _REMEDY,
        )
    return data


def _parse(key: str, parse: Callable[[], T]) -> T:
    try:
        return parse()
    except BadTable as error:
        raise BadRecord(f"{key} is not a score's table: {error.wrong}", error.expected, _REMEDY) from error


def _to_parquet(columns: Mapping[str, pa.Array]) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(dict(columns)), sink, compression="zstd")
    data: bytes = sink.getvalue().to_pybytes()
    return data
