"""A table: typed columns with unit and description, rows, and what is true of all of them.

Imports pydantic and `shared` only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self, TypeAlias

from pydantic import BaseModel

from shared.columns import Form, Shown

Kind = Literal["text", "truth", "whole", "number"]
Cell: TypeAlias = str | bool | int | float | None
Meta = Mapping[str, Any]
"""Plain JSON values by name."""

_KINDS: dict[str, Kind] = {"string": "text", "boolean": "truth", "integer": "whole", "number": "number"}


@dataclass(frozen=True, slots=True)
class Column:
    """One column. kind: text, truth value, whole number or number. unit: as astropy writes it, or empty.

    nullable: whether a cell may be None, for what is not known or does not apply. form, printed: as in `Shown`.
    """

    name: str
    kind: Kind
    unit: str = ""
    description: str = ""
    nullable: bool = False
    form: Form = "plain"
    printed: bool = True


@dataclass(frozen=True, slots=True)
class Table:
    """Rows, each with a cell for every column. name: of the table among tables, and of its file.

    title: a sentence for people. meta: what is true of the whole table, as plain JSON.
    """

    name: str
    title: str
    columns: tuple[Column, ...]
    rows: Sequence[tuple[Cell, ...]]
    meta: Meta

    @classmethod
    def of(cls, row: type[BaseModel], rows: Iterable[BaseModel], *, name: str, title: str, meta: Meta) -> Self:
        """The table of these rows: a column for each field of their model, in its order."""
        columns = columns_of(row)
        names = [column.name for column in columns]
        cells = tuple(tuple(getattr(each, name) for name in names) for each in rows)
        return cls(name=name, title=title, columns=columns, rows=cells, meta=meta)

    def cells(self, column: Column) -> list[Cell]:
        """The cells of one of the columns, from top to bottom."""
        place = self.columns.index(column)
        return [row[place] for row in self.rows]


def columns_of(row: type[BaseModel]) -> tuple[Column, ...]:
    """The columns of a row's model. Raises KeyError for a field that is no text, truth value or number."""
    schemas = row.model_json_schema()["properties"]
    return tuple(_column(name, schemas[name], field.metadata) for name, field in row.model_fields.items())


def _column(name: str, schema: Mapping[str, Any], metadata: Iterable[object]) -> Column:
    shown = next((one for one in metadata if isinstance(one, Shown)), Shown())
    choices = [choice["type"] for choice in schema.get("anyOf", (schema,))]
    (kind,) = (_KINDS[choice] for choice in choices if choice != "null")
    return Column(
        name=name,
        kind=kind,
        unit=shown.unit,
        description=schema.get("description", ""),
        nullable="null" in choices,
        form=shown.form,
        printed=shown.printed,
    )
