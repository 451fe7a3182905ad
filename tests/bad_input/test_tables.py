"""A user's own tables: what cannot be read, or shown, is refused before a study is accepted, naming file and row."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from fsspec.implementations.local import LocalFileSystem
from hypothesis import HealthCheck, given
from hypothesis import settings as tuned
from hypothesis import strategies as some

from embedder.resolve import resolve_dataset
from embedder.sources.columns import read_observation
from embedder.sources.kinds import open_source
from embedder.sources.parquet import ParquetSource
from embedder.sources.splits import TableFiles
from shared.errors import (
    BadInput,
    BadTable,
    DuplicateObjectIds,
    EmptyDataset,
    MissingBand,
    MissingColumn,
    SameSkyError,
)
from shared.modalities import Modality
from shared.requests import DatasetRequest
from shared.settings import Settings

Refused = Callable[..., AbstractContextManager[None]]
Plain = dict[str, Any]
FILE = "train-00000-of-00001.parquet"
CUBE = pa.list_(pa.list_(pa.list_(pa.float32())))
BAND = pa.list_(pa.string())


def flux(rows: int = 3, side: int = 8, seed: int = 0) -> Any:
    return np.random.default_rng(seed).normal(size=(rows, 1, side, side)).astype(np.float32).tolist()


def image(values: Any, kind: Any = CUBE, band: Any = None, scale: Any = None, **fields: Any) -> pa.Array:
    """A column of images, of any flux, bands and scale."""
    rows = len(values)
    made = {
        "band": pa.array([["g"]] * rows if band is None else band, BAND if band is None else None),
        "flux": values if isinstance(values, pa.Array | pa.ExtensionArray) else pa.array(values, kind),
        "scale": pa.array([1.0] * rows if scale is None else scale),
        **fields,
    }
    return pa.StructArray.from_arrays(list(made.values()), list(made))


def save(folder: Path, name: str = FILE, **columns: Any) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    rows = len(next(iter(columns.values())))
    columns.setdefault("object_id", pa.array([f"g{row}" for row in range(rows)]))
    pq.write_table(pa.table(columns), folder / name)


def shown(**how: Any) -> Callable[[Path], None]:
    """A table of images of this kind."""
    values = how.pop("values", None)
    return lambda folder: save(folder, x=image(flux() if values is None else values, **how))


def identified(*ids: Any, kind: Any = None) -> Callable[[Path], None]:
    """A good table with these object ids."""
    return lambda folder: save(folder, x=image(flux(len(ids))), object_id=pa.array(ids, kind))


def bytes_at(name: str, make: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    """A file of a good table's bytes, changed."""

    def write(folder: Path) -> None:
        save(folder, x=image(flux()))
        data = (folder / FILE).read_bytes()
        (folder / FILE).unlink()
        (folder / name).write_bytes(make(data))

    return write


def empty(folder: Path) -> None:
    folder.mkdir(parents=True)


def loop_of_links(folder: Path) -> None:
    folder.symlink_to(folder)


def link_out(folder: Path) -> None:
    folder.symlink_to("/etc")


def dangling(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / FILE).symlink_to("nowhere.parquet")


def file_loop(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / FILE).symlink_to(FILE)


def a_folder_for_a_file(folder: Path) -> None:
    (folder / FILE).mkdir(parents=True)


def a_card(configs: Any = None, **config: Any) -> Callable[[Path], None]:
    """A good table with a dataset card, which the library of datasets would follow wherever it points."""

    def write(folder: Path) -> None:
        save(folder.parent.parent / "secret", x=image(flux()))
        save(folder, x=image(flux()))
        data = {"configs": [{"config_name": "default", **config}] if configs is None else configs}
        (folder / "README.md").write_text(f"---\n{yaml.safe_dump(data)}---\n")

    return write


def a_hidden_card(folder: Path) -> None:
    save(folder, x=image(flux()))
    (folder / ".huggingface.yaml").write_text("configs: []\n")


def a_card_that_is_no_yaml(folder: Path) -> None:
    save(folder, x=image(flux()))
    (folder / "README.md").write_text("---\nconfigs: [a\n  - : }\n---\n")


