"""One element of a column of lists to the vector that somebody published of an object. Imports pyarrow and numpy."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from embedder.samples import Vector
from shared.errors import BadTable, NotFinite, ZeroVector
from shared.modalities import MOST_NUMBERS, Modality


def holds_vectors(kind: pa.DataType) -> bool:
    """Whether a column of this type holds lists of floating-point numbers, of fixed size or not."""
    is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    return bool(is_list and pa.types.is_floating(kind.value_type))


def check_vector_column(field: pa.Field) -> None:
    """Raise BadTable for a column that holds no vectors; the caller says in which file."""
    if not holds_vectors(field.type):
        raise BadTable(
            f"column {field.name} is a {field.type!s:.120}",
            "a list of float16, float32 or float64 of every object",
            "leave the column out, or write its vectors as lists of numbers",
        )


def measure_vector(column: pa.Array, row: int, name: str) -> int:
    """How many numbers the vector in element `row` has: 1 to MOST_NUMBERS. Raises BadTable; the caller says where."""
    length = len(_numbers(column, row, name))
    if length > MOST_NUMBERS:
        raise BadTable(
            f"column {name} has a vector of {length:,} numbers", f"at most {MOST_NUMBERS:,}", "leave the column out"
        )
    return length


def read_vector(column: pa.Array, row: int, modality: Modality) -> Vector:
    """The vector in element `row`, in single precision: what is float32 keeps every bit.

    Raises BadTable for a null or another length than the first row's, NotFinite for NaN, infinity, and what single
    precision cannot hold, ZeroVector; the caller says where.
    """
    numbers = _numbers(column, row, modality.column)
    if len(numbers) != modality.dimension:
        raise BadTable(
            f"column {modality.column} has {len(numbers)} numbers here", f"{modality.dimension}, as in its first row"
        )
    with np.errstate(over="ignore"):
        values = numbers.astype(np.float32)
    if not np.isfinite(values).all():
        too_large = np.isfinite(numbers).all()
        raise NotFinite(
            f"column {modality.column} has " + ("numbers beyond single precision" if too_large else "NaN or infinity"),
            "finite numbers",
            "leave the row out of the table, or the column out of `embeddings`",
        )
    if not values.any():
        raise ZeroVector(
            f"column {modality.column} has a zero vector",
            "a vector with a direction",
            "leave the row out of the table, or the column out of `embeddings`",
        )
    return Vector(values, rounded=bool((values != numbers).any()))


def _numbers(column: pa.Array, row: int, name: str) -> npt.NDArray[Any]:
    listed = column[row]
    if not listed.is_valid:
        raise BadTable(f"column {name} is null", "a vector of every object", "leave the row out of the table")
    if listed.values.null_count:
        raise BadTable(f"column {name} has a null in a vector", "a number in every place")
    numbers: npt.NDArray[Any] = listed.values.to_numpy(zero_copy_only=False)
    if not len(numbers):
        raise BadTable(f"column {name} has an empty list", "a vector of at least one number")
    return numbers
