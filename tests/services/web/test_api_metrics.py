"""What Prometheus reads is what happened; what is away is said, and everything else is shown all the same."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable

import pytest
from flask.testing import FlaskClient
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text
from redis import Redis

from services.api import create_app
from services.broker import EMBED, EMBED_PART, SCORE, Sender
from services.connection import connect
from services.meters import TABLE, Meters
from services.presence import Presence
from services.seeing import Seeing, look_at_queue
from services.studies import Studies
from shared.contracts import Study
from shared.errors import StoreUnavailable
from shared.settings import Settings
from shared.states import State
from shared.store import MemoryStore

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]
NOWHERE = Settings.read({"SAMESKY_REDIS_URL": "redis://127.0.0.1:1/0"})


def scrape(web: FlaskClient) -> Samples:
    """Every sample of /metrics, by name and labels, as Prometheus's own reader understands it."""
    answer = web.get("/metrics")
    assert answer.status_code == 200
    assert answer.content_type.startswith("text/plain; version=")
    found = [sample for family in read_text(answer.text) for sample in family.samples]
    samples = {(sample.name, frozenset(sample.labels.items())): sample.value for sample in found}
    assert len(samples) == len(found), "no sample stands twice"
    return samples


def of(samples: Samples, name: str, **labels: str) -> float | None:
    return samples.get((name, frozenset(labels.items())))


def test_what_was_counted_is_shown(web: FlaskClient, redis: Redis) -> None:
    meters = Meters(redis)
    meters.count("samesky_rows_total", 4096)
    meters.count("samesky_storage_errors_total", operation="get", code="store-unavailable")
    for seconds in (0.1, 45, 5000):
        meters.observe("samesky_part_seconds", seconds, model='odd "name"\n')
    samples = scrape(web)
    assert of(samples, "samesky_rows_total") == 4096
    assert of(samples, "samesky_storage_errors_total", operation="get", code="store-unavailable") == 1
    assert of(samples, "samesky_storage_errors_total", operation="put", code="store-unavailable") == 0
    model = {"model": 'odd "name"\n'}
    assert of(samples, "samesky_part_seconds_count", **model) == 3
    assert of(samples, "samesky_part_seconds_sum", **model) == pytest.approx(5045.1)
    held = {le: of(samples, "samesky_part_seconds_bucket", le=le, **model) for le in ("0.1", "30.0", "60.0", "+Inf")}
    assert held == {"0.1": 1, "30.0": 1, "60.0": 2, "+Inf": 3}


def test_every_row_of_the_table_is_shown_with_its_kind_and_help(web: FlaskClient, redis: Redis) -> None:
    Meters(redis).observe("samesky_part_seconds", 1, model="vit-base")
    families = {family.name: family for family in read_text(web.get("/metrics").text)}
    for meter in TABLE:
        family = families[meter.name.removesuffix("_total")]
        assert (family.type, family.documentation) == (meter.kind, meter.help)
        for sample in family.samples:
            assert set(sample.labels) - {"le"} == set(meter.labels)
    assert "process_resident_memory_bytes" in families


def test_jobs_and_pairs_are_counted_once_however_many_studies_want_them(
    web: FlaskClient, known: Studies, accept: Callable[..., Study], finish: Callable[[Study], None]
) -> None:
    finish(accept(title="One"))
    other = accept(models=("fake-small", "fake-large"), title="Two")
    samples = scrape(web)
    assert of(samples, "samesky_studies", state="done") == 1
    assert sum(of(samples, "samesky_studies", state=str(state)) or 0 for state in State) == 2
    assert of(samples, "samesky_jobs", state="done") == 2
    assert of(samples, "samesky_jobs", state="queued") == len(other.embeddings) - 2
    assert of(samples, "samesky_pairs", state="done") == 1
    assert of(samples, "samesky_pairs", state="queued") == len(other.pairs) - 1
    assert sum(known.count_states().jobs.values()) == len(other.embeddings)


def test_what_waits_is_shown_with_its_age(web: FlaskClient, redis: Redis, sender: Sender) -> None:
    for number in range(3):
        sender.send(EMBED_PART, EMBED, {}, message_id=f"a:{number}")
    app, now = sender._app, time.time()
    app.send_task(EMBED_PART, args=[{}], queue="other")
    assert look_at_queue(redis, "other") == (1, 0), "without a time of sending, a message counts as new"
    for age, priority in ((90, 0), (300, 9), (20, 9)):
        headers = {"sent_at": now - age}
        app.send_task(EMBED_PART, args=[{}], queue=SCORE, priority=priority, headers=headers)
    samples = scrape(web)
    assert of(samples, "samesky_queue_messages", queue=EMBED) == 3
    assert 0 < (of(samples, "samesky_queue_age_seconds", queue=EMBED) or 0) < 60, "our sender says when"
    assert of(samples, "samesky_queue_messages", queue=SCORE) == 3
    assert of(samples, "samesky_queue_age_seconds", queue=SCORE) == pytest.approx(300, abs=5)
    assert look_at_queue(redis, "empty") == (0, 0)


