"""What workers count is what the api reads: added up over processes, and never in the way of work."""

from __future__ import annotations

import math
import threading
import time

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as given_settings
from hypothesis import strategies as st
from redis import Redis

from services.connection import connect, connect_briefly
from services.metered_store import MeteredStore
from services.meters import INFINITY, METERS, STORE_OPERATIONS, TABLE, Meters
from shared.errors import BadSetting, ObjectMissing, StoreUnavailable, UnknownName
from shared.settings import Settings
from shared.store import MemoryStore

ERRORS = "samesky_storage_errors_total"
SECONDS = "samesky_part_seconds"


@pytest.fixture
def meters(redis: Redis) -> Meters:
    return Meters(redis)


@pytest.fixture
def away() -> Meters:
    """Meters of a Redis that is not there."""
    return Meters.open(Settings.read({"SAMESKY_REDIS_URL": "redis://127.0.0.1:1/0"}))


def test_counts_of_many_processes_add_up(redis: Redis, settings: Settings) -> None:
    several = [Meters.open(settings) for _ in range(4)]
    threads = [
        threading.Thread(target=lambda one=one: [one.count("samesky_rows_total", 16) for _ in range(50)])
        for one in several
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Meters(redis).read()["samesky_rows_total"][()].value == 4 * 50 * 16


@given_settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(times=st.lists(st.floats(min_value=0, max_value=4000), min_size=1, max_size=12))
def test_every_time_lies_in_the_one_bucket_that_holds_it(meters: Meters, redis: Redis, times: list[float]) -> None:
    redis.flushall()
    for seconds in times:
        meters.observe(SECONDS, seconds, model="vit-base")
    tally = meters.read()[SECONDS]["vit-base",]
    assert tally.value == pytest.approx(sum(times))
    bounds = METERS[SECONDS].buckets
    for low, high in zip((-math.inf, *bounds), (*bounds, math.inf), strict=True):
        expected = sum(low < seconds <= high for seconds in times)
        assert tally.buckets.get(INFINITY if high == math.inf else repr(float(high)), 0) == expected


def test_a_label_may_be_any_text(meters: Meters) -> None:
    for model in ("a|b=c", 'quo"te', "ü\n", "[]"):
        meters.observe(SECONDS, 1, model=model)
        assert meters.read()[SECONDS][model,].value == 1


def test_what_is_known_is_shown_from_nought(meters: Meters) -> None:
    tallies = meters.read()
    assert tallies["samesky_lease_takeovers_total"][()].value == 0
    assert tallies["samesky_steps_failed_total"]["zero-vector",].value == 0
    assert {operation for operation, _ in tallies[ERRORS]} == set(STORE_OPERATIONS)


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        ("samesky_row_total", {}),
        ("samesky_score_seconds", {}),  # a histogram
        ("samesky_jobs", {"state": "done"}),  # a gauge
        (ERRORS, {"operation": "get"}),
        ("samesky_rows_total", {"model": "vit-base"}),
    ],
)
def test_an_unknown_meter_or_label_is_refused(meters: Meters, name: str, labels: dict[str, str]) -> None:
    with pytest.raises(UnknownName):
        meters.count(name, **labels)


def test_a_wiped_redis_starts_at_nought_and_foreign_fields_are_left_out(meters: Meters, redis: Redis) -> None:
    meters.count("samesky_rows_total", 5)
    redis.flushall()
    redis.hset("samesky:meters", mapping={'["samesky_of_tomorrow_total",[],null]': 7, f'["{ERRORS}",["get"],null]': 7})
    tallies = meters.read()
    assert tallies["samesky_rows_total"][()].value == 0
    assert "samesky_of_tomorrow_total" not in tallies
    assert sum(tally.value for tally in tallies[ERRORS].values()) == 0


def test_work_goes_on_without_redis(away: Meters) -> None:
    started = time.monotonic()
    away.count("samesky_rows_total", 5)
    away.observe(SECONDS, 1, model="vit-base")
    assert time.monotonic() - started < 5


def test_names_follow_the_conventions_of_prometheus() -> None:
    assert len(METERS) == len(TABLE)
    for meter in TABLE:
        assert meter.name.startswith("samesky_")
        assert meter.name.endswith("_total") is (meter.kind == "counter")
        assert (meter.kind == "histogram") is bool(meter.buckets)
        assert list(meter.buckets) == sorted(set(meter.buckets))
        assert all(len(values) == len(meter.labels) for values in meter.known)


class _Failing(MemoryStore):
    """A store in memory whose server went away; its listing breaks off in the middle."""

    def get(self, key: str) -> bytes:
        raise StoreUnavailable("no answer")

    def put(self, key: str, data: bytes) -> None:
        raise BadSetting("the S3 server refused")

    def keys(self, prefix: str):  # type: ignore[no-untyped-def]
        yield "a/b"
        raise StoreUnavailable("no answer")


def test_failures_of_a_store_are_counted_and_raised(meters: Meters) -> None:
    store = MeteredStore(_Failing(), meters)
    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            store.get("a/b")
    with pytest.raises(BadSetting):
        store.put("a/b", b"")
    found = store.keys("a/")
    assert next(found) == "a/b"
    with pytest.raises(StoreUnavailable):
        next(found)
    counted = {values: tally.value for values, tally in meters.read()[ERRORS].items() if tally.value}
    assert counted == {
        ("get", "store-unavailable"): 2,
        ("put", "bad-setting"): 1,
        ("keys", "store-unavailable"): 1,
    }


def test_a_metered_store_is_a_store_and_ordinary_answers_are_no_failures(meters: Meters) -> None:
    store = MeteredStore(MemoryStore(), meters)
    store.prepare()
    store.put("a/b", b"1")
    assert store.put_if_absent("a/b", b"2") is False
    assert (store.get("a/b"), store.exists("a/b"), list(store.keys("a/"))) == (b"1", True, ["a/b"])
    store.delete("a/b")
    with pytest.raises(ObjectMissing):
        store.get("a/b")
    assert not any(tally.value for tally in meters.read()[ERRORS].values())


def test_every_operation_of_a_store_is_metered() -> None:
    operations = {name for name, value in vars(MemoryStore).items() if callable(value) and not name.startswith("_")}
    assert operations == set(STORE_OPERATIONS)


def test_a_url_that_cannot_be_one_is_refused_without_its_password() -> None:
    settings = Settings.read({"SAMESKY_REDIS_URL": "redis://:secret@host:port/0"})
    for make in (connect_briefly, lambda known: connect(known, seconds=1, retries=0)):
        with pytest.raises(BadSetting) as refused:
            make(settings)
        assert "secret" not in str(refused.value)
        assert refused.value.__cause__ is None
