"""A user's own tables: columns of a catalogue that are no labels, or cannot be told, are refused with file and row."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import settings as tuned
from hypothesis import strategies as some

from embedder.recipes import Dropped, Prepared, find_recipe
from embedder.resolve import resolve_dataset
from embedder.sources.entries import check_columns, read_entry
from shared.errors import BadInput, BadStudy, BadTable, MissingColumn, SameSkyError
from shared.modalities import CatalogueColumn, Modality
from shared.requests import DatasetRequest
from shared.settings import Settings

Refused = Callable[..., AbstractContextManager[None]]
Plain = dict[str, Any]
FILE = "train-00000-of-00001.parquet"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings that let a study name folders under `roots`."""
    (tmp_path / "roots").mkdir()
    return Settings.read({"SAMESKY_DATASET_ROOTS": str(tmp_path / "roots")})


def save(folder: Path, x: pa.Array) -> None:
    folder.mkdir()
    pq.write_table(pa.table({"x": x, "name": pa.array([f"g{row}" for row in range(len(x))])}), folder / FILE)


def ask(folder: Path, columns: list[Any], **label: Any) -> DatasetRequest:
    own = {"name": "sky", "folder": str(folder), "modalities": {"near": {"kind": "text", "columns": columns}}}
    return DatasetRequest.model_validate({**own, "labels": {"redshift": {"column": "x", **label}}})


def words(*values: Any, kind: Any = None) -> pa.Array:
    return pa.array(values, kind)


CLASSES: Plain = {"classes": ["I", "II"]}
NO_TEXT = pa.Array.from_buffers(
    pa.string(), 3, [None, pa.py_buffer(np.array([0, 1, 2, 3], np.int32)), pa.py_buffer(b"I\xffI")]
)
LABELS: list[tuple[str, pa.Array, Plain, type[SameSkyError], str]] = [
    ("of no such column", words(1, 2, 3), {"column": "z"}, MissingColumn, "has no column z; expected a column"),
    ("of words", words("a", "b", "c"), {}, BadTable, "is a string; expected a column of numbers; if its words are"),
    ("of lists", words([1.0], [2.0], [3.0]), {}, BadTable, "is a list<"),
    ("of structs", words({"a": 1}, {"a": 2}, {"a": 3}), {}, BadTable, "is a struct<"),
    ("of bytes", words(b"a", b"b", b"c"), CLASSES, BadTable, "is a binary"),
    ("of times", words(1, 2, 3, kind=pa.timestamp("s")), {}, BadTable, "is a timestamp"),
    ("of decimals", words(1, 2, 3, kind=pa.decimal128(5)), {}, BadTable, "is a decimal128"),
    ("of nothing", pa.nulls(3), {}, BadTable, "is a null"),
    ("of which nothing is known", words(None, np.nan, None), {}, BadTable, "is known of 0 of 3 objects"),
    ("that is infinite", words(np.inf, -np.inf, 1.0), {}, BadTable, "is known of 1 of 3 objects, all alike"),
    ("too large to be kept", words(1e300, 2e300, 1.0), {}, BadTable, "is known of 1 of 3 objects"),
    ("that is always the same", words(0.5, 0.5, 0.5), {}, BadTable, "of 3 of 3 objects, all alike"),
    ("alike in single precision", words(1.0, 1.0 + 1e-12, 1.0), {}, BadTable, "of 3 of 3 objects, all alike"),
    ("that is missing by its own word", words(-99, -99, 1), {"missing": [-99]}, BadTable, "known of 1 of 3"),
    ("of a class nobody named", words("I", "II", "III"), CLASSES, BadTable, f"{FILE}, row 2: the redshift in column x"),
    (
        "of a class in small letters",
        words("I", "ii", "II"),
        CLASSES,
        BadTable,
        "row 1: the redshift in column x is 'ii'",
    ),
    (
        "of a class that is a number",
        words(1, 2, 3),
        {"classes": ["1", "2"]},
        BadTable,
        "row 2: the redshift in column x",
    ),
    ("of one class", words("I", "I", None), CLASSES, BadTable, "is known of 2 of 3 objects, all alike"),
    ("of a class of 10,000 letters", words("I", "x" * 10_000, "II"), CLASSES, BadTable, "row 1: the redshift"),
    ("of a class that prints no more", words("I", "\x1b[2J", "II"), CLASSES, BadTable, "row 1: the redshift"),
    ("of a class that is no text", NO_TEXT, CLASSES, BadTable, f"{FILE}, row 1: a string that is not UTF-8"),
    ("of one word for all classes", words("I", "II", "I"), {"classes": ["I"]}, BadStudy, "at least two words"),
    ("of a class named twice", words("I", "II", "I"), {"classes": ["I", "I"]}, BadStudy, "each once"),
    ("of a class with a space", words("I", "II", "I"), {"classes": ["I", " II"]}, BadStudy, "white space"),
]


