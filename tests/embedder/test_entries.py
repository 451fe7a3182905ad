"""What a catalogue says of its objects: plain columns of real Parquet files, and what is said of any others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from embedder.samples import Entry, Value
from embedder.sources.parquet import ParquetSource
from embedder.sources.splits import find_folder_files
from shared.errors import BadTable, MissingColumn
from shared.modalities import CatalogueColumn, Modality

Table = Callable[..., ParquetSource]
FILE = "train-00000-of-00001.parquet"


@pytest.fixture
def table(tmp_path: Path) -> Table:
    """Write a table of these columns, in row groups of two, and open it."""

    def write(id_column: str | None = None, **columns: Any) -> ParquetSource:
        pq.write_table(pa.table(columns), tmp_path / FILE, row_group_size=2)
        return ParquetSource(find_folder_files(tmp_path, "train"), id_column)

    return write


def label(column: str = "z", **fields: Any) -> Modality:
    return Modality(name="redshift", kind="label", column=column, recipe="label-v1", **fields)


def text(*columns: str | CatalogueColumn) -> Modality:
    named = tuple(CatalogueColumn(name=column) if isinstance(column, str) else column for column in columns)
    return Modality(name="catalogue", kind="text", recipe="sentence-v1", columns=named)


def read(source: ParquetSource, modality: Modality, start: int = 0, stop: int = 99) -> list[dict[str, Value]]:
    entries = [sample.observation for sample in source.read(modality, start, stop)]
    assert all(isinstance(entry, Entry) for entry in entries)
    return [dict(entry.values) for entry in entries if isinstance(entry, Entry)]


def values(source: ParquetSource, modality: Modality) -> list[Value]:
    return [entry[modality.column] for entry in read(source, modality)]


@pytest.mark.parametrize("kind", [pa.float64(), pa.float32(), pa.float16()])
def test_numbers_are_read_and_nan_or_null_is_unknown(table: Table, kind: pa.DataType) -> None:
    column = pa.array([np.float16(0.5), None, np.float16(np.nan), np.float16(-np.inf), np.float16(0)], kind)
    found = values(table(z=column), label())
    assert found == [0.5, None, None, -np.inf, 0.0]
    assert {type(value) for value in found} == {float, type(None)}


def test_whole_numbers_and_truths_stay_what_they_are(table: Table) -> None:
    source = table(n=pa.array([3, None, 2**60], pa.int64()), b=pa.array([True, None, False]))
    found = read(source, text("n", "b"))
    assert found == [{"n": 3, "b": True}, {"n": None, "b": None}, {"n": 2**60, "b": False}]
    assert [type(value) for value in found[2].values()] == [int, bool]


@pytest.mark.parametrize(
    "kind", [pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int8(), pa.string())]
)
def test_words_have_no_white_space_around_them_and_blanks_are_unknown(table: Table, kind: pa.DataType) -> None:
    column = pa.array([" E0 ", None, "", "  ", "S c"]).cast(kind)
    assert values(table(z=column), label(classes=("E0", "S c"))) == ["E0", None, None, None, "S c"]


def test_a_categorical_of_pandas_is_read_as_its_words(tmp_path: Path) -> None:
    frame = pd.DataFrame({"fr": pd.Categorical(["I", None, "II"]), "z": [0.1, np.nan, 0.3]})
    frame.to_parquet(tmp_path / FILE)
    source = ParquetSource(find_folder_files(tmp_path, "train"), None)
    assert values(source, label("fr", classes=("I", "II"))) == ["I", None, "II"]
    assert values(source, label()) == [0.1, None, 0.3]


@pytest.mark.parametrize("kind", [pa.float32(), pa.float64(), pa.int16()])
def test_what_stands_for_an_unknown_value_is_unknown(table: Table, kind: pa.DataType) -> None:
    whole = pa.types.is_integer(kind)
    stand_in = -99 if whole else -99.9
    column = pa.array([1, stand_in, 2, -1], kind)
    assert values(table(z=column), label(missing=(stand_in, -1, "n/a"))) == [1, None, 2, None]
    assert values(table(z=column), label(missing=(-1.0,)))[1] == pytest.approx(stand_in)


def test_words_that_stand_for_an_unknown_one_are_unknown(table: Table) -> None:
    column = pa.array(["I", "?", "II", " n/a"])
    assert values(table(z=column), label(classes=("I", "II"), missing=("?", "n/a"))) == ["I", None, "II", None]
    told = text(CatalogueColumn(name="z", missing=("?", "n/a")), CatalogueColumn(name="n", missing=(0,)))
    found = read(table(z=column, n=pa.array([0.0, 1.0, -0.0, 2.0])), told)
    assert found == [{"z": "I", "n": None}, {"z": None, "n": 1.0}, {"z": "II", "n": None}, {"z": None, "n": 2.0}]


@pytest.mark.parametrize(
    ("column", "classes", "words"),
    [
        (pa.array([0, 2, None, 1]), ("0", "1", "2"), ["0", "2", None, "1"]),
        (pa.array([0.0, 2.0, None, 1.0]), ("0", "1", "2"), ["0", "2", None, "1"]),
        (pa.array([0.5, 1.5, None, 0.5]), ("0.5", "1.5"), ["0.5", "1.5", None, "0.5"]),
        (pa.array([True, False, None, True]), ("false", "true"), ["true", "false", None, "true"]),
    ],
    ids=["whole", "whole, with a gap", "halves", "truths"],
)
def test_classes_may_stand_as_numbers(
    table: Table, column: pa.Array, classes: tuple[str, ...], words: list[Value]
) -> None:
    assert values(table(z=column), label(classes=classes)) == words


def test_any_row_range_is_the_same_rows_with_their_ids(table: Table) -> None:
    ids = pa.array([f"g{row}" for row in range(7)])
    source = table(id_column="name", name=ids, u=pa.array(np.arange(7.0)), w=pa.array(list("abcdefg")))
    for start, stop in ((0, 7), (3, 5), (6, 7), (2, 2), (5, 99)):
        samples = list(source.read(text("u", "w"), start, stop))
        wanted = range(start, min(stop, 7))
        assert [(sample.object_id, sample.row) for sample in samples] == [(f"g{row}", row) for row in wanted]
        assert [entry["u"] for entry in read(source, text("u", "w"), start, stop)] == [float(row) for row in wanted]
    assert read(source, text("name", "u"), 0, 1) == [{"name": "g0", "u": 0.0}]  # the ids may be told, too


def test_only_the_columns_asked_for_are_read(table: Table, tmp_path: Path) -> None:
    noise = pa.array(np.random.default_rng(0).bytes(1000) for _ in range(40))
    source = table(z=pa.array(np.arange(40.0)), noise=noise)
    damaged = bytearray((tmp_path / FILE).read_bytes())
    footer = pq.read_metadata(tmp_path / FILE)
    for group in range(footer.num_row_groups):
        chunk = footer.row_group(group).column(1)
        start = chunk.dictionary_page_offset or chunk.data_page_offset
        damaged[start : start + chunk.total_compressed_size] = bytes(chunk.total_compressed_size)
    (tmp_path / FILE).write_bytes(damaged)
    assert len(values(source, label())) == 40


@pytest.mark.parametrize(
    ("column", "modality", "error", "says"),
    [
        (pa.array([0.1]), label("redshift"), MissingColumn, "has no column redshift; .*it has z"),
        (pa.array([0.1]), text("z", "u"), MissingColumn, "has no column u"),
        (pa.array([[0.1]]), label(), BadTable, "column z of label redshift is a list.*; expected a column of numbers"),
        (pa.array([{"a": 1}]), text("z"), BadTable, "column z of catalogue is a struct.*plain numbers or strings"),
        (pa.array([b"I"]), label(classes=("I", "II")), BadTable, "is a binary; expected a column of plain"),
        (pa.nulls(1), label(), BadTable, "is a null; expected a column of numbers"),
        (pa.array(["I"]), label(), BadTable, "is a string; .*name them under `classes`"),
        (pa.array([0]).cast(pa.timestamp("s")), text("z"), BadTable, "is a timestamp"),
    ],
)
def test_a_column_that_is_not_plain_is_named(
    table: Table, column: pa.Array, modality: Modality, error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        read(table(z=column), modality)


def test_a_column_twice_is_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table([pa.array([1.0]), pa.array([2.0])], ["z", "z"]), tmp_path / FILE)
    with pytest.raises(BadTable, match="has several columns z; expected one of each name"):
        read(ParquetSource(find_folder_files(tmp_path, "train"), None), label())


def test_a_word_that_is_no_class_is_said_with_its_file_and_row(table: Table) -> None:
    source = table(z=pa.array(["I", None, "II", "III"]))
    with pytest.raises(BadTable, match=rf"{FILE}, row 3: the redshift in column z is 'III'; expected one of I, II"):
        read(source, label(classes=("I", "II")))
    assert len(read(source, label(classes=("I", "II")), 0, 3)) == 3


def test_a_string_that_is_no_text_is_said_with_its_file_and_row(table: Table) -> None:
    spoiled = pa.Array.from_buffers(
        pa.string(), 2, [None, pa.py_buffer(np.array([0, 1, 2], np.int32)), pa.py_buffer(b"I\xff")]
    )
    with pytest.raises(BadTable, match=rf"{FILE}, row 1: a string that is not UTF-8"):
        read(table(z=spoiled), text("z"))
