"""What is counted and timed, and the table of all that can be seen at /metrics.

Workers are many, and end, and run on many machines: so counts are kept in one hash in Redis, where all add to them and
the api reads them. They are for looking at, and nothing rests on them: Redis may be wiped, and they start at nought.
The hash's fields are JSON: `[name, label values, bucket]`.
"""

from __future__ import annotations

import json
import logging
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, cast

from redis import Redis
from redis.exceptions import RedisError

from services.broker import EMBED, SCORE
from services.connection import connect_briefly
from shared.errors import UnknownName, error_kinds
from shared.settings import Settings
from shared.states import State

_log = logging.getLogger(__name__)
_HASH = "samesky:meters"
_SUM = "sum"  # beside the buckets, which are numbers or +Inf
INFINITY = "+Inf"

STORE_OPERATIONS = ("prepare", "put", "put_if_absent", "get", "exists", "keys", "delete")
STORE_CODES = ("store-unavailable", "bad-setting")
SERVICES = ("embedder", "scorer", "reconciler")
_CODES = tuple((code,) for code in sorted(error_kinds()))
_STATES = tuple((str(state),) for state in State)
_QUEUES = ((EMBED,), (SCORE,))
_SECONDS = (0.1, 0.3, 1, 3, 10, 30, 60, 120, 300, 600, 1800)


class Meter(NamedTuple):
    """One row of the table.

    kind: counters and histograms are kept in Redis, gauges are read when they are asked for. known: label values that
    are shown from nought, so that the first of a kind is a rise. buckets: upper bounds, in the unit of the name.
    """

    name: str
    kind: Literal["counter", "histogram", "gauge"]
    help: str
    labels: tuple[str, ...] = ()
    known: tuple[tuple[str, ...], ...] = ()
    buckets: tuple[float, ...] = ()


TABLE: tuple[Meter, ...] = (
    Meter("samesky_build_info", "gauge", "1; the version of the api is its label", ("version",)),
    Meter("samesky_redis_up", "gauge", "1 while Redis answers, else 0"),
    Meter("samesky_store_up", "gauge", "1 while the object store answers within seconds, else 0"),
    Meter("samesky_processes", "gauge", "processes that gave a sign of life lately", ("service",)),
    Meter("samesky_studies", "gauge", "studies by state", ("state",), _STATES),
    Meter("samesky_jobs", "gauge", "jobs by state, each once, however many studies want it", ("state",), _STATES),
    Meter("samesky_pairs", "gauge", "pairs by state, each once, however many studies want it", ("state",), _STATES),
    Meter("samesky_queue_messages", "gauge", "messages that wait, and that no worker has taken", ("queue",), _QUEUES),
    Meter(
        "samesky_queue_age_seconds", "gauge", "how long the next message has waited; 0 when none", ("queue",), _QUEUES
    ),
    Meter("samesky_rows_per_second", "gauge", "rows that running jobs embed in a second, all together"),
    Meter("samesky_rows_total", "counter", "vectors made, of every layer, counted as each part ends", (), ((),)),
    Meter(
        "samesky_part_seconds",
        "histogram",
        "time that a part took, all its layers",
        ("model",),
        (),
        _SECONDS,
    ),
    Meter("samesky_score_seconds", "histogram", "time that a score took", (), ((),), _SECONDS),
    Meter(
        "samesky_search_step_seconds",
        "histogram",
        "time that one step of a search for neighbours took, where a search is cut into steps",
        ("kind",),
        (("tile",), ("strip",), ("table",)),
        _SECONDS,
    ),
    Meter("samesky_lease_takeovers_total", "counter", "steps taken over from a worker that fell silent", (), ((),)),
    Meter("samesky_step_retries_total", "counter", "steps left to be tried again, by error", ("code",), _CODES),
    Meter("samesky_steps_failed_total", "counter", "steps that failed for good, by error", ("code",), _CODES),
    Meter(
        "samesky_storage_errors_total",
        "counter",
        "calls to the object store that failed, after what its client itself tried again",
        ("operation", "code"),
        tuple((operation, code) for operation in STORE_OPERATIONS for code in STORE_CODES),
    ),
    Meter("samesky_neighbour_cache_hits_total", "counter", "neighbour tables found in the object store", (), ((),)),
    Meter("samesky_neighbour_cache_misses_total", "counter", "neighbour tables that had to be made", (), ((),)),
)
METERS = {meter.name: meter for meter in TABLE}


@dataclass
class Tally:
    """What was counted of one meter with one set of label values.

    value: the count, or the sum of what was observed. buckets: observations by upper bound, each in one bucket.
    """

    value: float = 0.0
    buckets: dict[str, float] = field(default_factory=dict)


class Meters:
    """Counts and times, added to in Redis by every process of an installation."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    @classmethod
    def open(cls, settings: Settings) -> Meters:
        """The meters of these settings. Raises BadSetting."""
        return cls(connect_briefly(settings))

    def count(self, name: str, amount: float = 1, **labels: str) -> None:
        """Add to a counter. Raises UnknownName; what Redis does not take is lost, and work goes on."""
        values = _values_of(_find(name, "counter"), labels)
        self._add({_field(name, values): amount})

    def observe(self, name: str, seconds: float, **labels: str) -> None:
        """Add one time to a histogram. Raises UnknownName; what Redis does not take is lost, and work goes on."""
        meter = _find(name, "histogram")
        values = _values_of(meter, labels)
        bounds = [*map(bound_text, meter.buckets), INFINITY]
        bucket = bounds[bisect_left(meter.buckets, seconds)]  # a bucket holds its upper bound
        self._add({_field(name, values, bucket): 1, _field(name, values, _SUM): seconds})

    def _add(self, amounts: Mapping[str, float]) -> None:
        try:
            with self._redis.pipeline() as pipe:
                for name, amount in amounts.items():
                    pipe.hincrbyfloat(_HASH, name, amount)
                pipe.execute()
        except RedisError as error:
            _log.debug("not counted: %s", type(error).__name__)

    def read(self) -> dict[str, dict[tuple[str, ...], Tally]]:
        """Tallies by name of counter or histogram, and by label values. Raises redis's RedisError."""
        tallies = {meter.name: {values: Tally() for values in meter.known} for meter in TABLE if meter.kind != "gauge"}
        for text, amount in cast("dict[str, str]", self._redis.hgetall(_HASH)).items():
            name, values, bucket = json.loads(text)
            if name not in tallies or len(values) != len(METERS[name].labels):
                continue  # counted by another version of the code
            tally = tallies[name].setdefault(tuple(values), Tally())
            if bucket in (None, _SUM):
                tally.value = float(amount)
            else:
                tally.buckets[bucket] = float(amount)
        return tallies


def bound_text(bound: float) -> str:
    """A bucket's upper bound as it is written: 0.1, 30.0."""
    return repr(float(bound))


def _find(name: str, kind: str) -> Meter:
    meter = METERS.get(name)
    if meter is None or meter.kind != kind:
        raise UnknownName.of(kind, name, (known.name for known in TABLE if known.kind == kind))
    return meter


def _values_of(meter: Meter, labels: Mapping[str, str]) -> tuple[str, ...]:
    if set(labels) != set(meter.labels):
        raise UnknownName(
            f"{meter.name} with the labels {sorted(labels)}", f"the labels {sorted(meter.labels)}", "give these"
        )
    return tuple(str(labels[label]) for label in meter.labels)


def _field(name: str, values: tuple[str, ...], bucket: str | None = None) -> str:
    return json.dumps([name, values, bucket], separators=(",", ":"))
