"""Part files: whatever bytes are given, they are the vectors that were written, or a named error."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.orc
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from shared.contracts import EmbeddingSpec
from shared.embeddings import commit_manifest, load_object_ids, load_vectors, read_manifest, store_part
from shared.errors import (
    AlteredPart,
    BadName,
    BadRecord,
    BadTable,
    DuplicateObjectIds,
    EmptyDataset,
    MissingPart,
    NotFinite,
    SameSkyError,
)
from shared.outcomes import Attempt, Manifest, Part
from shared.records import sha256_of
from shared.store import DirectoryStore
from shared.vectors import Vectors, read_ids, read_part, write_part

Refused = Callable[..., AbstractContextManager[None]]
IDS = ("a", "b", "c")
NUMBERS = np.arange(12, dtype=np.float32).reshape(3, 4) + 1
ROWS = NUMBERS.tolist()


def table(ids: Any = IDS, vectors: Any = ROWS, *, id_type: Any = None, vector_type: Any = None, **how: Any) -> bytes:
    """A part file written by hand, as `write_part` would not."""
    element = pa.field("element", pa.float32(), nullable=False)
    id_type, vector_type = id_type or pa.string(), vector_type or pa.list_(element, 4)
    nullable = how.pop("nullable", False)
    fields = [("object_id", id_type), ("vector", vector_type)]
    schema = pa.schema([pa.field(name, kind, nullable=nullable) for name, kind in fields])
    return parquet(pa.Table.from_arrays([pa.array(ids, id_type), pa.array(vectors, vector_type)], schema=schema), **how)


def parquet(made: pa.Table, **how: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(made, sink, **how)
    return sink.getvalue()


def whole() -> bytes:
    return write_part(Vectors(IDS, NUMBERS))


def spoiled(number: float) -> bytes:
    """A part with one other number in it."""
    rows = NUMBERS.tolist()
    rows[1][2] = number
    return table(vectors=rows)


def columns(**made: Any) -> bytes:
    return parquet(pa.table(made))


def with_footer_length(length: int) -> bytes:
    data = whole()
    return data[:-8] + struct.pack("<I", length) + data[-4:]


def other_file(kind: str) -> bytes:
    plain, sink = pa.table({"object_id": list(IDS), "vector": NUMBERS.tolist()}), io.BytesIO()
    if kind == "orc":
        pa.orc.write_table(plain, sink)
    elif kind == "feather":
        pa.feather.write_feather(plain, sink)
    elif kind == "npy":
        np.save(sink, NUMBERS, allow_pickle=False)
    else:
        with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("part.parquet", bytes(5_000_000))
    return sink.getvalue()


def bomb_of_vectors() -> bytes:
    """64 MB of equal numbers in some kilobytes."""
    kind = pa.list_(pa.field("element", pa.float32(), nullable=False), 4096)
    numbers = pa.FixedSizeListArray.from_arrays(pa.array(np.ones(4096 * 4096, np.float32)), type=kind)
    ids = pa.array([str(row) for row in range(4096)])
    schema = pa.schema([pa.field("object_id", pa.string(), False), pa.field("vector", kind, False)])
    return parquet(pa.Table.from_arrays([ids, numbers], schema=schema), compression="zstd")


WHOLE = len(whole())
FLAT = pa.list_(pa.float32())
PARTS = [
    ("no bytes", lambda: b"", BadTable, "cannot be read"),
    ("one byte", lambda: b"P", BadTable, "cannot be read"),
    ("the magic word alone", lambda: b"PAR1", BadTable, "cannot be read"),
    ("the magic word twice", lambda: b"PAR1PAR1", BadTable, "cannot be read"),
    ("zeros", lambda: bytes(1000), BadTable, "cannot be read"),
    ("text", lambda: b"object_id,vector\na,1\n", BadTable, "cannot be read"),
    ("a page of HTML", lambda: b"<!doctype html><p>404</p>" * 20, BadTable, "cannot be read"),
    ("a zip bomb", lambda: other_file("zip"), BadTable, "cannot be read"),
    ("an ORC file", lambda: other_file("orc"), BadTable, "cannot be read"),
    ("a Feather file", lambda: other_file("feather"), BadTable, "cannot be read"),
    ("a NumPy array", lambda: other_file("npy"), BadTable, "cannot be read"),
    ("cut by a byte", lambda: whole()[:-1], BadTable, "cannot be read"),
    ("cut in half", lambda: whole()[: WHOLE // 2], BadTable, "cannot be read"),
    ("without its first byte", lambda: whole()[1:], BadTable, "cannot be read"),
    ("a byte after its end", lambda: whole() + b"\0", BadTable, "cannot be read"),
    ("a footer of nothing", lambda: with_footer_length(0), BadTable, "cannot be read"),
    ("a footer longer than the file", lambda: with_footer_length(2**31 - 1), BadTable, "cannot be read"),
    ("a footer of four gigabytes", lambda: with_footer_length(2**32 - 1), BadTable, "cannot be read"),
    ("a body of zeros under a good footer", lambda: b"PAR1" + bytes(150) + whole()[154:], BadTable, "cannot be read"),
    ("no columns", lambda: parquet(pa.table({})), BadTable, "of no name"),
    ("no vectors", lambda: columns(object_id=["a"]), BadTable, "columns object_id: string"),
    ("no ids", lambda: columns(vector=pa.array([[1.0]], FLAT)), BadTable, "columns vector: list"),
    ("columns by other names", lambda: columns(id=["a"], vectors=[[1.0]]), BadTable, "columns id: string"),
    ("an extra column", lambda: columns(object_id=["a"], vector=[[1.0]], z=[0.1]), BadTable, "z: double"),
    ("a column twice", lambda: parquet(pa.table([["a"], ["b"]], ["object_id", "object_id"])), BadTable, "columns"),
    ("ids that are numbers", lambda: table((1, 2, 3), id_type=pa.int64()), BadTable, "object_id: int64"),
    ("ids that are bytes", lambda: table((b"a", b"b", b"c"), id_type=pa.binary()), BadTable, "object_id: binary"),
    (
        "vectors of float64",
        lambda: table(vector_type=pa.list_(pa.field("element", pa.float64(), False), 4)),
        BadTable,
        "vector: fixed_size_list<element: double",
    ),
    (
        "vectors of whole numbers",
        lambda: table(vectors=NUMBERS.astype(int).tolist(), vector_type=pa.list_(pa.int32(), 4)),
        BadTable,
        "fixed_size_list<element: int32",
    ),
    ("vectors that are text", lambda: table(vectors=["1", "2", "3"], vector_type=pa.string()), BadTable, "vector: str"),
    ("vectors of uneven length", lambda: table(vectors=[[1.0], [], [2.0, 3.0]], vector_type=FLAT), BadTable, "list<"),
    ("vectors of vectors", lambda: table(vectors=[[[1.0]]] * 3, vector_type=pa.list_(FLAT)), BadTable, "list<"),
    (
        "a column of numbers for vectors",
        lambda: table(vectors=[1.0] * 3, vector_type=pa.float32()),
        BadTable,
        "vector: float",
    ),
    ("nulls among the ids", lambda: table(("a", None, "c"), nullable=True), BadTable, "none of them nullable"),
    ("nulls among the vectors", lambda: table(vectors=[[1.0] * 4, None, None], nullable=True), BadTable, "nullable"),
    (
        "nulls inside a vector",
        lambda: table(vectors=[[1.0, None, 1.0, 1.0]] * 3, vector_type=pa.list_(pa.float32(), 4)),
        BadTable,
        "none of them nullable",
    ),
    ("a NaN", lambda: spoiled(np.nan), NotFinite, "the vector of object 'b' has NaN or infinity"),
    ("an infinity", lambda: spoiled(np.inf), NotFinite, "the vector of object 'b'"),
    ("a negative infinity", lambda: spoiled(-np.inf), NotFinite, "the vector of object 'b'"),
    ("a number too large for float32", lambda: spoiled(1e39), NotFinite, "the vector of object 'b'"),
    ("an id twice", lambda: table(("a", "b", "a")), DuplicateObjectIds, "object id 'a' stands twice"),
    ("an id without characters", lambda: table(("a", "", "c")), BadName, "an object id of 0 characters"),
    ("an id of 10,000 characters", lambda: table(("a", "x" * 10_000, "c")), BadName, "object id of 10000 characters"),
    ("an id with a line feed", lambda: table(("a", "b\n", "c")), BadName, "'b\\n' has control characters"),
    ("an id with a NUL", lambda: table(("a", "b\0", "c")), BadName, "'b\\x00' has control characters"),
    ("an id with an escape", lambda: table(("a", "\x1b[2J", "c")), BadName, "has control characters"),
    ("ids that are not UTF-8", lambda: whole().replace(b"\x01\0\0\0b", b"\x01\0\0\0\xff"), BadTable, "cannot be read"),
    ("64 MB of numbers in a small file", bomb_of_vectors, BadTable, "4096 vectors of 4096 numbers"),
    ("an id of 64 MB in a small file", lambda: table(("a", "x" * 2**26, "c"), compression="zstd"), BadTable, "ids of"),
]


@pytest.mark.parametrize(("make", "error", "says"), [pytest.param(*case, id=name) for name, *case in PARTS])
def test_a_part_is_refused(refused: Refused, make: Callable[[], bytes], error: type[SameSkyError], says: str) -> None:
    data = make()
    with refused(error, says):
        read_part(data)


VECTORS = [
    ("a NaN", IDS, np.full((3, 4), np.nan, np.float32), NotFinite, "object 'a'"),
    ("an id twice", ("a", "b", "b"), NUMBERS, DuplicateObjectIds, "object id 'b' stands twice"),
    ("an id without characters", ("a", "", "c"), NUMBERS, BadName, "0 characters"),
    ("an id with a tab", ("a", "b\t", "c"), NUMBERS, BadName, "control characters"),
    ("half of a surrogate pair", ("a", "\ud800", "c"), NUMBERS, BadName, "control characters"),
]


@pytest.mark.parametrize(("ids", "matrix", "error", "says"), [pytest.param(*case, id=name) for name, *case in VECTORS])
def test_vectors_are_refused_before_anything_is_stored(
    refused: Refused,
    store: DirectoryStore,
    job: Callable[..., EmbeddingSpec],
    ids: Any,
    matrix: Any,
    error: type[SameSkyError],
    says: str,
) -> None:
    with refused(error, says):
        keep(store, job(), 0, ids, matrix)


def keep(store: DirectoryStore, spec: EmbeddingSpec, index: int, ids: Any, matrix: Any, attempt: str = "one") -> Part:
    left_out = {"empty-image": spec.model.part_rows - len(ids)}
    vectors = Vectors(tuple(ids), matrix)
    return store_part(
        store,
        spec,
        Attempt(name=attempt, worker="test:1"),
        index,
        vectors,
        dropped=left_out,
        repaired={},
        seconds=1.0,
        at="2026-01-01T00:00:00.000+00:00",
        device="cpu",
        packages={},
    )


def commit(store: DirectoryStore, spec: EmbeddingSpec, parts: dict[int, Part]) -> Manifest:
    return commit_manifest(store, spec, parts)


def four_parts(store: DirectoryStore, spec: EmbeddingSpec) -> dict[int, Part]:
    return {index: keep(store, spec, index, [f"{index}-{name}" for name in IDS], NUMBERS) for index in range(4)}


def swap(store: DirectoryStore, parts: dict[int, Part], data: bytes, **claimed: Any) -> dict[int, Part]:
    """Part 2 replaced by other bytes, under a receipt that knows their hash."""
    store.put(parts[2].key, data)
    changes = {"size": len(data), "sha256": sha256_of(data), **claimed}
    return {**parts, 2: parts[2].model_copy(update=changes)}


def bytes_of(ids: Any, matrix: Any = NUMBERS) -> bytes:
    return write_part(Vectors(tuple(ids), matrix))


WIDE = np.ones((3, 5), np.float32)
EMBEDDINGS = [
    ("a part that is gone", lambda store, parts: store.delete(parts[2].key) or parts, MissingPart, "part-00002"),
    ("a part cut short", lambda store, parts: store.put(parts[2].key, whole()[:-9]) or parts, AlteredPart, "part-0000"),
    (
        "a part of other bytes",
        lambda store, parts: store.put(parts[2].key, bytes_of("xyz")) or parts,
        AlteredPart,
        "part-00002",
    ),
    ("a part that is no table", lambda store, parts: swap(store, parts, b"no table"), BadTable, "cannot be read"),
    ("a part with an id of another", lambda *at: swap(*at, bytes_of(("0-a", "x", "y"))), DuplicateObjectIds, "'0-a'"),
    (
        "fewer rows than the receipt says",
        lambda *at: swap(*at, bytes_of("xy", NUMBERS[:2])),
        BadRecord,
        "part-00002.parquet holds (2, 4)",
    ),
    (
        "vectors of another length",
        lambda *at: swap(*at, bytes_of("xyz", WIDE), dimension=5),
        BadRecord,
        "part-00002.parquet holds (3, 5)",
    ),
    (
        "a key of another embedding",
        lambda store, parts: (
            store.put("scores/sky/secret.parquet", store.get(parts[2].key))
            or {**parts, 2: parts[2].model_copy(update={"key": "scores/sky/secret.parquet"})}
        ),
        BadRecord,
        "scores/sky/secret.parquet",
    ),
    (
        "a key that climbs out",
        lambda store, parts: {**parts, 2: parts[2].model_copy(update={"key": "../../etc/passwd"})},
        BadRecord,
        "'../../etc/passwd'",
    ),
    (
        "no object left",
        lambda store, parts: {
            index: keep(store, parts[-1], index, (), np.empty((0, 4), np.float32), "two") for index in range(4)
        },
        EmptyDataset,
        "no object of sky/hsc/fake-small survived preparation (empty-image: 40)",
    ),
]


@pytest.mark.parametrize(
    ("spoil", "error", "says"),
    [pytest.param(*case, id=name) for name, *case in EMBEDDINGS],
)
def test_parts_that_are_not_what_they_say_become_no_manifest(
    refused: Refused,
    store: DirectoryStore,
    job: Callable[..., EmbeddingSpec],
    spoil: Callable[..., dict[int, Part]],
    error: type[SameSkyError],
    says: str,
) -> None:
    spec = job()
    spoiled_parts = spoil(store, {**four_parts(store, spec), -1: spec})
    spoiled_parts.pop(-1, None)
    with refused(error, says):
        commit(store, spec, spoiled_parts)
    assert read_manifest(store, spec) is None


@pytest.mark.parametrize("load", [load_vectors, load_object_ids])
def test_a_part_altered_after_its_manifest_is_refused(
    refused: Refused, store: DirectoryStore, job: Callable[..., EmbeddingSpec], load: Callable[..., Any]
) -> None:
    manifest = commit(store, job(), four_parts(store, job()))
    store.put(manifest.parts[1].key, bytes_of("xyz"))
    with refused(AlteredPart, "part-00001.parquet of"):
        load(store, manifest)


def test_what_was_written_is_read_back() -> None:
    found = read_part(table())
    assert (found.object_ids, found.matrix.tolist()) == (IDS, NUMBERS.tolist())


@some.composite
def damaged(draw: some.DrawFn) -> bytes:
    """A whole part, some bytes of it changed, cut out or put in."""
    data = bytearray(whole())
    for _ in range(draw(some.integers(1, 4))):
        start = draw(some.integers(0, len(data)))
        match draw(some.sampled_from(["change", "cut", "insert", "end"])):
            case "change":
                data[start : start + 1] = draw(some.binary(min_size=1, max_size=4))
            case "cut":
                del data[start : start + draw(some.integers(1, 40))]
            case "insert":
                data[start:start] = draw(some.binary(min_size=1, max_size=40))
            case "end":
                del data[start:]
    return bytes(data)


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(damaged() | some.binary(max_size=200))
def test_any_bytes_are_vectors_or_a_named_error(data: bytes) -> None:
    for read in (read_part, read_ids):
        try:
            read(data)
        except (BadTable, NotFinite, DuplicateObjectIds, BadName) as error:
            said = str(error)
            assert said


DAMAGED = """
import numpy as np
from shared.errors import SameSkyError
from shared.vectors import Vectors, read_part, write_part

matrix = np.arange(64, dtype=np.float32).reshape(16, 4)
data = write_part(Vectors(tuple(f"galaxy {row}" for row in range(16)), matrix))
footer = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
for place in range(footer, len(data)):
    for byte in (0, 2, 4, 25, 38):
        try:
            read_part(data[:place] + bytes([byte]) + data[place + 1 :])
        except SameSkyError:
            continue
print("all were read, or refused")
"""


def test_no_damaged_footer_ends_the_process_that_reads_it() -> None:
    done = subprocess.run([sys.executable, "-c", DAMAGED], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (0, "all were read, or refused\n"), done.stderr
