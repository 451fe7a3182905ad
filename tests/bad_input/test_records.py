"""Records in the object store: whatever lies at a key is the record that was written there, or a BadRecord."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from services.ledger import Ledger
from shared import keys
from shared.contract import Contract
from shared.contracts import EmbeddingSpec
from shared.embeddings import read_manifest, read_receipts
from shared.errors import BadName, BadRecord, UnknownName
from shared.names import check_name, check_object_id
from shared.outcomes import Manifest, Part
from shared.records import parse_record, read_record
from shared.store import DirectoryStore, check_key

Refused = Callable[..., AbstractContextManager[None]]
Job = Callable[..., EmbeddingSpec]
Plain = dict[str, Any]


def change(path: str, value: Any) -> Callable[[Plain], Any]:
    """A record with another value at a dotted path; the value may be made from the one that is there."""

    def apply(record: Plain) -> Plain:
        *before, last = path.split(".")
        place: Any = record
        for step in before:
            place = place[int(step) if isinstance(place, list) else step]
        step = int(last) if isinstance(place, list) else last
        place[step] = value(place.get(step) if isinstance(place, dict) else place[step]) if callable(value) else value
        return record

    return apply


def leave_out(name: str) -> Callable[[Plain], Plain]:
    return lambda record: {key: value for key, value in record.items() if key != name}


def same_sides(record: Plain) -> Plain:
    record["spec"]["pair"]["right"] = record["spec"]["pair"]["left"]
    return record


FIELDS: list[tuple[str, str, Callable[[Plain], Any], str]] = [
    ("another version", "Manifest", change("version", 2), "version"),
    ("no version that is a number", "Manifest", change("version", "1"), "version"),
    ("an unknown field", "Manifest", change("__class__", "os.system"), "__class__"),
    ("a field left out", "Manifest", leave_out("rows"), "rows"),
    ("rows as text", "Manifest", change("rows", "36"), "rows"),
    ("rows that are true", "Manifest", change("rows", True), "rows"),
    ("rows below nought", "Manifest", change("rows", -36), "rows"),
    ("half a row", "Manifest", change("rows", 36.5), "rows"),
    ("rows that do not add up", "Manifest", change("rows", 37), "do not add up"),
    ("more rows than there are numbers for", "Manifest", change("rows", 10**300), "do not add up"),
    ("no dimension", "Manifest", change("dimension", 0), "dimension"),
    ("no parts", "Manifest", change("parts", []), "every part once"),
    ("a part named twice", "Manifest", change("parts", lambda parts: [*parts[:3], parts[2]]), "every part once"),
    ("parts out of order", "Manifest", change("parts", lambda parts: parts[::-1]), "every part once"),
    ("one part too many", "Manifest", change("parts", lambda parts: [*parts, parts[0]]), "every part once"),
    ("a part that is null", "Manifest", change("parts.1", None), "parts.1"),
    ("parts by name", "Manifest", change("parts", {"0": {}}), "parts"),
    ("a part with an unknown field", "Manifest", change("parts.1.colour", "red"), "parts.1.colour"),
    ("a hash that is short", "Manifest", change("parts.0.sha256", "0" * 63), "parts.0.sha256"),
    ("a hash that is long", "Manifest", change("parts.0.sha256", "0" * 65), "parts.0.sha256"),
    ("a hash of other letters", "Manifest", change("parts.0.sha256", "G" * 64), "parts.0.sha256"),
    ("a hash with a line feed", "Manifest", change("parts.0.sha256", "0" * 64 + "\n"), "parts.0.sha256"),
    ("a dataset that climbs out", "Manifest", change("spec.dataset.name", "../../etc"), "spec.dataset.name"),
    ("a modality with a slash", "Manifest", change("spec.modality.name", "a/b"), "spec.modality.name"),
    ("a model in Cyrillic letters", "Manifest", change("spec.model.name", "\u0430\u0441"), "spec.model.name"),
    ("a layer of control characters", "Manifest", change("spec.layer", "fi\x00nal"), "spec.layer"),
    (
        "a revision that climbs out",
        "Manifest",
        change("spec.dataset.revision", "main/../../x"),
        "spec.dataset.revision",
    ),
    ("another type of number", "Manifest", change("spec.dtype", "int8"), "spec.dtype"),
    ("a source that climbs", "Manifest", change("spec.dataset.source", "../ftp"), "spec.dataset.source"),
    ("parts of no rows", "Manifest", change("spec.model.part_rows", 0), "spec.model.part_rows"),
    ("an image of two bands", "Manifest", change("spec.modality.bands", ["g", "r"]), "one band or by three"),
    ("a receipt that loses rows", "Part", change("rows", 3), "do not account for rows 0 to 10"),
    ("a receipt below nought", "Part", change("index", -1), "index"),
    ("a receipt of no bytes", "Part", change("size", 0), "size"),
    ("a receipt that ends before it starts", "Part", change("stop", 0), "stop"),
    ("a receipt of reasons that are text", "Part", change("dropped", {"empty-image": "1"}), "dropped"),
    ("a receipt of less than no time", "Part", change("seconds", -1.0), "seconds"),
    ("a score without metrics", "ScoreRecord", change("results", None), "results"),
    ("a score of chance one and a bit", "ScoreRecord", change("results.0.p_value", 1.01), "results.0.p_value"),
    ("a score whose interval is a list", "ScoreRecord", change("results.0.interval", []), "results.0.interval"),
    ("a score as text", "ScoreRecord", change("results.0.value", "0.5"), "results.0.value"),
    ("a score of one embedding with itself", "ScoreRecord", same_sides, "not of one with itself"),
    ("a score of two datasets", "ScoreRecord", change("spec.pair.left.dataset.rows", 41), "a pair is of one dataset"),
    ("a score of a manifest without a hash", "ScoreRecord", change("provenance.left_manifest", ""), "left_manifest"),
    ("a score of no neighbours", "ScoreRecord", change("spec.scoring.k", 0), "spec.scoring.k"),
    ("a score of no metrics", "ScoreRecord", change("spec.scoring.metrics", []), "at least one metric"),
    ("a study without embeddings", "Study", leave_out("embeddings"), "embeddings"),
    ("a study of a pair of three", "Study", change("pairs", [[0, 1, 2]]), "pairs.0"),
    ("a study of pairs as text", "Study", change("pairs", "01"), "pairs"),
    ("a study of an embedding that is text", "Study", change("embeddings.0", "sky/hsc"), "embeddings.0"),
    ("a failure of no attempt", "Failure", change("attempts", 0), "attempts"),
    ("a failure of a work without a digest", "Failure", change("work", "../x"), "work"),
    ("a failure with another's fields", "Failure", change("rows", 3), "rows"),
]


@pytest.mark.parametrize(("kind", "spoil", "says"), [pytest.param(*case, id=name) for name, *case in FIELDS])
def test_a_record_with_a_bad_field_is_refused_by_its_name(
    refused: Refused,
    store: DirectoryStore,
    whole: dict[str, Contract],
    kind: str,
    spoil: Callable[[Plain], Any],
    says: str,
) -> None:
    record = spoil(json.loads(whole[kind].to_json()))
    store.put("studies/record.json", json.dumps(record).encode())
    with refused(BadRecord, says):
        read_record(store, "studies/record.json", type(whole[kind]))


STUDIES: list[tuple[str, Callable[[Plain], Any], str]] = [
    ("a pair that is not there", change("pairs", [[0, 7]]), "pairs"),
    ("a pair counted from the end", change("pairs", [[0, -1]]), "pairs"),
    ("a seed that no table can hold", change("scoring.seed", 2**63), "scoring.seed"),
]


@pytest.mark.parametrize(("spoil", "says"), [pytest.param(*case, id=name) for name, *case in STUDIES])
def test_a_study_that_names_what_is_not_there_is_refused(
    refused: Refused, store: DirectoryStore, whole: dict[str, Contract], spoil: Callable[[Plain], Any], says: str
) -> None:
    record = spoil(json.loads(whole["Study"].to_json()))
    store.put("studies/record.json", json.dumps(record).encode())
    with refused(BadRecord, says):
        read_record(store, "studies/record.json", type(whole["Study"]))


TEXTS: list[tuple[str, Callable[[bytes], bytes], str]] = [
    ("no bytes", lambda data: b"", "Expecting value"),
    ("white space", lambda data: b" \n ", "Expecting value"),
    ("cut in half", lambda data: data[: len(data) // 2], "(char "),
    ("cut by a byte", lambda data: data[:-1], "Expecting"),
    ("two records", lambda data: data + data, "Extra data"),
    ("a list", lambda data: b"[" + data + b"]", "object"),
    ("null", lambda data: b"null", "object"),
    ("a number", lambda data: b"1", "object"),
    ("HTML", lambda data: b"<!doctype html>", "Expecting value"),
    ("a pickle", lambda data: b"\x80\x04\x95\x1a\x00\x00\x00", "not UTF-8"),
    ("Latin letters", lambda data: data.replace(b"test:1", b"t\xe9st"), "not UTF-8 (byte"),
    ("UTF-16", lambda data: data.decode().encode("utf-16"), "not UTF-8"),
    ("a byte order mark", lambda data: b"\xef\xbb\xbf" + data, "BOM"),
    ("a NUL", lambda data: data.replace(b"test:1", b"te\x00st"), "control character"),
    ("half of a surrogate pair", lambda data: data.replace(b"test:1", b"\\ud800"), "surrogate"),
    ("NaN", lambda data: data.replace(b"1.5", b"NaN"), "NaN is not a JSON number"),
    ("an infinity", lambda data: data.replace(b"1.5", b"-Infinity"), "-Infinity is not a JSON number"),
    ("a number beyond all", lambda data: data.replace(b"1.5", b"1e999"), "seconds"),
    ("a key twice", lambda data: data.replace(b"{", b'{"version": 1,', 1), "'version' stands twice"),
    ("a key twice, deeply", lambda data: data.replace(b'"index"', b'"stop": 9, "index"', 1), "'stop' stands twice"),
    ("deep nesting", lambda data: b"[" * 100_000, "nested too deeply"),
    ("nesting within a field", lambda data: data.replace(b"1.5", b"[" * 900 + b"]" * 900), "JSON"),
    ("a number of 5,000 digits", lambda data: data.replace(b"1.5", b"9" * 5000), "digits"),
    ("a comment", lambda data: data.replace(b"{", b"{// mine\n", 1), "Expecting property name"),
    ("a comma too many", lambda data: data[:-2] + b",}", "double quotes"),
]


@pytest.mark.parametrize(("spoil", "says"), [pytest.param(*case, id=name) for name, *case in TEXTS])
def test_a_manifest_that_is_no_plain_json_is_refused(
    refused: Refused,
    store: DirectoryStore,
    whole: dict[str, Contract],
    spoil: Callable[[bytes], bytes],
    says: str,
) -> None:
    manifest = whole["Manifest"]
    assert isinstance(manifest, Manifest)
    store.put(keys.manifest(manifest.spec), spoil(manifest.to_json()))
    with refused(BadRecord, says):
        read_manifest(store, manifest.spec)


def test_the_manifest_of_another_embedding_is_refused(
    refused: Refused, store: DirectoryStore, job: Job, whole: dict[str, Contract]
) -> None:
    other = job(modality="jwst")
    store.put(keys.manifest(other), whole["Manifest"].to_json())
    with refused(BadRecord, "is the manifest of sky/hsc/fake-small"):
        read_manifest(store, other)


RECEIPTS: list[tuple[str, Callable[[Plain], Any]]] = [
    ("cut", lambda record: "{"),
    ("of another cut of the rows", change("stop", 11)),
    ("of another part", change("index", 2)),
    ("of a part in another place", change("key", "../../etc/passwd")),
    ("of a part of another embedding", change("key", "embeddings/sky/jwst/x/final/y/attempts/one/part-00001.parquet")),
]


@pytest.mark.parametrize("spoil", [pytest.param(case, id=name) for name, case in RECEIPTS])
def test_a_receipt_that_cannot_be_believed_is_logged_and_its_part_not_counted(
    store: DirectoryStore,
    job: Job,
    receipt: Callable[[EmbeddingSpec, int], Part],
    spoil: Callable[[Plain], Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    spec = job()
    bad = spoil(json.loads(receipt(spec, 1).to_json()))
    store.put(keys.part_receipt(spec, "one", 0), receipt(spec, 0).to_json())
    store.put(keys.part_receipt(spec, "one", 1), json.dumps(bad).encode() if isinstance(bad, dict) else bad.encode())
    before = {key: store.get(key) for key in store.keys("")}
    with caplog.at_level(logging.WARNING):
        assert list(read_receipts(store, spec)) == [0]
    assert keys.part_receipt(spec, "one", 1) in caplog.text
    assert {key: store.get(key) for key in store.keys("")} == before


STUDY_IDS = [
    ("that climbs", "../../etc/passwd", BadName),
    ("with a slash", "a/b", BadName),
    ("of capital letters", "A" * 32, BadName),
    ("that is short", "a" * 31, BadName),
    ("that is long", "a" * 100_000, BadName),
    ("with a NUL", "a" * 31 + "\0", BadName),
    ("with a line feed", "a" * 32 + "\n", BadName),
    ("of digits of another alphabet", "\u0661" * 32, BadName),
    ("that nobody has", "0" * 32, UnknownName),
]


@pytest.mark.parametrize(("given_id", "error"), [pytest.param(*case, id=name) for name, *case in STUDY_IDS])
def test_a_study_id_is_refused(
    refused: Refused, store: DirectoryStore, given_id: str, error: type[BadName | UnknownName]
) -> None:
    with refused(error, ""):
        Ledger(store).study(given_id)


KEYS = [
    ("empty", ""),
    ("one dot", "."),
    ("two dots", ".."),
    ("climbing", "studies/../../etc/passwd"),
    ("climbing, with backslashes", "studies\\..\\x"),
    ("from the root", "/etc/passwd"),
    ("ending in a slash", "studies/"),
    ("with nothing between slashes", "studies//x"),
    ("hidden", "studies/.x"),
    ("a drive", "c:/windows"),
    ("with a NUL", "studies/x\0.json"),
    ("with a space", "studies/a b"),
    ("with a percent sign", "studies/%2e%2e"),
    ("with a capital letter", "Studies/x"),
    ("with a look-alike slash", "studies\u2215x"),
    ("with an overlong name", f"studies/{'x' * 65}"),
    ("overlong", "/".join(["x" * 60] * 20)),
    ("with a line feed", "studies/x\n"),
]


@pytest.mark.parametrize("key", [pytest.param(key, id=name) for name, key in KEYS])
def test_a_key_is_refused_by_every_verb(refused: Refused, store: DirectoryStore, key: str) -> None:
    verbs: list[Callable[[], object]] = [
        lambda: store.put(key, b"x"),
        lambda: store.put_if_absent(key, b"x"),
        lambda: store.get(key),
        lambda: store.exists(key),
        lambda: store.delete(key),
    ]
    for verb in verbs:
        with refused(BadName, ""):
            verb()


def mutations(data: bytes) -> some.SearchStrategy[bytes]:
    def damage(place: tuple[int, int, bytes]) -> bytes:
        start, length, put = place
        return data[: start % len(data)] + put + data[start % len(data) + length :]

    return some.tuples(some.integers(0), some.integers(0, 30), some.binary(max_size=30)).map(damage)


@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(picked=some.data())
def test_any_bytes_are_the_record_or_a_bad_record(whole: dict[str, Contract], picked: some.DataObject) -> None:
    record = whole[picked.draw(some.sampled_from(sorted(whole)))]
    data = picked.draw(mutations(record.to_json()) | some.binary())
    try:
        found = parse_record("studies/record.json", data, type(record))
    except BadRecord as error:
        said = str(error)
        assert "studies/record.json is not a" in said
    else:
        assert parse_record("studies/record.json", found.to_json(), type(record)) == found


@given(some.text() | some.from_regex(r"[a-z0-9._+/-]{0,70}", fullmatch=True))
def test_any_text_that_is_a_name_is_one_step_of_a_key(text: str) -> None:
    try:
        name = check_name(text)
    except BadName:
        return
    key = check_key(f"{keys.STUDIES}{name}")
    assert key.split("/") == ["studies", text]
    assert text not in (".", "..")


@given(some.text(max_size=300))
def test_any_text_that_is_an_object_id_has_no_control_characters(text: str) -> None:
    try:
        check_object_id(text)
    except BadName:
        return
    assert 0 < len(text) <= 256
    assert not any(ord(letter) < 32 or 0xD800 <= ord(letter) < 0xE000 for letter in text)
