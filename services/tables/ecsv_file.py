"""A table as ECSV, the text format of astropy, with units, descriptions and meta. Imports astropy when one is made."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from services.tables.table import Cell, Column, Table
from shared.errors import one_line

if TYPE_CHECKING:
    from astropy.table import Column as AstropyColumn

_EMPTY: dict[str, Cell] = {"text": "", "truth": False, "whole": 0, "number": 0.0}
_TYPES = {"text": "str", "truth": "bool", "whole": "int64", "number": "float64"}


def to_ecsv(table: Table) -> bytes:
    """ECSV 1.0, UTF-8: `astropy.table.Table.read` gives the same columns, units, descriptions and meta.

    Null is masked; so is an empty text, which the format cannot tell from it. A text stands on one line, without spaces
    around it, as astropy (8.0) would read it. Raises ValueError for a row that astropy would take for a comment: one
    whose first text begins with `#`.
    """
    from astropy.table import Table as AstropyTable

    if any(isinstance(row[0], str) and row[0].lstrip().startswith("#") for row in table.rows):
        raise ValueError("a row whose first text begins with '#' would be read as a comment")
    made = AstropyTable([_column(column, table) for column in table.columns], meta={"title": table.title, **table.meta})
    text = io.StringIO()
    made.write(text, format="ascii.ecsv")
    return text.getvalue().encode()


def _column(column: Column, table: Table) -> AstropyColumn:
    from astropy.table import Column as AstropyColumn
    from astropy.table import MaskedColumn

    cells = table.cells(column)
    told = {"name": column.name, "unit": column.unit or None, "description": column.description or None}
    filled = [_fill(column, cell) for cell in cells]
    if not column.nullable:
        return AstropyColumn(filled, dtype=_TYPES[column.kind], **told)
    return MaskedColumn(filled, mask=[cell is None for cell in cells], dtype=_TYPES[column.kind], **told)


def _fill(column: Column, cell: Cell) -> Cell:
    if isinstance(cell, str):
        return one_line(cell)
    return _EMPTY[column.kind] if cell is None else cell
