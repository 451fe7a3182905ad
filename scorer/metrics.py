"""The registry of metrics and of probes: one name, one function. Imports no FAISS, so that the api can read it.

A metric is a function of a `Comparison`, which gives it neighbour tables or vectors as it asks; a probe is one of a
`Probing`. A row here names it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from scorer.comparison import Comparison, Measured
from scorer.mknn import measure_mknn
from scorer.probes.agreement import measure_agreement
from scorer.probes.linear import measure_ridge
from scorer.probes.neighbourly import measure_knn
from scorer.probes.probing import Probing
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


def results_wanted(scoring: Scoring) -> list[tuple[str, int | None]]:
    """Name and k of every result that a record of this scoring holds, in its order; k is None where none counts."""
    counting = {name for name, metric in METRICS.items() if metric.per_k}
    counting |= {name for name, probe in PROBES.items() if probe.per_k}
    return [(name, k) for name in scoring.metrics for k in (scoring.k if name in counting else (None,))]


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
