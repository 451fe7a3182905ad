"""Lists of all results: the same as reading every record each time, whatever comes, goes or changes in between."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlencode

import pytest
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given
from hypothesis import settings as given_settings
from hypothesis import strategies as st

from services.api.score_table import ScoreRow, keep_rows, score_rows
from services.api.tables import TableMeta
from services.kept import Kept
from services.tables.csv_file import to_csv
from shared import keys
from shared.contracts import Study
from shared.outcomes import ScoreRecord
from shared.store import MemoryStore

Finish = Callable[[Study], None]
MANY = 70  # more than are listed every time
FILTERS = st.fixed_dictionaries(
    {},
    optional={
        "dataset": st.sampled_from(["twin", "none"]),
        "modality": st.sampled_from(["near", "far", "none"]),
        "model": st.sampled_from(["fake-small", "fake-large", "none"]),
        "kind": st.sampled_from(["crossmodal", "intramodal", "other"]),
        "family": st.sampled_from(["fake", "none"]),
    },
)
CHANGES = st.lists(
    st.tuples(st.sampled_from(["put", "again", "spoil", "delete"]), st.integers(0, 3)), min_size=1, max_size=3
)


@pytest.fixture
def many_records(store: MemoryStore, make_study: Callable[..., Study], finish: Finish) -> Sequence[ScoreRecord]:
    """The records of ten pairs."""
    finish(make_study(models=10, part_rows=64))
    return list(read_all(store).values())


@pytest.fixture
def read(store: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often the object at each key was read."""
    counted, get = Counter[str](), store.get

    def count(key: str) -> bytes:
        counted[key] += 1
        return get(key)

    monkeypatch.setattr(store, "get", count)
    return counted


def read_all(store: MemoryStore) -> dict[str, ScoreRecord]:
    """Every score that can be read, by key: the straightforward way."""
    found = {}
    for key in store.keys(keys.SCORES):
        if keys.is_score(key) and store.get(key) != b"spoilt":
            found[key] = ScoreRecord.model_validate_json(store.get(key))
    return found


def wanted(row: ScoreRow, asked: dict[str, str]) -> bool:
    named = ("model", "modality", "family")
    sides = {name: {getattr(row, f"left_{name}"), getattr(row, f"right_{name}")} for name in named}
    own = {"dataset": {row.dataset}, "kind": {row.kind}}
    return all(value in (sides | own)[name] for name, value in asked.items())


def walk(web: FlaskClient, address: str) -> list[dict[str, Any]]:
    met: list[dict[str, Any]] = []
    while address:
        page = web.get(address).json
        met += page["items"]
        address = page["next"]
    return met


@given_settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(CHANGES, FILTERS, st.integers(1, 4)), max_size=4))
def test_a_list_is_what_reading_everything_gives(
    web: FlaskClient,
    store: MemoryStore,
    accept: Callable[..., Study],
    finish: Finish,
    rounds: list[tuple[list[tuple[str, int]], dict[str, str], int]],
) -> None:
    study = accept(models=("fake-small", "fake-large"))
    finish(study)
    places = [keys.score(spec) for spec in study.scores()]
    sound = {key: store.get(key) for key in places}
    copies: dict[str, tuple[str, bytes]] = {}
    for changes, asked, limit in rounds:
        for change, number in changes:
            key = places[number]
            match change:
                case "delete":
                    store.delete(key)
                case "spoil":
                    store.put(key, b"spoilt")
                case "put":
                    store.put(key, sound[key])
                case "again":
                    record = ScoreRecord.model_validate_json(sound[key])
                    (result,) = record.results
                    two = (result.model_copy(update={"k": 20}), result.model_copy(update={"value": 0.1}))
                    store.put(key, record.model_copy(update={"results": two}).to_json())
        there = read_all(store)
        by_key = [row for key in sorted(there) for row in score_rows([there[key]]) if wanted(row, asked)]
        query = urlencode(asked)
        assert walk(web, f"/v1/scores?{query}&limit={limit}") == [json.loads(row.model_dump_json()) for row in by_key]
        rows = [row for row in score_rows(there.values()) if wanted(row, asked)]
        table = TableMeta.of("scores").tabulate(ScoreRow, rows, "Scores")
        address = f"/v1/scores?{query}&format=csv"
        tag, data = copies.get(address, ("", b""))
        answer = web.get(address, headers={"If-None-Match": tag} if tag else {})
        assert (data if answer.status_code == 304 else answer.data) == to_csv(table)
        copies[address] = (answer.headers["ETag"], to_csv(table))
        assert web.get(address, headers={"If-None-Match": answer.headers["ETag"]}).status_code == 304


def test_a_page_is_the_same_bytes_as_the_rows_themselves(
    web: FlaskClient, store: MemoryStore, accept: Callable[..., Study], finish: Finish
) -> None:
    finish(accept(models=("fake-small", "fake-large")))
    there = read_all(store)
    rows = [row.model_dump_json() for key in sorted(there) for row in score_rows([there[key]])]
    assert web.get("/v1/scores").data.decode() == '{"items":[' + ",".join(rows) + '],"next":null}'


