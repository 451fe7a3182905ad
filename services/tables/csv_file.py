"""A table as CSV (RFC 4180). Units and what is true of the whole table have no place in it."""

from __future__ import annotations

import csv
import io

from services.tables.table import Table


def to_csv(table: Table) -> bytes:
    """UTF-8, a header line, CRLF; floats with all their digits; null is an empty field."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(column.name for column in table.columns)
    writer.writerows(table.rows)
    return text.getvalue().encode()
