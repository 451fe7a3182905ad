"""Archives: damaged or altered ones, each named in words of its own by the check that fails.

Alterations are consistent as far as they go: whoever changes an entry mends its CRC and the index too, unless said.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scorer.verification import verify
from shared import keys
from shared.archive import write_archive
from shared.contracts import Study
from shared.errors import BadArchive
from shared.records import sha256_of
from shared.store import MemoryStore
from shared.vectors import Vectors, read_part, write_part
from shared.zip_store import ZipStore

Scored = tuple[MemoryStore, Study]
Record = dict[str, Any]
INDEX = keys.ARCHIVE_INDEX


def pack(held: dict[str, bytes]) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as file:
        for name, data in held.items():
            file.writestr(zipfile.ZipInfo(name), data)
    return sink.getvalue()


def unpack(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        return {name: file.read(name) for name in file.namelist()}


@pytest.fixture(scope="module")
def good(scored: Scored) -> bytes:
    """A good archive, with vectors."""
    return b"".join(write_archive(*scored, vectors=True))


class Altered:
    """The entries of an archive, to be changed, and sealed again with an index that fits."""

    def __init__(self, held: dict[str, bytes], study: Study) -> None:
        self.held, self.study = dict(held), study
        self.keys = {
            "study": keys.study(study.id),
            "manifest": keys.manifest(study.embeddings[0]),
            "score": keys.score(study.scores()[0]),
            "table": keys.score_objects(study.scores()[0]),
            "nulls": keys.score_nulls(study.scores()[0]),
            "part": next(key for key in held if "/attempts/" in key),
            "index": INDEX,
        }

    def get(self, kind: str) -> bytes:
        return self.held[self.keys[kind]]

    def set(self, kind: str, data: bytes) -> None:
        self.held[self.keys[kind]] = data

    def edit(self, kind: str, change: Callable[[Record], object]) -> None:
        """Change a JSON record in place."""
        record = json.loads(self.get(kind))
        change(record)
        self.set(kind, json.dumps(record).encode())

    def set_table(self, data: bytes, kind: str = "table") -> None:
        """Another table for the first score, which names it."""
        named = {"table": "per_object_sha256", "nulls": "nulls_sha256"}[kind]
        self.set(kind, data)
        self.edit("score", lambda record: record.update({named: sha256_of(data)}))

    def set_part(self, vectors: Vectors) -> None:
        """Another first part for the first embedding, named by its manifest, which every score of it names."""
        data, before = write_part(vectors), sha256_of(self.get("manifest"))
        self.set("part", data)
        self.edit("manifest", lambda record: record["parts"][0].update(sha256=sha256_of(data), size=len(data)))
        after = sha256_of(self.get("manifest"))
        for key in self.held:
            self.held[key] = self.held[key].replace(before.encode(), after.encode())

    def seal(self, **changes: object) -> bytes:
        """The archive, its index made anew from what it holds, but for `changes`."""
        index = json.loads(self.held.pop(INDEX))
        entries = [{"key": key, "size": len(data), "sha256": sha256_of(data)} for key, data in self.held.items()]
        return pack({**self.held, INDEX: json.dumps({**index, "entries": entries, **changes}).encode()})

    def unsealed(self) -> bytes:
        """The archive with its index as it was."""
        return pack(self.held)


@pytest.fixture
def altered(good: bytes, scored: Scored) -> Altered:
    """A good archive with vectors, to be altered."""
    return Altered(unpack(good), scored[1])


def failures(data: bytes, folder: Path, *, anew: bool = False) -> dict[str, tuple[str, ...]]:
    """What each check that fails says."""
    (folder / "study.zip").write_bytes(data)
    with ZipStore(folder / "study.zip") as archive:
        return {check.name: check.problems for check in verify(archive, threads=1, anew=anew) if check.problems}


def test_a_good_archive_passes_every_check(good: bytes, scored: Scored, tmp_path: Path) -> None:
    assert failures(good, tmp_path, anew=True) == {}
    assert failures(b"".join(write_archive(*scored)), tmp_path) == {}
    (tmp_path / "study.zip").write_bytes(good)
    with ZipStore(tmp_path / "study.zip") as archive:
        looked_at = {check.name: check.looked_at for check in verify(archive, threads=1)}
    assert looked_at == {
        "index": 1, "entries": 29, "study": 1, "manifests": 4, "keys": 29, "scores": 4, "provenance": 4, "results": 4,
        "tables": 12, "means": 4, "nulls": 4, "vectors": 4, "anew": 4,
    }  # fmt: skip


def test_an_altered_archive_that_is_sealed_again_is_a_good_one(altered: Altered, tmp_path: Path) -> None:
    assert failures(altered.seal(), tmp_path) == {}, "what the cases below seal is refused for what they change"


def flipped(data: bytes) -> bytes:
    changed = bytearray(data)
    changed[len(changed) // 2] ^= 1
    return bytes(changed)


ENTRIES = ["study", "manifest", "score", "table", "nulls", "part", "index"]


@pytest.mark.parametrize("kind", ENTRIES)
def test_a_flipped_bit_is_named(altered: Altered, tmp_path: Path, kind: str) -> None:
    data = altered.unsealed()
    assert data.count(altered.get(kind)) == 1
    found = failures(data.replace(altered.get(kind), flipped(altered.get(kind))), tmp_path)
    named = found["index" if kind == "index" else "entries"]
    assert any(f"{altered.keys[kind]} is damaged: Bad CRC-32" in problem for problem in named)


@pytest.mark.parametrize("kind", ENTRIES)
def test_a_flipped_bit_with_a_crc_that_fits_is_named(altered: Altered, tmp_path: Path, kind: str) -> None:
    altered.set(kind, flipped(altered.get(kind)))
    found = failures(altered.unsealed(), tmp_path)
    if kind != "index":
        assert found["entries"][0].startswith(f"{altered.keys[kind]} has the SHA-256")
    assert found


Alteration = Callable[[Altered], bytes]


def drop(kind: str, *, seal: bool = True, say: bool = False) -> Alteration:
    """Leave an entry out. say: the index says that it is missing."""

    def act(altered: Altered) -> bytes:
        del altered.held[altered.keys[kind]]
        return altered.seal(**({"missing": [altered.keys[kind]]} if say else {})) if seal else altered.unsealed()

    return act


def add(key: str, *, seal: bool = True) -> Alteration:
    def act(altered: Altered) -> bytes:
        altered.held = {key: b"{}", **altered.held}
        return altered.seal() if seal else altered.unsealed()

    return act


def rename(altered: Altered) -> bytes:
    key = altered.keys["score"]
    altered.held = {name.replace(".json", ".jsn") if name == key else name: altered.held[name] for name in altered.held}
    return altered.unsealed()


def write(kind: str, data: bytes, *, seal: bool = True) -> Alteration:
    def act(altered: Altered) -> bytes:
        altered.set(kind, data)
        return altered.seal() if seal else altered.unsealed()

    return act


def swap(kind: str) -> Alteration:
    """Another record of the same kind in its place."""

    def act(altered: Altered) -> bytes:
        embedding, score = altered.study.embeddings[1], altered.study.scores()[1]
        others = {
            "manifest": keys.manifest(embedding),
            "score": keys.score(score),
            "table": keys.score_objects(score),
            "nulls": keys.score_nulls(score),
        }
        altered.set(kind, altered.held[others[kind]])
        return altered.seal()

    return act


def edit(kind: str, change: Callable[[Record], object], *, seal: bool = True) -> Alteration:
    def act(altered: Altered) -> bytes:
        altered.edit(kind, change)
        return altered.seal() if seal else altered.unsealed()

    return act


def result(**numbers: object) -> Alteration:
    """Change numbers of the first result of the first score."""
    return edit("score", lambda record: record["results"][0].update(numbers))


def table(change: Callable[[pa.Table], pa.Table], kind: str = "table") -> Alteration:
    def act(altered: Altered) -> bytes:
        sink = pa.BufferOutputStream()
        pq.write_table(change(pq.read_table(pa.BufferReader(altered.get(kind)))), sink)
        altered.set_table(sink.getvalue().to_pybytes(), kind)
        return altered.seal()

    return act


def null(change: Callable[[list[list[Any]]], list[list[Any]]]) -> Alteration:
    """A table of nulls with other values."""

    def act(held: pa.Table) -> pa.Table:
        return held.set_column(1, "null", pa.array(change(held.column("null").to_pylist()), pa.list_(pa.float64())))

    return table(act, "nulls")


def column(name: str, change: Callable[[list[Any]], list[Any]], kind: pa.DataType | None = None) -> Alteration:
    """A table with one column changed, or added."""
    made = kind or (pa.string() if name == "object_id" else pa.float64())

    def act(held: pa.Table) -> pa.Table:
        if name not in held.column_names:
            return held.append_column(name, pa.array(change([0.0] * len(held)), made))
        values = pa.array(change(held.column(name).to_pylist()), made)
        return held.set_column(held.column_names.index(name), name, values)

    return table(act)


def index(**changes: object) -> Alteration:
    return lambda altered: altered.seal(**changes)


def entries(change: Callable[[list[Record]], object]) -> Alteration:
    """Change what the index names."""
    return edit("index", lambda record: change(record["entries"]), seal=False)


def say_missing(altered: Altered) -> bytes:
    return altered.seal(missing=[altered.keys["score"]])


def cut_table(altered: Altered) -> bytes:
    altered.set_table(altered.get("table")[:500])
    return altered.seal()


def name_other_manifests(record: Record) -> None:
    source = record["provenance"]
    source["left_manifest"], source["right_manifest"] = source["right_manifest"], source["left_manifest"]


def change_part(altered: Altered) -> bytes:
    vectors = read_part(altered.get("part"))
    altered.set("part", write_part(Vectors(vectors.object_ids, vectors.matrix * 2)))
    return altered.seal()


def repeat_objects(altered: Altered) -> bytes:
    """The second part's objects in the first: each part is good."""
    second = sorted(key for key in altered.held if key.startswith(altered.keys["part"].rpartition("/")[0]))[1]
    altered.set_part(read_part(altered.held[second]))
    return altered.seal()


