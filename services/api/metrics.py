"""What Prometheus scrapes: every meter, every gauge, and the api's own process."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from flask import Response, request
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from services.api.endpoint import Endpoint
from services.api.sight import sight
from services.meters import INFINITY, TABLE, Meter, Tally, bound_text
from services.seeing import Levels
from services.studies import Studies

TEXT, OPENMETRICS = "text/plain", "application/openmetrics-text"


class _Seen(Collector):
    def __init__(self, levels: Levels, tallies: Mapping[str, Mapping[tuple[str, ...], Tally]]) -> None:
        self._levels, self._tallies = levels, tallies

    def collect(self) -> Iterable[Metric]:
        for meter in TABLE:
            if meter.kind == "gauge" and meter.name in self._levels:
                yield _gauge(meter, self._levels[meter.name])
            elif meter.name in self._tallies:
                make = _counter if meter.kind == "counter" else _histogram
                yield make(meter, self._tallies[meter.name])


def show_metrics(_: Studies) -> Response:
    """All that is counted and measured, as text or OpenMetrics."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    registry.register(_Seen(*sight().look()))
    encode, content_type = choose_encoder(_format())
    response = Response(encode(registry), content_type=content_type)
    response.headers["Cache-Control"] = "no-store"
    response.vary.add("Accept")
    return response


def _format() -> str:
    """The one of our two formats that the request asks for, in plain words.

    prometheus-client 0.26 fails at an Accept header whose version is no number, and repeats what else it says.
    """
    asked = {media.partition(";")[0].strip() for media, quality in request.accept_mimetypes if quality}
    return f"{OPENMETRICS}; version=1.0.0" if OPENMETRICS in asked else TEXT


def _gauge(meter: Meter, levels: Mapping[tuple[str, ...], float]) -> Metric:
    family = GaugeMetricFamily(meter.name, meter.help, labels=meter.labels)
    for values, level in levels.items():
        family.add_metric(values, level)
    return family


def _counter(meter: Meter, tallies: Mapping[tuple[str, ...], Tally]) -> Metric:
    family = CounterMetricFamily(meter.name, meter.help, labels=meter.labels)
    for values, tally in tallies.items():
        family.add_metric(values, tally.value)
    return family


def _histogram(meter: Meter, tallies: Mapping[tuple[str, ...], Tally]) -> Metric:
    """Prometheus wants each bucket to hold all that is no larger than its bound."""
    family = HistogramMetricFamily(meter.name, meter.help, labels=meter.labels)
    for values, tally in tallies.items():
        buckets, seen = [], 0.0
        for bound in [*map(bound_text, meter.buckets), INFINITY]:
            seen += tally.buckets.get(bound, 0.0)
            buckets.append((bound, seen))
        family.add_metric(values, buckets, tally.value)
    return family


ENDPOINTS = (Endpoint("GET", "/metrics", show_metrics, "What Prometheus scrapes", media=(TEXT, OPENMETRICS)),)
