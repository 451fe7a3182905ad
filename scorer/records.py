"""What a score leaves in the object store: per-object values as a Parquet table, and the record that names them.

Imports `shared`, numpy and pyarrow only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from scorer.comparison import Measured
from scorer.metrics import Metric
from shared import keys
from shared.contracts import ScoreSpec
from shared.errors import BadRecord, BadTable, one_line
from shared.names import LONGEST_OBJECT_ID
from shared.outcomes import MetricResult, ScoreRecord
from shared.records import read_record
from shared.store import ObjectStore

Floats = npt.NDArray[np.float64]
_IDS = "object_id"
_HEADERS_BYTES = 1 << 20


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


def result_of(metric: Metric, k: int | None, measured: Measured) -> MetricResult:
    """What a metric answered, as it is recorded. k: neighbours it counted, if it counts any."""
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
    columns = {_IDS: pa.array(object_ids, pa.string())}
    columns |= {name: pa.array(values, pa.float64()) for name, values in per_object.items()}
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns), sink, compression="zstd")
    data: bytes = sink.getvalue().to_pybytes()
    return data


def read_objects(data: bytes, rows: int) -> tuple[tuple[str, ...], dict[str, Floats]]:
    """What `write_objects` wrote of `rows` objects: their ids, and the values of each result, `(rows,)` each.

    Raises BadTable for another number of rows, other columns, an empty cell, an id that stands twice; and, before
    memory is taken for it, for a file that unpacks to more than we would have written.
    """
    try:
        _check_objects(pq.ParquetFile(pa.BufferReader(data)), rows)
        # each id that differs is unpacked once, so that no number of rows makes much of one long id
        table = pq.ParquetFile(pa.BufferReader(data), read_dictionary=[_IDS]).read()
        if any(column.null_count for column in table.columns):
            raise BadTable("empty cells", "a value for each object")
        ids = table.column(_IDS).combine_chunks()
        longest = max((len(each) for each in ids.dictionary.to_pylist()), default=0)
        if longest > LONGEST_OBJECT_ID:
            raise BadTable(f"an object id of {longest} characters", f"at most {LONGEST_OBJECT_ID}")
        named = tuple(ids.to_pylist())
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise BadTable(f"it cannot be read: {one_line(error):.200}", "a whole Parquet file") from error
    if len(set(named)) != len(named):
        raise BadTable(f"{len(named)} rows of {len(set(named))} objects", "each object once")
    values = [name for name in table.column_names if name != _IDS]
    return named, {name: table.column(name).to_numpy() for name in values}


def _check_objects(file: pq.ParquetFile, rows: int) -> None:
    footer, schema = file.metadata, file.schema_arrow
    if footer.num_rows != rows:
        raise BadTable(f"{footer.num_rows} rows", f"{rows}, one for each object")
    kinds = {field.name: field.type for field in schema}
    floats = all(kind == pa.float64() for name, kind in kinds.items() if name != _IDS)
    if len(kinds) != len(schema) or not floats or kinds.get(_IDS) != pa.string():
        told = ", ".join(f"{field.name}: {field.type}" for field in schema)
        raise BadTable(f"columns {one_line(told):.200}", f"{_IDS}: string, and doubles")
    # of the group, not of its columns: to ask for those of a damaged footer ends the process (pyarrow 26)
    unpacked = sum(footer.row_group(index).total_byte_size for index in range(footer.num_row_groups))
    most = rows * (4 * LONGEST_OBJECT_ID + 16 * len(schema)) + _HEADERS_BYTES
    if unpacked > most:
        raise BadTable(f"{unpacked} bytes for {rows} objects", f"at most {most}")
