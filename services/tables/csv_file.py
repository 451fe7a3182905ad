"""A table as CSV (RFC 4180). Units and what is true of the whole table have no place in it."""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Iterable, Iterator, Sequence

from services.tables.table import Cell, Table

_PIECE_ROWS = 200


def to_csv(table: Table) -> bytes:
    """UTF-8, a header line, CRLF; floats with all their digits; null is an empty field."""
    return b"".join(csv_pieces(table))


def csv_pieces(table: Table) -> Iterator[bytes]:
    """The same, a few hundred rows at a time, each made when it is asked for."""
    yield _to_text([[column.name for column in table.columns]])
    rows = iter(table.rows)
    while piece := list(itertools.islice(rows, _PIECE_ROWS)):
        yield _to_text(piece)


def _to_text(rows: Iterable[Sequence[Cell]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()
