"""A table as Parquet. Imports pyarrow when a file is made."""

from __future__ import annotations

import io
import json

from services.tables.table import Column, Table


def to_parquet(table: Table) -> bytes:
    """A Parquet file whose columns have their types even when there is no row.

    A column's metadata has `description`, and `unit` where it has one; the schema's has `title`, and `meta` as JSON.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    types = {"text": pa.string(), "truth": pa.bool_(), "whole": pa.int64(), "number": pa.float64()}

    def field(column: Column) -> pa.Field:
        told = {"description": column.description, "unit": column.unit}
        kept = {name: value for name, value in told.items() if value}
        return pa.field(column.name, types[column.kind], nullable=column.nullable, metadata=kept)

    whole = {"title": table.title, "meta": json.dumps(table.meta, ensure_ascii=False)}
    schema = pa.schema([field(column) for column in table.columns], metadata=whole)
    columns = [pa.array(table.cells(column), types[column.kind]) for column in table.columns]
    file = io.BytesIO()
    pq.write_table(pa.table(columns, schema=schema), file)
    return file.getvalue()
