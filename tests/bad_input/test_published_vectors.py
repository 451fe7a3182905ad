"""A table of published vectors: columns that are nobody's, or hold no vectors, are refused with file and row."""

from __future__ import annotations

from collections.abc import Callable, Iterator
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

from embedder.published import resolve_published
from embedder.recipes import Prepared, find_recipe
from embedder.resolve import resolve_dataset
from embedder.sources.kinds import open_source
from embedder.sources.vectors import check_vector_column, measure_vector, read_vector
from shared.contracts import EmbeddingSpec
from shared.errors import (
    BadTable,
    DuplicateObjectIds,
    EmptyDataset,
    MissingColumn,
    NotFinite,
    SameSkyError,
    UnknownName,
    ZeroVector,
)
from shared.modalities import Modality
from shared.requests import DatasetRequest
from shared.settings import Settings

Refused = Callable[..., AbstractContextManager[None]]
Plain = dict[str, Any]
FILE = "train-00000-of-00002.parquet"
OTHER = "train-00001-of-00002.parquet"
GOOD = [[0.5, 1.0], [1.5, 2.0], [2.5, 3.0], [3.5, 4.0]]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings that let a study name folders under `roots`."""
    (tmp_path / "roots").mkdir()
    return Settings.read({"SAMESKY_DATASET_ROOTS": str(tmp_path / "roots")})


def column(*rows: Any, kind: Any = None) -> pa.Array:
    return pa.array(rows, kind or pa.list_(pa.float64()))


def save(folder: Path, first: Plain, second: Plain | None = None) -> None:
    folder.mkdir()
    again = {**first, "id": pa.array([4, 5, 6, 7][: len(next(iter(first.values())))], pa.int64())}
    for name, columns in ((FILE, first), (OTHER, second or again)):
        rows = max(map(len, columns.values()))
        pq.write_table(pa.table({"id": pa.array(range(rows)), **columns}), folder / name)


def specify(folder: Path, settings: Settings, **fields: Any) -> tuple[EmbeddingSpec, ...]:
    asked = {"name": "sky", "folder": str(folder), "id_column": "id", "embeddings": "all", **fields}
    request = DatasetRequest.model_validate(asked)
    return resolve_published(request, resolve_dataset(request, settings)[0], settings)


def told(*names: str, **fields: str) -> Plain:
    return {"embeddings": {name: {"model": "vit-base", "modality": "hsc", **fields} for name in names}}


def vit(*rows: Any, kind: Any = None) -> Plain:
    return {"vit_base_hsc": column(*rows, kind=kind)}


NEAR = {"vitt_base_hsc": column(*GOOD)}
SPECTRA = {"vit_base_desi": column(*GOOD)}
FLAT = pa.array([1.0, 2.0, 3.0, 4.0])
DINOS = {"dino_base_hsc": column(*GOOD), "dinov2_base_hsc": column(*GOOD)}
LETTERS = {"vit_base_hsc": column(*GOOD), "ViT-Base_HSC": column(*GOOD)}
X, XY = {"x": column(*GOOD)}, {"x": column(*GOOD), "y": column(*GOOD)}
WORDS = vit(["a"], ["b"], ["c"], ["d"], kind=pa.list_(pa.string()))
WHOLE = vit([1], [2], [3], [4], kind=pa.list_(pa.int32()))
DOOR: list[tuple[str, Plain, Plain, type[SameSkyError], str]] = [
    ("of no model", X, {}, BadTable, "or to `samesky import`: --column for one column, --modality for a"),
    ("of a model that is nearly one", NEAR, {}, BadTable, "near ones are vit_base_hsc"),
    ("of an image model shown spectra", SPECTRA, {}, BadTable, "takes image data, and desi is spectrum data"),
    ("without vectors", {"z": FLAT}, {}, BadTable, "no column of sky holds vectors"),
    ("of a column that prints no more", {"\x1b[2J": FLAT}, {}, BadTable, r"it has id, \x1b[2J"),
    ("of one model twice", DINOS, {}, BadTable, "'dino_base_hsc' and 'dinov2_base_hsc' are both dinov2-base of hsc"),
    ("of one model in two spellings", LETTERS, {}, BadTable, "'vit_base_hsc' and 'ViT-Base_HSC' are both vit-base"),
    ("told alike of two columns", XY, told("x", "y"), BadTable, "'x' and 'y' are both vit-base of hsc"),
    ("told of a column that is not there", X, told("y"), MissingColumn, f"{FILE} has no column y"),
    ("told of a model nobody has", X, told("x", model="vit-bas"), UnknownName, "vit-base"),
    ("told of a layer it has not", X, told("x", layer="block-12"), UnknownName, "block-11"),
    ("told of all layers", X, told("x", layer="all"), UnknownName, "no layer of vit-base 'all'"),
    ("of strings", WORDS, {}, BadTable, f"{FILE}: column vit_base_hsc is a list<element: string>"),
    ("of whole numbers", WHOLE, {}, BadTable, "expected a list of float16, float32 or float64"),
    ("of matrices", {"vit_base_hsc": pa.array([[[1.0]]] * 4)}, {}, BadTable, "is a list<element: list<"),
    ("of numbers", {"vit_base_hsc": FLAT}, {}, BadTable, "is a double"),
    ("of structs", {"vit_base_hsc": pa.array([{"a": 1.0}] * 4)}, {}, BadTable, "is a struct<"),
    ("of bytes", {"vit_base_hsc": pa.array([b"\x80\x04K\x01."] * 4)}, {}, BadTable, "is a binary"),
    ("that is null at once", vit(None, *GOOD[1:]), {}, BadTable, f"{FILE}, row 0: column vit_base_hsc is null"),
    ("that is empty at once", vit([], *GOOD[1:]), {}, BadTable, "row 0: column vit_base_hsc has an empty list"),
    (
        "longer than any",
        vit(*[[1.0] * 100_001] * 4),
        {},
        BadTable,
        f"{FILE}, row 0: column vit_base_hsc has a vector of",
    ),
    ("with a null in a vector", vit([None, 1.0], *GOOD[1:]), {}, BadTable, "has a null in a vector"),
    ("without rows", {**vit(), "id": pa.array([], pa.int64())}, {}, EmptyDataset, "has no rows"),
    ("without the id column", vit(*GOOD), {"id_column": "name"}, MissingColumn, "no column name"),
    ("with vectors for ids", vit(*GOOD), {"id_column": "vit_base_hsc"}, BadTable, f"{FILE}, row 0: the object id in"),
    ("with a null id", {**vit(*GOOD), "id": pa.array([0, 1, None, 3])}, {}, BadTable, f"{FILE}, row 2: the object id"),
    (
        "with an id twice",
        {**vit(*GOOD), "id": pa.array([0, 1, 2, 4])},
        {},
        DuplicateObjectIds,
        f"object id '4' stands in {FILE}, row 3, and in {OTHER}, row 0",
    ),
]


@pytest.mark.parametrize(("columns", "fields", "error", "says"), [pytest.param(*case, id=name) for name, *case in DOOR])
def test_a_table_is_refused(
    refused: Refused, tmp_path: Path, settings: Settings, columns: Plain, fields: Plain, error: Any, says: str
) -> None:
    folder = tmp_path / "roots" / "sky"
    save(folder, columns)
    with refused(error, says):
        specify(folder, settings, **fields)


AT = "row 2: column vit_base_hsc"
ROWS: list[tuple[str, pa.Array, type[SameSkyError], str]] = [
    (
        "shorter than the first",
        column(*GOOD[:2], [1.0], GOOD[3]),
        BadTable,
        f"{AT} has 1 numbers here; expected 2, as in",
    ),
    ("longer than the first", column(*GOOD[:2], [1.0] * 900, GOOD[3]), BadTable, f"{AT} has 900 numbers here"),
    ("of no number", column(*GOOD[:2], [], GOOD[3]), BadTable, f"{AT} has an empty list"),
    ("that is null", column(*GOOD[:2], None, GOOD[3]), BadTable, f"{AT} is null"),
    ("with a null in it", column(*GOOD[:2], [1.0, None], GOOD[3]), BadTable, f"{AT} has a null in a vector"),
    ("with NaN", column(*GOOD[:2], [1.0, np.nan], GOOD[3]), NotFinite, f"{AT} has NaN or infinity"),
    ("with infinity", column(*GOOD[:2], [-np.inf, 1.0], GOOD[3]), NotFinite, f"{AT} has NaN or infinity"),
    ("beyond single precision", column(*GOOD[:2], [1e300, 1.0], GOOD[3]), NotFinite, f"{AT} has numbers beyond single"),
    ("of noughts", column(*GOOD[:2], [0.0, -0.0], GOOD[3]), ZeroVector, f"{AT} has a zero vector"),
    ("that rounds to nought", column(*GOOD[:2], [1e-300, 0.0], GOOD[3]), ZeroVector, f"{AT} has a zero vector"),
]


@pytest.mark.parametrize(("vectors", "error", "says"), [pytest.param(*case, id=name) for name, *case in ROWS])
def test_a_row_is_refused(
    refused: Refused, tmp_path: Path, settings: Settings, vectors: pa.Array, error: Any, says: str
) -> None:
    folder = tmp_path / "roots" / "sky"
    save(folder, {"vit_base_hsc": column(*GOOD)}, {"vit_base_hsc": vectors, "id": pa.array([4, 5, 6, 7])})
    (spec,) = specify(folder, settings)
    with refused(error, f"{OTHER}, {says}"):
        list(open_source(spec.dataset, settings).read(spec.modality, 0, 8))


@pytest.mark.parametrize(
    ("second", "error", "says"),
    [
        pytest.param(pa.array(["a"] * 4), BadTable, f"{OTHER}: column vit_base_hsc is a string", id="of another type"),
        pytest.param(None, MissingColumn, f"{OTHER} has no column vit_base_hsc", id="that lacks the column"),
    ],
)
def test_another_file_is_refused(
    refused: Refused, tmp_path: Path, settings: Settings, second: Any, error: Any, says: str
) -> None:
    folder = tmp_path / "roots" / "sky"
    others = {} if second is None else {"vit_base_hsc": second}
    save(folder, {"vit_base_hsc": column(*GOOD)}, {"id": pa.array([4, 5, 6, 7]), **others})
    (spec,) = specify(folder, settings)
    with refused(error, says):
        list(open_source(spec.dataset, settings).read(spec.modality, 0, 8))


@pytest.mark.parametrize(
    "made", [b"", b"PAR1", b"id,vit_base_hsc\n1,[0.5]\n"], ids=["of no bytes", "cut off", "of CSV"]
)
def test_a_file_is_refused(refused: Refused, tmp_path: Path, settings: Settings, made: bytes) -> None:
    file = tmp_path / "roots" / "vectors.parquet"
    file.write_bytes(made)
    with refused(BadTable, "vectors.parquet cannot be read"):
        specify(file, settings)


def columns_of_lists() -> Iterator[some.SearchStrategy[pa.Array]]:
    numbers = some.floats(width=32) | some.none()
    rows = some.none() | some.lists(numbers, max_size=3)
    for kind in (pa.list_(pa.float32()), pa.large_list(pa.float64()), pa.list_(pa.float16())):
        yield some.lists(rows, min_size=1, max_size=5).map(lambda made, kind=kind: make_column(made, kind))
    yield some.lists(some.none() | some.lists(numbers, min_size=2, max_size=2), min_size=1, max_size=5).map(
        lambda made: pa.array(made, pa.list_(pa.float32(), 2))
    )


def make_column(rows: list[Any], kind: pa.DataType) -> pa.Array:
    if kind.value_type == pa.float16():
        with np.errstate(over="ignore"):
            rows = [None if row is None else [None if x is None else np.float16(x) for x in row] for row in rows]
    return pa.array(rows, kind)


@tuned(max_examples=200, deadline=None, derandomize=True, database=None)
@given(some.one_of(*columns_of_lists()), some.integers(0, 2))
def test_any_column_of_lists_is_vectors_or_a_named_error(made: pa.Array, skipped: int) -> None:
    check_vector_column(pa.field("v", made.type))
    made = made.slice(min(skipped, len(made) - 1))
    try:
        length = measure_vector(made, 0, "v")
        modality = Modality(name="v", kind="vector", column="v", recipe="vector-v1", dimension=length)
        read = [read_vector(made, row, modality) for row in range(len(made))]
    except (BadTable, NotFinite, ZeroVector) as error:
        said = str(error)
        assert said.isprintable()
        return
    for vector, given_row in zip(read, made.to_pylist(), strict=True):
        shown = find_recipe("vector-v1").prepare(vector, modality)
        assert isinstance(shown, Prepared)
        assert isinstance(shown.values, np.ndarray)
        assert shown.values.dtype == np.float32
        assert np.isfinite(shown.values).all()
        assert shown.values.any()
        assert shown.values.tobytes() == np.array(given_row).astype(np.float32).tobytes()