@pytest.mark.parametrize("address", ["/v1/scores", "/v1/scores?format=csv", "/v1/scores?format=ecsv", "/v1/embeddings"])
def test_what_was_read_once_is_not_read_again(
    web: FlaskClient, accept: Callable[..., Study], finish: Finish, read: Counter[str], address: str
) -> None:
    study = accept(models=("fake-small", "fake-large"))
    finish(study)
    read.clear()
    first = web.get(address)
    assert (len(read), set(read.values())) == (4, {1})
    read.clear()
    assert web.get(address).data == first.data
    held = web.get(address, headers={"If-None-Match": first.headers["ETag"]})
    assert (held.status_code, held.data, held.headers["ETag"]) == (304, b"", first.headers["ETag"])
    assert not read


def test_a_new_score_costs_one_reading(
    web: FlaskClient, store: MemoryStore, accept: Callable[..., Study], finish: Finish, read: Counter[str]
) -> None:
    study = accept(models=("fake-small", "fake-large"))
    finish(study)
    late = keys.score(study.scores()[2])
    data = store.get(late)
    store.delete(late)
    before = web.get("/v1/scores?format=csv")
    store.put(late, data)
    read.clear()
    after = web.get("/v1/scores?format=csv")
    assert read == {late: 1}
    assert (before.data.count(b"\r\n"), after.data.count(b"\r\n")) == (4, 5)


def test_a_copy_of_another_question_or_format_is_not_the_same(
    web: FlaskClient, accept: Callable[..., Study], finish: Finish
) -> None:
    finish(accept())
    queries = ("", "?limit=1", "?format=csv", "?kind=crossmodal", "?dataset=twin")
    addresses = [*(f"/v1/scores{query}" for query in queries), "/v1/embeddings"]
    tags = [web.get(address).headers["ETag"] for address in addresses]
    tags.append(web.get("/v1/scores", headers={"Accept": "text/csv"}).headers["ETag"])
    assert len(set(tags)) == len(tags)


def test_what_progress_says_is_done_is_on_the_list(
    web: FlaskClient, store: MemoryStore, make_study: Callable[..., Study], finish: Finish
) -> None:
    study = make_study(models=MANY, part_rows=64)
    store.put(keys.study(study.id), study.to_json())
    finish(study)
    late, embedding = study.scores()[0], study.embeddings[0]
    kept = {key: store.get(key) for key in (keys.score(late), keys.manifest(embedding))}
    for key in kept:
        store.delete(key)
    for list_, number in (("scores", MANY), ("embeddings", 2 * MANY)):
        assert len(web.get(f"/v1/{list_}?limit=1000").json["items"]) == number - 1
    assert web.get(f"/v1/studies/{study.id}").json["pairs"]["done"] == MANY - 1
    for key, data in kept.items():
        store.put(key, data)
    assert web.get(f"/v1/studies/{study.id}").json["state"] == "done"
    for list_, number in (("scores", MANY), ("embeddings", 2 * MANY)):
        assert len(web.get(f"/v1/{list_}?limit=1000").json["items"]) == number
    assert web.get(f"/v1/scores/{late.digest}").status_code == 200


def test_a_score_is_found_by_its_digest_as_soon_as_it_is_there(
    web: FlaskClient, store: MemoryStore, make_study: Callable[..., Study], finish: Finish
) -> None:
    study = make_study(models=MANY, part_rows=64)
    finish(study)
    late = study.scores()[-1]
    data = store.get(keys.score(late))
    store.delete(keys.score(late))
    assert web.get(f"/v1/scores/{late.digest}").status_code == 404
    store.put(keys.score(late), data)
    assert web.get(f"/v1/scores/{late.digest}").status_code == 200
    store.delete(keys.score(late))
    assert web.get(f"/v1/scores/{late.digest}").status_code == 404


def test_a_score_taken_back_by_a_retry_is_off_the_list(
    web: FlaskClient, store: MemoryStore, make_study: Callable[..., Study], finish: Finish
) -> None:
    study = make_study(models=MANY, part_rows=64)
    store.put(keys.study(study.id), study.to_json())
    finish(study)
    tag = web.get("/v1/scores?limit=1000").headers["ETag"]
    store.put(keys.score(study.scores()[3]), b"spoilt")
    assert web.post(f"/v1/studies/{study.id}/retry").status_code == 202
    answer = web.get("/v1/scores?limit=1000", headers={"If-None-Match": tag})
    assert (answer.status_code, len(answer.json["items"])) == (200, MANY - 1)


@given_settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    most=st.integers(0, 12_000),
    steps=st.lists(st.tuples(st.sampled_from(["put", "delete", "ask"]), st.integers(0, 9)), max_size=30),
)
def test_what_is_kept_stays_within_its_bound_and_is_right(
    many_records: Sequence[ScoreRecord], most: int, steps: list[tuple[str, int]]
) -> None:
    store = MemoryStore()
    kept = Kept(store, keys.SCORES, keys.SCORE_ENDING, ScoreRecord, keep_rows, most_bytes=most)
    for step, number in steps:
        record = many_records[number]
        if step == "put":
            store.put(keys.score(record.spec), record.to_json())
        elif step == "delete":
            store.delete(keys.score(record.spec))
        listed = kept.listed()
        found = {rows[0].score for rows in kept.all(listed, listed.under(keys.SCORES))}
        assert found == {keys.score_digest(key) for key in store.keys(keys.SCORES)}
        assert 0 <= kept.bytes <= most
    for key in list(store.keys("")):
        store.delete(key)
    kept.listed()
    assert kept.bytes == 0
