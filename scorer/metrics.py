"""The registry of metrics: one name, one function. Imports no FAISS, so that the api can read it.

A metric is a function of a `Comparison`, which gives it neighbour tables or vectors as it asks; a row here names it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from scorer.comparison import Comparison, Measured
from scorer.neighbourhoods.cknna import measure_cknna
from scorer.neighbourhoods.cycle_knn import measure_cycle_knn
from scorer.neighbourhoods.jaccard import measure_jaccard
from scorer.neighbourhoods.mknn import measure_mknn
from scorer.neighbourhoods.rank_biased_overlap import measure_rank_biased_overlap
from shared.contracts import Scoring
from shared.errors import UnknownName


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric. version: goes up when the same vectors may give another number.

    per_k: whether it counts neighbours, and is measured for each number of them. title, paper: for people.
    """

    name: str
    version: int
    measure: Callable[[Comparison], Measured]
    title: str
    paper: str
    per_k: bool = False


METRICS = {
    metric.name: metric
    for metric in (
        Metric("mknn", 1, measure_mknn, "mutual k-nearest neighbours", "arXiv 2405.07987", per_k=True),
        Metric("jaccard", 1, measure_jaccard, "Jaccard index of nearest neighbours", "Jaccard 1901", per_k=True),
        Metric(
            "rank-biased-overlap", 1, measure_rank_biased_overlap, "rank-biased overlap of nearest neighbours",
            "Webber, Moffat & Zobel 2010", per_k=True,
        ),
        Metric("cycle-knn", 1, measure_cycle_knn, "cycle k-nearest neighbours", "arXiv 2405.07987", per_k=True),
        Metric("cknna", 1, measure_cknna, "centred kernel nearest-neighbour alignment", "arXiv 2405.07987", per_k=True),
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


def results_wanted(scoring: Scoring) -> list[tuple[str, int | None]]:
    """Name and k of every result that a record of this scoring holds, in its order; k is None where none counts."""
    counting = {name for name in scoring.metrics if name in METRICS and METRICS[name].per_k}
    return [(name, k) for name in scoring.metrics for k in (scoring.k if name in counting else (None,))]