TURNED = {"low": 0.2, "high": 0.1, "confidence": 0.95}
NAMED: list[tuple[str, Alteration, str, str]] = [
    ("no index", drop("index", seal=False), "index", "there is no archive.json in it"),
    ("an index that is no JSON", write("index", b"{", seal=False), "index", "is not a ArchiveIndex record"),
    ("an index of another version", index(version=2), "index", "'version'"),
    ("an index with a field of its own", index(signed=True), "index", "'signed'"),
    ("an index that names an entry twice", entries(lambda it: it.append(it[0])), "entries", "names an entry twice"),
    ("an index that names no key", entries(lambda it: it[0].update(key="../\x1b")), "entries", r"'../\x1b': "),
    ("an index with another size", entries(lambda it: it[0].update(size=7)), "entries", "bytes, not 7"),
    ("no study", drop("study"), "study", "there is no studies/"),
    ("the study of another id", index(study="0" * 32), "study", "there is no studies/0000"),
    ("a study with another k", edit("study", lambda it: it["scoring"].update(k=[3])), "study", "it has the digest"),
    ("a study with another seed", edit("study", lambda it: it["scoring"].update(seed=7)), "study", "and is called"),
    ("a study with fewer pairs", edit("study", lambda it: it["pairs"].pop()), "study", "it has the digest"),
    ("a study that is no JSON", write("study", b"\xff"), "study", "is not a Study record"),
    ("an entry left out", drop("score", seal=False), "entries", "is in the index, and not in the archive"),
    ("an entry left out of both", drop("score"), "keys", "is missing, and the index does not say so"),
    ("an entry said to be missing", drop("score", say=True), "scores", "there is no score of sky/"),
    ("an entry renamed", rename, "entries", ".jsn is not in the index"),
    ("an entry that nobody lists", add("scores/x.json", seal=False), "entries", "scores/x.json is not in the index"),
    ("an entry that nobody wants", add("scores/sky/x.json"), "keys", "the study names no scores/sky/x.json"),
    ("an entry from elsewhere", add("readme.txt"), "keys", "the study names no readme.txt"),
    ("vectors that the index denies", index(vectors=False), "keys", "/attempts/a1/part-00000.parquet"),
    ("what is there said to be missing", say_missing, "keys", "is said to be missing, and is there"),
    ("an escape said to be missing", index(missing=["x\x1b[2J"]), "keys", r"the study names no x\x1b[2J"),
    ("no manifest", drop("manifest", say=True), "manifests", "there is no manifest of sky/"),
    ("a manifest of another embedding", swap("manifest"), "manifests", "is the manifest of sky/"),
    ("a manifest that is none", write("manifest", b"[]"), "manifests", "is not a Manifest record"),
    ("a manifest that does not add up", edit("manifest", lambda it: it.update(rows=39)), "manifests", "do not add up"),
    ("a manifest made elsewhere", edit("manifest", lambda it: it.update(device="x")), "provenance", "another manifest"),
    ("a score of another pair", swap("score"), "scores", "is the record of sky/"),
    ("a score that is none", write("score", b"null"), "scores", "is not a ScoreRecord record"),
    ("a score of other manifests", edit("score", name_other_manifests), "provenance", "made from another manifest"),
    ("another size of a side", edit("score", lambda it: it.update(left_objects=41)), "provenance", "has 41 objects"),
    ("more objects than there are", edit("score", lambda it: it.update(objects=41)), "provenance", "objects share 41"),
    ("a result left out", edit("score", lambda it: it["results"].pop()), "results", "has no mknn@5"),
    ("a result twice", edit("score", lambda it: it["results"].append(it["results"][0])), "results", "a result twice"),
    ("a result of another metric", result(metric="cka"), "results", "for which nobody asked"),
    ("a result of another version", result(metric_version=2), "results", "mknn@3 is of version 2, not 1"),
    ("a better chance", result(chance=0.01), "results", "the chance of mknn@3 is 0.01, and k/(n-1) is 0.0769"),
    ("no chance", result(chance=None), "results", "the chance of mknn@3 is None"),
    ("a p-value between two", result(p_value=0.0123), "results", "99 permutations give mknn@3 no p-value of 0.0123"),
    ("a p-value below the least", result(p_value=1e-9), "results", "give mknn@3 no p-value of 1e-09"),
    ("an interval that ends early", result(interval=TURNED), "results", "of mknn@3 ends at 0.1, before 0.2"),
    ("a value edited", result(value=0.9), "means", "mknn@3 is 0.9, and the mean of its objects"),
    ("a standard error edited", result(standard_error=0.001), "means", "the standard error of mknn@3 is 0.001"),
    ("no table", drop("table", say=True), "tables", ".objects.parquet is missing"),
    ("the table of another score", swap("table"), "tables", ".objects.parquet is not what was written"),
    ("a table elsewhere", edit("score", lambda it: it.update(per_object="x/y")), "tables", "names 'x/y', and not"),
    ("a table nowhere", edit("score", lambda it: it.update(per_object="")), "tables", "names '', and not its table"),
    ("a table without a hash", edit("score", lambda it: it.update(per_object_sha256="")), "tables", "not what was"),
    ("half a table", cut_table, "tables", "it cannot be read"),
    ("a table of fewer objects", table(lambda held: held.slice(1)), "tables", "is not a score's table: 39 rows"),
    ("a table of an object twice", column("object_id", lambda it: [it[1], *it[1:]]), "tables", "40 rows of 39 objects"),
    ("a table without ids", table(lambda held: held.drop_columns(["object_id"])), "tables", "columns mknn@3: double"),
    ("a table of words", column("mknn@3", lambda it: [*map(str, it)], pa.string()), "tables", "mknn@3: string"),
    ("a table with an empty cell", column("mknn@3", lambda it: [None, *it[1:]]), "tables", "empty cells"),
    ("a table with an empty id", column("object_id", lambda it: [None, *it[1:]]), "tables", "empty cells"),
    ("a table with a column more", column("cka", lambda it: it), "tables", "values of 'cka'"),
    ("a table with a column less", table(lambda held: held.drop_columns(["mknn@3"])), "means", "no values of objects"),
    ("a table with an endless id", column("object_id", lambda it: ["x" * 10**7, *it[1:]]), "tables", "bytes of cells"),
    ("a table with a long id", column("object_id", lambda it: ["x" * 300, *it[1:]]), "tables", "of 300 characters"),
    ("objects above what can be", column("mknn@3", lambda it: [v + 1 for v in it]), "means", "not shares of 3"),
    ("objects between the shares", column("mknn@3", lambda it: [0.1] * 40), "means", "not shares of 3"),
    ("objects without a number", column("mknn@3", lambda it: [float("nan")] * 40), "means", "its objects nan"),
    ("no nulls", drop("nulls", say=True), "tables", ".nulls.parquet is missing"),
    ("nulls of another score", swap("nulls"), "tables", ".nulls.parquet is not what was written"),
    ("nulls elsewhere", edit("score", lambda it: it.update(nulls="x/y")), "tables", "names 'x/y', and not its table"),
    ("nulls of fewer relabellings", null(lambda it: [one[1:] for one in it]), "tables", "98 values of mknn@3 under re"),
    ("nulls with an empty cell", null(lambda it: [[None, *one[1:]] for one in it]), "tables", "empty cells"),
    ("nulls of one result", table(lambda held: held.slice(1), "nulls"), "nulls", "no values under relabelling"),
    ("nulls of a result twice", table(lambda it: pa.concat_tables([it, it]), "nulls"), "tables", "of 4 results"),
    ("nulls of other columns", table(lambda it: it.drop_columns(["null"]), "nulls"), "tables", "columns result"),
    ("nulls that are all small", null(lambda it: [[0.0] * 99] * 2), "nulls", "the threshold of mknn@3 is"),
    ("a p-value of another rank", result(p_value=0.5), "nulls", "the p-value of mknn@3 is 0.5, and by its null 0.01"),
    ("a threshold edited", result(threshold=0.01), "nulls", "the threshold of mknn@3 is 0.01, and by its null"),
    ("a calibrated score edited", result(calibrated=0.99), "nulls", "the calibrated score of mknn@3 is 0.99, and by"),
    ("fewer permutations", result(permutations=9), "tables", "99 values of mknn@3 under relabelling"),
    ("no part", drop("part", say=True), "vectors", "is not in the store"),
    ("another part", change_part, "vectors", "bytes of SHA-256"),
    ("a part with the next one's objects", repeat_objects, "vectors", "stands twice"),
]  # fmt: skip


