"""The registry of metrics and of probes: one name, one function. Imports no FAISS, so that the api can read it.

A metric is a function of a `Comparison`, which gives it neighbour tables or vectors as it asks; a probe is one of a
`Probing`. A row here names it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from scorer.comparison import Comparison, Measured
from scorer.neighbourhoods.cknna import measure_cknna
from scorer.neighbourhoods.cycle_knn import measure_cycle_knn
from scorer.neighbourhoods.jaccard import measure_jaccard
from scorer.neighbourhoods.mknn import measure_mknn
from scorer.neighbourhoods.rank_biased_overlap import measure_rank_biased_overlap
from scorer.probes.agreement import measure_agreement
from scorer.probes.linear import measure_ridge
from scorer.probes.neighbourly import measure_knn
from scorer.probes.probing import Probing
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

Asked = TypeVar("Asked", Comparison, Probing)


@dataclass(frozen=True, slots=True)
class Metric(Generic[Asked]):
    """One metric, or one probe. version: goes up when the same vectors may give another number.

    per_k: whether it counts neighbours, and is measured for each number of them. title, paper: for people.
    """

    name: str
    version: int
    measure: Callable[[Asked], Measured]
    title: str
    paper: str
    per_k: bool = False


METRICS: Mapping[str, Metric[Comparison]] = {
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

PROBES: Mapping[str, Metric[Probing]] = {
    probe.name: probe
    for probe in (
        Metric("ridge-probe", 1, measure_ridge, "linear probe (ridge)", "arXiv 1610.01644"),
        Metric("knn-probe", 1, measure_knn, "k-nearest-neighbour probe", "Cover & Hart 1967", per_k=True),
        Metric("label-agreement", 1, measure_agreement, "agreement of neighbours' labels", "Geary 1954", per_k=True),
    )
}  # fmt: skip


_COUNTING = frozenset(
    [name for name, metric in METRICS.items() if metric.per_k] + [name for name, probe in PROBES.items() if probe.per_k]
)


def find_metric(name: str, version: int | None = None) -> Metric[Comparison]:
    """The metric of this name, at this version if one is asked for. Raises UnknownName, suggesting near ones."""
    if name in PROBES:
        raise _misplaced(name, "a probe, of an embedding and a label", "metrics", "probes")
    return _find("metric", METRICS, name, version)


def find_probe(name: str, version: int | None = None) -> Metric[Probing]:
    """The probe of this name, as `find_metric`."""
    if name in METRICS:
        raise _misplaced(name, "a metric, of two embeddings", "probes", "metrics")
    return _find("probe", PROBES, name, version)


def metric_versions(scoring: Scoring, *, probes: bool) -> dict[str, int]:
    """The version of each metric of `scoring` in this release; with `probes`, of each probe too.

    Raises UnknownName for either, whether probes are wanted or not.
    """
    versions = {name: find_metric(name).version for name in scoring.metrics}
    of_probes = {name: find_probe(name).version for name in scoring.probes}
    return versions | (of_probes if probes else {})


def counts_neighbours(names: Iterable[str]) -> bool:
    """Whether any of these metrics or probes counts neighbours."""
    return not _COUNTING.isdisjoint(names)


def results_wanted(scoring: Scoring) -> list[tuple[str, int | None]]:
    """Name and k of every result that a record of this scoring holds, in its order; k is None where none counts."""
    return [(name, k) for name in scoring.metrics for k in (scoring.k if name in _COUNTING else (None,))]


def _find(kind: str, rows: Mapping[str, Metric[Asked]], name: str, version: int | None) -> Metric[Asked]:
    if name not in rows:
        raise UnknownName.of(kind, name, rows)
    row = rows[name]
    if version not in (None, row.version):
        raise UnknownName(
            f"this release has version {row.version} of {name}", f"version {version}", "submit the study again"
        )
    return row


def _misplaced(name: str, what: str, where: str, instead: str) -> UnknownName:
    return UnknownName(f"{name} is {what}", f"other names in `{where}`", f"name it in `{instead}`")
