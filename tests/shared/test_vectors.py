"""Vectors and their part files: laws, foreign readers, and files that are none."""

from __future__ import annotations

import io
import itertools
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from shared.errors import BadName, BadTable, DuplicateObjectIds, NotFinite
from shared.vectors import Vectors, concatenate, read_ids, read_part, write_part

Floats = npt.NDArray[np.float32]
object_ids = st.text(st.characters(exclude_categories=("Cc", "Cs")), min_size=1, max_size=20)


@st.composite
def some_vectors(draw: st.DrawFn, min_rows: int = 0) -> Vectors:
    ids = tuple(draw(st.lists(object_ids, min_size=min_rows, max_size=8, unique=True)))
    shape = (len(ids), draw(st.integers(1, 5)))
    numbers = st.floats(width=32, allow_nan=False, allow_infinity=False)
    return Vectors(ids, draw(arrays(np.float32, shape, elements=numbers)))


def _simple(rows: int, dimension: int = 3, first: int = 0) -> Vectors:
    matrix = np.arange(rows * dimension, dtype=np.float32).reshape(rows, dimension) + first
    return Vectors(tuple(f"g{first + row}" for row in range(rows)), matrix)


@settings(max_examples=50)
@given(some_vectors())
def test_a_part_comes_back_to_the_bit(vectors: Vectors) -> None:
    data = write_part(vectors)
    back = read_part(data)
    assert back.object_ids == vectors.object_ids == read_ids(data)
    assert back.matrix.dtype == np.float32
    assert back.matrix.shape == vectors.matrix.shape
    assert back.matrix.tobytes() == vectors.matrix.tobytes()
    assert write_part(back) == data


@settings(max_examples=50)
@given(some_vectors(min_rows=1), st.data())
def test_taking_rows_takes_ids_along(vectors: Vectors, data: st.DataObject) -> None:
    rows = data.draw(st.permutations(range(len(vectors))))[: data.draw(st.integers(0, len(vectors)))]
    taken = vectors.take(np.array(rows, dtype=np.int64))
    known = dict(zip(vectors.object_ids, vectors.matrix, strict=True))
    assert len(taken) == len(rows)
    assert all(known[name].tobytes() == row.tobytes() for name, row in zip(taken.object_ids, taken.matrix, strict=True))


@settings(max_examples=50)
@given(some_vectors(), st.lists(st.integers(0, 8), max_size=3))
def test_cutting_and_concatenating_is_nothing(vectors: Vectors, cuts: list[int]) -> None:
    edges = [0, *sorted(min(cut, len(vectors)) for cut in cuts), len(vectors)]
    parts = [vectors.take(np.arange(a, b)) for a, b in itertools.pairwise(edges)]
    whole = concatenate(iter(parts))
    assert whole.object_ids == vectors.object_ids
    assert whole.matrix.tobytes() == vectors.matrix.tobytes()


def test_any_parquet_reader_opens_a_part() -> None:
    vectors = _simple(4)
    data = write_part(vectors)
    table = pq.read_table(io.BytesIO(data))
    assert table.column_names == ["object_id", "vector"]
    assert table.schema.field("object_id").type == pa.string()
    assert pa.types.is_fixed_size_list(table.schema.field("vector").type)
    assert table.column("vector").to_pylist() == vectors.matrix.tolist()
    frame = pd.read_parquet(io.BytesIO(data))
    assert tuple(frame["object_id"]) == vectors.object_ids
    assert np.array_equal(np.stack(frame["vector"].to_list()), vectors.matrix)


def test_a_part_of_dropped_objects_keeps_its_dimension() -> None:
    empty = read_part(write_part(Vectors((), np.empty((0, 7), np.float32))))
    assert (len(empty), empty.dimension) == (0, 7)
    assert concatenate([empty, _simple(2, 7)]).object_ids == ("g0", "g1")


def test_a_matrix_in_column_order_is_stored_by_rows() -> None:
    matrix = np.asfortranarray(_simple(5).matrix)
    back = read_part(write_part(Vectors(_simple(5).object_ids, matrix)))
    assert np.array_equal(back.matrix, matrix)


def test_vectors_cannot_be_changed_and_leave_the_caller_free() -> None:
    mine = np.ones((2, 3), np.float32)
    vectors = Vectors(("a", "b"), mine)
    with pytest.raises(ValueError, match="read-only"):
        vectors.matrix[0, 0] = 5
    mine[0, 0] = 5  # the caller's own array stays writeable


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_vector_that_is_not_finite_names_its_object(value: float) -> None:
    matrix = np.zeros((4, 3), np.float32)
    matrix[1, 2] = matrix[3, 0] = value
    with pytest.raises(NotFinite, match=r"'b' .*\(2 such objects\)"):
        Vectors(("a", "b", "c", "d"), matrix)


def test_an_id_that_stands_twice_is_named() -> None:
    with pytest.raises(DuplicateObjectIds, match="'b' stands twice"):
        Vectors(("a", "b", "c", "b"), np.zeros((4, 2), np.float32))
    with pytest.raises(DuplicateObjectIds, match="'g1'"):
        concatenate([_simple(2), _simple(2, first=1)])


@pytest.mark.parametrize("object_id", ["", "a\n", "x" * 257])
def test_an_impossible_id_is_refused(object_id: str) -> None:
    with pytest.raises(BadName):
        Vectors((object_id,), np.zeros((1, 2), np.float32))


@pytest.mark.parametrize(
    ("ids", "matrix"),
    [
        (("a",), np.zeros((2, 2), np.float32)),
        (("a",), np.zeros((1, 2), np.float64)),
        (("a",), np.zeros(1, np.float32)),
        (("a",), np.zeros((1, 0), np.float32)),
    ],
    ids=["fewer ids", "float64", "one axis", "no dimension"],
)
def test_another_shape_or_type_is_a_mistake(ids: tuple[str, ...], matrix: Any) -> None:
    with pytest.raises(ValueError, match="vectors"):
        Vectors(ids, matrix)


def _parquet(**columns: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"PAR1",
        b"not a table" * 100,
        write_part(_simple(50))[:-20],
        write_part(_simple(50))[:100] + write_part(_simple(50))[300:],
        _parquet(a=[1]),
        _parquet(object_id=["a"]),
        _parquet(object_id=["a"], vector=[[1.0, 2.0]]),
        _parquet(object_id=["a"], vector=pa.array([[1.0, 2.0]], pa.list_(pa.float64(), 2))),
        _parquet(object_id=["a", None], vector=pa.array([[1.0], None], pa.list_(pa.float32(), 1))),
    ],
    ids=["empty", "magic", "text", "cut", "hole", "other", "no vector", "free lists", "float64", "nulls"],
)
def test_what_is_not_a_part_is_a_bad_table(data: bytes) -> None:
    with pytest.raises(BadTable, match="a part"):
        read_part(data)


@settings(max_examples=150)
@given(st.data())
def test_a_part_with_any_byte_changed_is_vectors_or_a_named_error(data: st.DataObject) -> None:
    good = bytearray(write_part(_simple(6)))
    good[data.draw(st.integers(0, len(good) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        assert np.isfinite(read_part(bytes(good)).matrix).all()
    except (BadTable, BadName, DuplicateObjectIds, NotFinite) as error:
        assert error.wrong  # noqa: PT017