@pytest.mark.parametrize(("alter", "check", "says"), [pytest.param(*case, id=name) for name, *case in NAMED])
def test_an_alteration_is_named(altered: Altered, tmp_path: Path, alter: Alteration, check: str, says: str) -> None:
    found = failures(alter(altered), tmp_path)
    assert any(says in problem for problem in found[check]), found
    assert all(problem.isprintable() and len(problem) < 2000 for problems in found.values() for problem in problems)


WIDER = {"low": 0.1, "high": 0.9, "confidence": 0.95}
UNSEEN: list[tuple[str, Alteration, str]] = [
    ("an interval edited", result(interval=WIDER), "low of mknn@3 was 0.1, is "),
    ("a null edited", result(null_std=0.5), "null_std of mknn@3 was 0.5, is "),
    ("a number of its own", result(details={"x": 1.0}), "x of mknn@3 was 1, is not given"),
    ("another standard error's confidence", result(interval={**WIDER, "high": 0.95}), "high of mknn@3 was 0.95, is "),
]  # fmt: skip


@pytest.mark.parametrize(("alter", "says"), [pytest.param(*case, id=name) for name, *case in UNSEEN])
def test_what_agrees_with_itself_is_found_by_scoring_anew(
    altered: Altered, tmp_path: Path, alter: Alteration, says: str
) -> None:
    data = alter(altered)
    assert failures(data, tmp_path) == {}
    (name, problems) = next(iter(failures(data, tmp_path, anew=True).items()))
    assert name == "anew"
    assert any(says in problem for problem in problems), problems


