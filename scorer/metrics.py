"""The registry of metrics: one name, one function. Imports no FAISS, so that the api can read it.

A metric is a function of a `Comparison`, which gives it neighbour tables or vectors as it asks; a row here names it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from scorer.comparison import Comparison, Measured
from scorer.mknn import measure_mknn
from scorer.similarity.cca import measure_pwcca, measure_svcca
from scorer.similarity.cka import measure_cka, measure_debiased_cka
from scorer.similarity.information import measure_gaussian_information
from scorer.similarity.ksg import measure_ksg_information
from scorer.similarity.predictivity import measure_linear_predictivity
from scorer.similarity.procrustes import measure_procrustes
from scorer.similarity.rbf import measure_rbf_cka
from scorer.similarity.rsa import measure_rsa
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
        Metric("cka", 1, measure_cka, "linear CKA", "arXiv 1905.00414"),
        Metric("cka-debiased", 1, measure_debiased_cka, "debiased linear CKA", "arXiv 2010.15327"),
        Metric("cka-rbf", 1, measure_rbf_cka, "CKA with Gaussian kernels", "arXiv 1905.00414"),
        Metric("svcca", 1, measure_svcca, "mean canonical correlation of leading components", "arXiv 1706.05806"),
        Metric("pwcca", 1, measure_pwcca, "projection-weighted canonical correlation", "arXiv 1806.05759"),
        Metric("procrustes", 1, measure_procrustes, "orthogonal Procrustes similarity", "arXiv 2108.01661"),
        Metric("rsa", 1, measure_rsa, "representational similarity analysis", "doi 10.3389/neuro.06.004.2008"),
        Metric("linear-predictivity", 1, measure_linear_predictivity, "cross-validated linear predictivity",
               "doi 10.1073/pnas.1403112111"),
        Metric("mi-gaussian", 1, measure_gaussian_information, "Gaussian mutual information (nats)",
               "doi 10.1016/S0047-259X(03)00096-4"),
        Metric("mi-ksg", 1, measure_ksg_information, "mutual information of leading components by neighbours (nats)",
               "doi 10.1103/PhysRevE.69.066138"),
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


def metric_versions(scoring: Scoring, *, probes: bool) -> dict[str, int]:
    """The version of each metric of `scoring` in this release; with `probes`, of each probe too. Raises UnknownName."""
    versions = {name: find_metric(name).version for name in scoring.metrics}
    known: Mapping[str, Any] = globals().get("PROBES", {})
    for name in scoring.probes if probes else ():
        if name not in known:
            raise UnknownName.of("probe", name, known)
        versions[name] = known[name].version
    return versions


def results_wanted(scoring: Scoring) -> list[tuple[str, int | None]]:
    """Name and k of every result that a record of this scoring holds, in its order; k is None where none counts."""
    counting = {name for name in scoring.metrics if name in METRICS and METRICS[name].per_k}
    return [(name, k) for name in scoring.metrics for k in (scoring.k if name in counting else (None,))]