def a_script(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / f"{folder.name}.py").write_text("raise SystemExit('executed')\n")


def two_files_that_differ(folder: Path) -> None:
    save(folder, "train-00000-of-00002.parquet", x=image(flux()), object_id=pa.array(["a", "b", "c"]))
    save(folder, "train-00001-of-00002.parquet", y=image(flux()), object_id=pa.array(["d", "e", "f"]))


def two_files_of_one_id(folder: Path) -> None:
    for name in ("train-00000-of-00002.parquet", "train-00001-of-00002.parquet"):
        save(folder, name, x=image(flux()))


def without_ids(folder: Path) -> None:
    save(folder, x=image(flux()))
    pq.write_table(pq.read_table(folder / FILE).drop_columns("object_id"), folder / FILE)


UNEVEN = flux()
UNEVEN[0][0][3] = [1.0]
NESTED = pa.list_(pa.list_(pa.float32()))
TENSOR = pa.fixed_shape_tensor(pa.float32(), [8, 8, 1], permutation=[2, 0, 1])
PERMUTED = pa.ExtensionArray.from_storage(
    TENSOR, pa.FixedSizeListArray.from_arrays(pa.array(np.ones(192, np.float32)), 64)
)

TABLES: list[tuple[str, Callable[[Path], None], type[SameSkyError], str]] = [
    ("an empty folder", empty, EmptyDataset, "has no data files"),
    ("a loop of links", loop_of_links, BadInput, "cannot be a folder"),
    ("a link out of the roots", link_out, BadInput, "SAMESKY_DATASET_ROOTS"),
    ("a link to nowhere", dangling, EmptyDataset, "has no data files"),
    ("a file that is a link to itself", file_loop, EmptyDataset, "has no data files"),
    ("a folder named as a table", a_folder_for_a_file, EmptyDataset, "has no data files"),
    ("a card that names files outside", a_card(data_files=f"../../secret/{FILE}"), BadInput, "outside"),
    ("a card that names a URL", a_card(data_files=f"http://127.0.0.1:9/{FILE}"), BadInput, "outside"),
    ("a card that is no YAML", a_card_that_is_no_yaml, BadTable, "cannot be read"),
    ("a card that names another folder", a_card(data_dir="../../secret"), BadInput, "outside"),
    ("a card that names a file by its whole path", a_card(data_files=["/etc/passwd"]), BadInput, "outside"),
    ("a card that names a file in an archive", a_card(data_files="zip://x::/etc/a.zip"), BadInput, "outside"),
    ("a card that names what is not there", a_card(data_files="none/*.parquet"), EmptyDataset, "has no data files"),
    ("a card that names a file that is not there", a_card(data_files="none.parquet"), EmptyDataset, "none.parquet"),
    ("a card of splits that are none", a_card(data_files=[{"split": "a-b", "path": "x"}]), BadTable, "is no dataset"),
    ("a card of configs in a text", a_card(configs="default"), BadTable, "no list of mappings"),
    ("a hidden card", a_hidden_card, BadInput, ".huggingface.yaml"),
    ("a script for a table", a_script, BadTable, "scripts are no longer supported"),
    ("a file of no bytes", bytes_at(FILE, lambda data: b""), BadTable, f"{FILE} cannot be read"),
    ("a file of zeros", bytes_at(FILE, lambda data: bytes(5000)), BadTable, f"{FILE} cannot be read"),
    ("a file cut in half", bytes_at(FILE, lambda data: data[: len(data) // 2]), BadTable, f"{FILE} cannot be read"),
    ("a file cut by a byte", bytes_at(FILE, lambda data: data[:-1]), BadTable, f"{FILE} cannot be read"),
    ("a page of zeros", bytes_at(FILE, lambda data: b"PAR1" + bytes(300) + data[304:]), BadTable, f"{FILE} cannot be"),
    ("CSV by the name of Parquet", bytes_at(FILE, lambda data: b"object_id,x\na,1\n"), BadTable, f"{FILE} cannot be"),
    ("CSV", bytes_at("train.csv", lambda data: b"object_id,x\na,1\n"), EmptyDataset, "no Parquet files"),
    ("a pickle", bytes_at("train.pkl", lambda data: b"\x80\x04."), EmptyDataset, "has no data files"),
    ("no rows", lambda folder: save(folder, x=image([])), EmptyDataset, "has no rows"),
    ("no such column", lambda folder: save(folder, y=image(flux())), MissingColumn, "has no column x"),
    ("a column of numbers", lambda folder: save(folder, x=pa.array([1.0, 2.0, 3.0])), MissingColumn, "it is a double"),
    ("a column of texts", lambda folder: save(folder, x=pa.array(["a", "b", "c"])), MissingColumn, "it is a string"),
    ("a column of JPEGs", lambda folder: save(folder, x=pa.array([b"\xff\xd8"] * 3)), MissingColumn, "it is a binary"),
    ("a column of nulls", lambda folder: save(folder, x=pa.nulls(3)), MissingColumn, "it is a null"),
    ("a column of lists", lambda folder: save(folder, x=pa.array(flux(), CUBE)), MissingColumn, "it is a list"),
    ("an image that is null", lambda folder: save(folder, x=pa.nulls(3, image(flux()).type)), BadTable, "x is null"),
    ("flux that is null", shown(values=[None] * 3), BadTable, "row 0: a null where numbers"),
    ("flux that is text", shown(values=[[["1"]]] * 3, kind=pa.list_(BAND)), BadTable, "2 levels of string"),
    ("flux of texts in a cube", shown(values=[[[["1"]]]] * 3, kind=pa.list_(pa.list_(BAND))), BadTable, "string"),
    ("flux of too few levels", shown(values=[[[1.0]]] * 3, kind=NESTED), BadTable, "2 levels of float"),
    ("flux of too many levels", shown(values=[flux()] * 3, kind=pa.list_(CUBE)), BadTable, "4 levels of float"),
    ("flux of a number", shown(values=[1.0, 2.0, 3.0], kind=pa.float32()), BadTable, "0 levels of float"),
    ("flux of a null inside", shown(values=[[[None, [1.0]]]] * 3), BadTable, "rows of 0 and of 1 numbers"),
    ("flux of planes that are null", shown(values=[[None]] * 3), BadTable, "shape (1, 0"),
    ("rows of uneven length", shown(values=UNEVEN), BadTable, "row 0: rows of 1 and of 8 numbers"),
    ("no planes", shown(values=[[]] * 3), BadTable, "row 0: "),
    ("no pixels", shown(values=[[[]]] * 3), BadTable, "shape (1, 0"),
    ("rows of no pixels", shown(values=[[[[], []]]] * 3), BadTable, "shape (1, 2, 0)"),
    ("a tensor of other axes", shown(values=PERMUTED), BadTable, "a tensor of permuted axes"),
    ("one pixel", shown(values=[[[[1.0]]]] * 3), BadInput, "2 to 1 pixels"),
    ("more planes than bands", shown(values=[[[[1.0]], [[2.0]]]] * 3), BadTable, "2 planes of flux for 1 bands"),
    ("bands that are null", shown(band=pa.array([None] * 3, BAND)), BadTable, "the bands None"),
    ("a band that is null", shown(band=pa.array([[None]] * 3, BAND)), BadTable, "the bands [None]"),
    ("bands that are numbers", shown(band=pa.array([[1]] * 3)), BadTable, "the bands [1]"),
    ("bands that are one text", shown(band=pa.array(["grz"] * 3)), BadTable, "the bands 'grz'"),
    ("bands that are structs", shown(band=pa.array([{"a": 1}] * 3)), BadTable, "the bands {"),
    ("another band", shown(band=pa.array([["r"]] * 3, BAND)), MissingBand, "no band g; it has r"),
    ("a scale of nought", shown(scale=[0.0] * 3), BadTable, "one positive scale"),
    ("a scale that is NaN", shown(scale=[np.nan] * 3), BadTable, "one positive scale"),
    ("a scale that is text", shown(scale=["one"] * 3), BadTable, "scale"),
    ("a scale that is a struct", shown(scale=[{"x": 1.0}] * 3), BadTable, "scale"),
    ("no scale in the list", shown(scale=pa.array([[]] * 3, pa.list_(pa.float32()))), BadTable, "scale"),
    ("a scale too few", shown(scale=[[None]] * 3), BadTable, "scale"),
    ("the smallest scale there is", shown(scale=[5e-324] * 3), BadInput, "pixels"),
    ("ids that are null", identified("a", None, "c"), BadTable, f"{FILE}, row 1: the object id in column object_id"),
    ("ids that are all null", identified(None, None, kind=pa.null()), BadTable, "row 0: the object id"),
    ("an id twice", identified("a", "b", "a"), DuplicateObjectIds, f"'a' stands in {FILE}, row 0, and in {FILE}, row"),
    ("a number twice", identified(1, 2, 1), DuplicateObjectIds, "object id '1'"),
    ("a number and its text", two_files_of_one_id, DuplicateObjectIds, "object id 'g0' stands in train-00000-of-00002"),
    ("ids of half numbers", identified(0.5, 1.5), BadTable, "a string or a whole number"),
    ("ids that are true or false", identified(True, False), BadTable, "a string or a whole number"),
    ("ids that are bytes", identified(b"a", b"b"), BadTable, "a string or a whole number"),
    ("ids that are lists", identified(["a"], ["b"]), BadTable, "a string or a whole number"),
    ("an id without letters", identified("a", ""), BadTable, f"{FILE}, row 1: an object id of 0 characters"),
    ("an id of 257 letters", identified("a", "x" * 257), BadTable, "row 1: an object id of 257 characters"),
    ("an id with a NUL", identified("a", "b\0"), BadTable, "row 1: the object id 'b\\x00' has control characters"),
    ("an id with a line feed", identified("a", "b\nc"), BadTable, "has control characters"),
    (
        "no id column",
        without_ids,
        MissingColumn,
        "has no column object_id",
    ),
]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings that let a study name folders under `roots`."""
    roots = {"SAMESKY_DATASET_ROOTS": str(tmp_path / "roots"), "SAMESKY_CACHE_DIR": str(tmp_path / "cache")}
    (tmp_path / "roots").mkdir()
    return Settings.read(roots)


def ask(folder: Path, **modality: Any) -> DatasetRequest:
    shown_as = {"column": "x", "bands": ["g"], "field_arcsec": 4, **modality}
    if shown_as.get("kind") == "spectrum":
        shown_as = {"column": "x", "kind": "spectrum", "recipe": "spectrum-v1"}
    given_ = {"name": "sky", "folder": str(folder), "id_column": "object_id", "modalities": {"near": shown_as}}
    return DatasetRequest.model_validate(given_)


@pytest.mark.parametrize(("write", "error", "says"), [pytest.param(*case, id=name) for name, *case in TABLES])
def test_a_table_is_refused(
    refused: Refused,
    tmp_path: Path,
    settings: Settings,
    write: Callable[[Path], None],
    error: type[SameSkyError],
    says: str,
) -> None:
    folder = tmp_path / "roots" / "sky"
    write(folder)
    with refused(error, says):
        resolve_dataset(ask(folder), settings)


LINE = pa.list_(pa.float32())
GOOD: Plain = {"flux": [1.0, 2.0, 3.0], "ivar": [1.0] * 3, "lambda": [1.0, 2.0, 3.0], "mask": [True] * 3}
SPECTRA: list[tuple[str, Plain | None, type[SameSkyError], str]] = [
    ("null", None, BadTable, "x is null"),
    ("without wavelengths", {**GOOD, "lambda": None}, BadTable, "a null where numbers"),
    ("of no samples", {name: [] for name in GOOD}, BadTable, "shape (0,)"),
    ("of columns that differ", {**GOOD, "ivar": [1.0]}, BadTable, "samples; expected the same number in each"),
]


@pytest.mark.parametrize(("row", "error", "says"), [pytest.param(*case, id=name) for name, *case in SPECTRA])
def test_a_spectrum_is_refused(
    refused: Refused, tmp_path: Path, settings: Settings, row: Plain | None, error: type[SameSkyError], says: str
) -> None:
    folder = tmp_path / "roots" / "sky"
    kind = pa.struct({"flux": LINE, "ivar": LINE, "lambda": LINE, "mask": pa.list_(pa.bool_())})
    save(folder, x=pa.array([row] * 3, kind))
    with refused(error, says):
        resolve_dataset(ask(folder, kind="spectrum"), settings)


def test_a_folder_that_may_not_be_entered_is_refused(refused: Refused, tmp_path: Path, settings: Settings) -> None:
    folder = tmp_path / "roots" / "sky"
    save(folder, x=image(flux()))
    if os.geteuid() == 0:
        (folder / os.fsdecode(b"\xff.txt")).write_text("a name that is not UTF-8")
    else:
        (folder / FILE).chmod(0)
    with refused(BadInput, "cannot be read"):
        resolve_dataset(ask(folder), settings)


def test_a_table_that_changed_since_its_study_is_refused(refused: Refused, tmp_path: Path, settings: Settings) -> None:
    folder = tmp_path / "roots" / "sky"
    save(folder, x=image(flux()))
    dataset, _ = resolve_dataset(ask(folder), settings)
    save(folder, x=image(flux(seed=1)))
    with refused(BadInput, "is not the one the study was accepted with"):
        open_source(dataset, settings)


def test_rows_are_named_far_into_a_table(refused: Refused, tmp_path: Path, settings: Settings) -> None:
    folder = tmp_path / "roots" / "sky"
    values = flux(30)
    values[23][0][1] = [1.0]
    save(folder, x=image(values))
    dataset, modalities = resolve_dataset(ask(folder), settings)
    with refused(BadTable, f"{FILE}, row 23: rows of 1 and of 8 numbers"):
        list(open_source(dataset, settings).read(modalities[0], 0, 30))


def plain_arrow() -> some.SearchStrategy[Any]:
    numbers = some.none() | some.booleans() | some.integers(-5, 5) | some.floats() | some.text(max_size=3)
    return some.recursive(numbers, lambda inner: some.lists(inner, max_size=3), max_leaves=6)


@tuned(max_examples=200, deadline=None, derandomize=True, database=None)
@given(some.fixed_dictionaries({"band": plain_arrow(), "flux": plain_arrow(), "scale": plain_arrow()}))
def test_any_struct_is_an_image_or_a_named_error(row: Plain) -> None:
    modality = Modality(name="near", kind="image", column="x", recipe="arcsinh-image-v1", bands=("g",))
    try:
        column = pa.StructArray.from_arrays([pa.array([row[name]]) for name in row], list(row))
    except (pa.ArrowInvalid, pa.ArrowTypeError):  # no column can hold this
        return
    try:
        found = read_observation(column, 0, modality)
    except BadInput as error:
        said = str(error)
        assert said.isprintable()
    else:
        assert found.flux.ndim == 3


@tuned(
    max_examples=60,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(picked=some.data())
def test_any_bytes_changed_in_a_table_are_read_or_refused(twin: Path, tmp_path: Path, picked: some.DataObject) -> None:
    data = bytearray((twin / FILE).read_bytes())
    for _ in range(picked.draw(some.integers(1, 3))):
        start = picked.draw(some.integers(0, len(data) - 1))
        data[start : start + picked.draw(some.integers(0, 4))] = picked.draw(some.binary(max_size=4))
    file = tmp_path / FILE
    file.write_bytes(data)
    modality = Modality(name="near", kind="image", column="near_image", recipe="arcsinh-image-v1", bands=("near",))
    table = ParquetSource(TableFiles((str(file),), LocalFileSystem()), "object_id")
    try:
        rows = table.rows
        list(table.read_ids(rows))
        list(table.read(modality, 0, rows))
    except BadInput as error:
        said = str(error)
        assert said.isprintable()