def test_another_value_with_all_its_objects_is_found_by_scoring_anew(altered: Altered, tmp_path: Path) -> None:
    altered.set_table(altered.held[keys.score_objects(altered.study.scores()[1])])
    altered.set_table(altered.held[keys.score_nulls(altered.study.scores()[1])], "nulls")
    other = json.loads(altered.held[keys.score(altered.study.scores()[1])])
    altered.edit("score", lambda record: record.update(results=other["results"]))
    data = altered.seal()
    assert failures(data, tmp_path) == {}, "a record that is consistent with itself"
    assert any("value of mknn@3 was" in problem for problem in failures(data, tmp_path, anew=True)["anew"])


def test_other_vectors_in_a_chain_of_true_hashes_are_found_by_scoring_anew(altered: Altered, tmp_path: Path) -> None:
    vectors = read_part(altered.get("part"))
    altered.set_part(Vectors(vectors.object_ids, vectors.matrix[::-1]))
    data = altered.seal()
    assert failures(data, tmp_path) == {}
    assert any("value of mknn@3 was" in problem for problem in failures(data, tmp_path, anew=True)["anew"])


SLOW = settings(
    max_examples=60, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)


@SLOW
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_any_flipped_bit_is_named_or_changes_nothing_that_is_held(
    good: bytes, tmp_path_factory: pytest.TempPathFactory, place: float, bit: int
) -> None:
    data = bytearray(good)
    data[int(place * len(data))] ^= 1 << bit
    file = tmp_path_factory.mktemp("flipped") / "study.zip"
    file.write_bytes(data)
    with suppress(BadArchive), ZipStore(file) as archive:
        if all(check.passed for check in verify(archive, anew=False)):
            assert {key: archive.get(key) for key in archive.keys("")} == unpack(good)


