"""Which result of each pair is shown, where a table or a figure shows one: a metric, a k, a statistic."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from scorer.metrics import find_metric, find_probe, results_wanted
from scorer.overviews.matrix import Statistic
from services.api.errors import RefusedQuery
from services.field_errors import FieldError
from shared.contracts import Study


class ResultQuery(BaseModel):
    """Which result of each pair."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    metric: str | None = Field(default=None, max_length=64, description="the study's first, unless given")
    k: int | None = Field(default=None, ge=1, le=1000, description="neighbours counted; the first, unless given")


class StatisticQuery(ResultQuery):
    """Which result of each pair, and what of it."""

    statistic: Statistic = Field(default="value", description="what to show of each result")


def choose_result(study: Study, metric: str | None, k: int | None) -> tuple[str, int | None]:
    """The metric and k of the results to show, of those that a study's pairs of embeddings get; by default the first.

    Raises RefusedQuery for what the study does not ask for.
    """
    refuse_unasked(study, metric, k)
    wanted = results_wanted(study.scoring)
    return next((name, known) for name, known in wanted if metric in (None, name) and k in (None, known))


def choose_metric(study: Study, name: str | None) -> str:
    """The metric of this name, or else the study's first. Raises UnknownName, RefusedQuery if not asked for."""
    chosen = find_metric(name or study.scoring.metrics[0]).name
    refuse_unasked(study, chosen, None)
    return chosen


def choose_probe(study: Study, name: str | None) -> str:
    """The probe of this name, or else the study's first. As `choose_metric`."""
    probes = study.scoring.probes
    chosen = find_probe(name or probes[0]).name
    if chosen not in probes:
        wrong = f"the study does not ask for {chosen!r}"
        raise RefusedQuery([FieldError(("probe",), wrong, f"it asks for {', '.join(probes)}")])
    return chosen


def refuse_unasked(study: Study, metric: str | None, k: int | None) -> None:
    """Raise RefusedQuery for a metric, or a k, that a study does not ask for."""
    wanted = results_wanted(study.scoring)
    metrics = dict.fromkeys(name for name, _ in wanted)
    if metric not in (None, *metrics):
        wrong = f"the study does not ask for {metric!r:.80}"
        raise RefusedQuery([FieldError(("metric",), wrong, f"it asks for {', '.join(metrics)}")])
    ks = dict.fromkeys(known for name, known in wanted if metric in (None, name) and known is not None)
    if k not in (None, *ks):
        asked = f"it asks for k = {', '.join(map(str, ks))}" if ks else "it counts no neighbours"
        raise RefusedQuery([FieldError(("k",), f"the study does not ask for k = {k}", asked)])
