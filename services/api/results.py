"""What a study's scores come to, taken together."""

from __future__ import annotations

from flask import Response
from pydantic import BaseModel, ConfigDict, Field

from services.api.choosing import choose_metric
from services.api.endpoint import Endpoint, json_response
from services.studies import Studies
from shared.trends import Trend


class TrendQuery(BaseModel):
    """Which scores the trend is of."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    metric: str | None = Field(default=None, max_length=64, description="the study's first, unless given")
    k: int | None = Field(
        default=None, ge=1, le=1000, description="neighbours counted; the study's first, unless given"
    )


def get_trend(studies: Studies, study: str, query: TrendQuery) -> Response:
    """How a metric of a study's crossmodal and crosskind pairs changes with model size, as far as they are scored.

    Raises UnknownName and RefusedQuery for the metric, ObjectMissing while there is no such score, TooFewSizes.
    """
    found = studies.find(study)
    metric = choose_metric(found, query.metric)
    from scorer.trends import measure_trend  # scipy is slow to load
    from scorer.trends.rungs import rungs_of

    rungs, k = rungs_of(studies.scores(studies.scored(found)), metric, query.k)
    return json_response(measure_trend(rungs, metric=metric, k=k))


ENDPOINTS = (
    Endpoint(
        "GET",
        "/v1/studies/<study>/trend",
        get_trend,
        "How a metric changes with model size: sign test, rank correlations, Page's L, slopes",
        Trend,
        query=TrendQuery,
        errors=(404, 422),
    ),
)