@SLOW
@given(kind=st.sampled_from(["table", "nulls"]), place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_any_flipped_bit_of_a_table_that_its_score_names_is_told_in_words(
    good: bytes, scored: Scored, tmp_path_factory: pytest.TempPathFactory, kind: str, place: float, bit: int
) -> None:
    altered = Altered(unpack(good), scored[1])
    table = bytearray(altered.get(kind))
    table[int(place * len(table))] ^= 1 << bit
    altered.set_table(bytes(table), kind)
    found = failures(altered.seal(), tmp_path_factory.mktemp("flipped"))
    assert found.keys() <= {"tables", "means", "nulls"}


@SLOW
@given(share=st.floats(0, 1, exclude_max=True))
def test_any_archive_that_is_cut_off_is_refused(
    good: bytes, tmp_path_factory: pytest.TempPathFactory, share: float
) -> None:
    file = tmp_path_factory.mktemp("cut") / "study.zip"
    file.write_bytes(good[: int(share * len(good))])
    with pytest.raises(BadArchive), ZipStore(file):
        pass


@SLOW
@given(data=st.binary(max_size=200), begin=st.sampled_from([b"", b"PK\x03\x04", b"PK\x05\x06", b"PK\x06\x06"]))
def test_any_bytes_are_refused_or_no_archive(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, begin: bytes
) -> None:
    file = tmp_path_factory.mktemp("bytes") / "study.zip"
    file.write_bytes(begin + data)
    with suppress(BadArchive), ZipStore(file) as archive:
        assert [check.passed for check in verify(archive)] == [False]