@pytest.mark.parametrize(
    ("column", "fields", "error", "says"), [pytest.param(*case, id=name) for name, *case in LABELS]
)
def test_a_label_is_refused(
    refused: Refused,
    tmp_path: Path,
    settings: Settings,
    column: pa.Array,
    fields: Plain,
    error: type[SameSkyError],
    says: str,
) -> None:
    folder = tmp_path / "roots" / "sky"
    save(folder, x=column)
    with refused(error, says):
        resolve_dataset(ask(folder, ["name"], **fields), settings, labels=True)


TEXTS: list[tuple[str, pa.Array, list[Any], type[SameSkyError], str]] = [
    ("of no such column", words(1, 2, 3), ["x", "u"], MissingColumn, "has no column u; expected a column"),
    ("of lists", words([1.0], [2.0], [3.0]), ["x"], BadTable, "column x of near is a list<"),
    ("of images", words({"band": ["g"]}, None, None), ["x"], BadTable, "is a struct<"),
    ("of bytes", words(b"a", b"b", b"c"), ["x"], BadTable, "expected a column of plain numbers or strings"),
    ("of times", words(1, 2, 3, kind=pa.timestamp("s")), ["x"], BadTable, "is a timestamp"),
    ("of nothing", pa.nulls(3), ["x"], BadTable, "is a null"),
    ("of a column twice", words(1, 2, 3), ["x", {"name": "x"}], BadStudy, "told once each"),
]


@pytest.mark.parametrize(
    ("column", "columns", "error", "says"), [pytest.param(*case, id=name) for name, *case in TEXTS]
)
def test_a_text_is_refused(
    refused: Refused,
    tmp_path: Path,
    settings: Settings,
    column: pa.Array,
    columns: list[Any],
    error: type[SameSkyError],
    says: str,
) -> None:
    folder = tmp_path / "roots" / "sky"
    save(folder, x=column)
    with refused(error, says):
        resolve_dataset(ask(folder, columns), settings)


PLAIN_ARROW = some.recursive(
    some.none() | some.booleans() | some.integers(-5, 5) | some.floats() | some.text(max_size=3),
    lambda inner: some.lists(inner, max_size=3),
    max_leaves=6,
)


@tuned(max_examples=300, deadline=None, derandomize=True, database=None)
@given(some.lists(PLAIN_ARROW, min_size=1, max_size=4), some.booleans())
def test_any_column_is_a_catalogues_or_a_named_error(values: list[Any], classed: bool) -> None:
    label = Modality(name="x", kind="label", column="x", recipe="label-v1", classes=("0", "1") if classed else ())
    text = Modality(name="x", kind="text", recipe="sentence-v1", columns=(CatalogueColumn(name="x"),))
    try:
        batch = pa.record_batch({"x": pa.array(values)})
    except (pa.ArrowInvalid, pa.ArrowTypeError):  # no column can hold this
        return
    for modality in (label, text):
        try:
            check_columns(batch.schema, modality)
            entries = [read_entry(batch, row, modality) for row in range(len(values))]
        except BadInput as error:
            said = str(error)
            assert said.isprintable()
            continue
        shown = [find_recipe(modality.recipe).prepare(entry, modality) for entry in entries]
        for entry, found in zip(entries, shown, strict=True):
            assert isinstance(found, Dropped if entry.values["x"] is None else Dropped | Prepared)
