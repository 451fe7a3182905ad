"""The registry of metrics: one name, one function. Imports no FAISS, so that the api can read it.

A metric is a function of a `Comparison`, which gives it neighbour tables or vectors as it asks; a row here names it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from scorer.comparison import Comparison, Measured
from scorer.mknn import measure_mknn
from shared.errors import UnknownName


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric. version: goes up when the same vectors may give another number."""

    name: str
    version: int
    measure: Callable[[Comparison], Measured]


METRICS = {
    metric.name: metric
    for metric in (
        Metric("mknn", 1, measure_mknn),
    )
}  # fmt: skip


def find_metric(name: str, version: int | None = None) -> Metric:
    """The metric of this name, at this version if one is asked for. Raises UnknownName, suggesting near ones."""
    if name not in METRICS:
        raise UnknownName.of("metric", name, METRICS)
    metric = METRICS[name]
    if version not in (None, metric.version):
        raise UnknownName(
            f"this release has version {metric.version} of {name}", f"version {version}", "submit the study again"
        )
    return metric
