"""The plain columns of a table to what a catalogue says of one object. Imports pyarrow and numpy.

Null, NaN, words of white space alone, and what a column is said to have for a missing value are one and the same:
unknown. They are no error here; a recipe counts them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from embedder.samples import Entry, Value, entry_columns
from shared.errors import BadTable
from shared.modalities import GIVEN, Modality


def check_columns(schema: pa.Schema, modality: Modality) -> None:
    """Raise BadTable for a column that is not plain numbers or words, or not what the label is said to be."""
    for name in entry_columns(modality):
        kind = _plain_type(schema.field(name).type)
        if modality.kind in GIVEN and not modality.classes and not _is_number(kind):
            of_words = modality.kind == "label" and _is_word(kind)
            remedy = "if its words are classes, name them under `classes`" if of_words else "name another column"
            what = f"{modality.kind} {modality.name}" if modality.kind == "label" else modality.name
            raise BadTable(f"column {name} of {what} is a {kind!s:.120}", "a column of numbers", remedy)
        if not (_is_number(kind) or _is_word(kind)):
            raise BadTable(
                f"column {name} of {modality.name} is a {kind!s:.120}",
                "a column of plain numbers or strings",
                "name another column",
            )


def read_entry(batch: pa.RecordBatch, row: int, modality: Modality) -> Entry:
    """What row `row` of a batch says of its object. Raises BadTable for a word that is no class; the caller says where.

    Words have no white space around them; a class that stands as a whole number or as true or false is its word.
    """
    values = {
        name: _read(batch.column(batch.schema.get_field_index(name)), row, missing)
        for name, missing in entry_columns(modality).items()
    }
    if modality.classes:
        values = {name: _read_class(value, modality) for name, value in values.items()}
    return Entry(values)


def _read(column: pa.Array, row: int, missing: Sequence[float | str]) -> Value:
    value = column[row].as_py()
    if isinstance(value, str):
        value = value.strip()
        return None if not value or value in missing else value
    if value is None or math.isnan(value):
        return None
    stand_ins = [_narrow(number) for number in missing if not isinstance(number, str)]
    if stand_ins and _narrow(value) in stand_ins:
        return None
    return value if isinstance(value, int) else float(value)


def _read_class(value: Value, modality: Modality) -> Value:
    if value is None:
        return None
    if isinstance(value, bool):
        word = str(value).lower()
    elif isinstance(value, float) and value.is_integer():  # how a column of whole numbers with gaps is often kept
        word = str(int(value))
    else:
        word = str(value)
    if word not in modality.classes:
        raise BadTable(
            f"the {modality.name} in column {modality.column} is {word!r:.80}",
            f"one of {', '.join(modality.classes)}, or nothing",
            "name all classes of the label",
        )
    return word


def _narrow(value: float) -> float:
    """In single precision: a column of float32 that says -99.9 says -99.90000153 in double."""
    with np.errstate(over="ignore"):
        return float(np.float32(value))


def _plain_type(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind))


def _is_word(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))