def test_openmetrics_for_who_asks_for_it(web: FlaskClient, redis: Redis) -> None:
    Meters(redis).count("samesky_rows_total", 7)
    answer = web.get("/metrics", headers={"Accept": "application/openmetrics-text;version=1.0.0,text/plain;q=0.5"})
    assert answer.content_type.startswith("application/openmetrics-text; version=1.0.0")
    families = {family.name: family for family in read_openmetrics(answer.text)}
    assert families["samesky_rows"].samples[0].value == 7
    odd = web.get("/metrics", headers={"Accept": "application/openmetrics-text;version=x;escaping=odd"})
    assert (odd.status_code, odd.content_type) == (200, answer.content_type)
    assert "Accept" in answer.headers["Vary"]
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    "accept",
    ["", "*/*", "image/png", "application/openmetrics-text;q=0", "text/plain;version=1.x;escaping=odd", ";;,;="],
)
def test_any_other_wish_is_answered_with_text(web: FlaskClient, accept: str) -> None:
    answer = web.get("/metrics", headers={"Accept": accept})
    assert answer.status_code == 200
    assert answer.content_type.startswith("text/plain; version=")
    assert "samesky_redis_up 1.0" in answer.text


def test_without_redis_it_says_so_and_what_it_knows_itself(
    store: MemoryStore, known: Studies, caplog: pytest.LogCaptureFixture
) -> None:
    web = create_app(
        known, Seeing(known, store, connect(NOWHERE, seconds=0.2, retries=0)), Settings.read({})
    ).test_client()
    samples = scrape(web)
    assert of(samples, "samesky_redis_up") == 0
    assert of(samples, "samesky_store_up") == 1
    assert not [name for name, _ in samples if name in ("samesky_rows_total", "samesky_processes")]
    assert of(samples, "samesky_studies", state="queued") == 0
    assert any(name == "samesky_build_info" for name, _ in samples)


def test_a_store_that_hangs_does_not_hang_the_answer(
    web: FlaskClient, store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    released = threading.Event()

    def hang(*_: str) -> None:
        released.wait(30)
        raise StoreUnavailable("no answer")

    monkeypatch.setattr(store, "exists", hang)
    monkeypatch.setattr(store, "keys", hang)
    started = time.monotonic()
    samples = scrape(web)
    assert time.monotonic() - started < 8, "Prometheus waits for ten seconds"
    released.set()
    assert of(samples, "samesky_store_up") == 0
    assert of(samples, "samesky_redis_up") == 1
    assert of(samples, "samesky_rows_total") == 0
    assert of(samples, "samesky_jobs", state="queued") is None, "what is not known is left out"


def test_ready_tells_who_is_alive_and_who_is_not(web: FlaskClient, redis: Redis) -> None:
    assert web.get("/readyz").json["absent"] == ["embedder", "scorer", "reconciler"]
    Presence(redis).say_alive("embedder", "a:1")
    Presence(redis).say_alive("embedder", "b:1")
    Presence(redis).say_alive("reconciler", "a:2")
    ready = web.get("/readyz")
    assert (ready.status_code, ready.json) == (
        200,
        {
            "status": "ready",
            "missing": [],
            "processes": {"embedder": 2, "scorer": 0, "reconciler": 1},
            "absent": ["scorer"],
        },
    )
    assert of(scrape(web), "samesky_processes", service="embedder") == 2


def test_not_ready_names_what_is_missing(web: FlaskClient, store: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(key: str) -> bool:
        raise StoreUnavailable("no answer")

    monkeypatch.setattr(store, "exists", away)
    answer = web.get("/readyz")
    assert (answer.status_code, answer.mimetype, answer.json["missing"]) == (
        503,
        "application/problem+json",
        ["store"],
    )


def test_a_scrape_asks_redis_a_handful_of_things_however_much_is_counted(web: FlaskClient, redis: Redis) -> None:
    def commands() -> int:
        return int(redis.info("stats")["total_commands_processed"])

    def cost() -> int:
        before = commands()
        scrape(web)
        return commands() - before

    scrape(web)
    few = cost()
    for number in range(300):
        Presence(redis).say_alive("embedder", f"a:{number}")
        Meters(redis).observe("samesky_part_seconds", 1, model=f"model-{number}")
    assert cost() <= few < 40


def test_the_answer_is_plain_text_of_prometheus(web: FlaskClient) -> None:
    lines = [line for line in web.get("/metrics").text.splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"[a-z_]+(\{.*\})? [0-9.e+-]+|.*NaN", line) for line in lines)
