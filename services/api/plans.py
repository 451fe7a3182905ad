"""What a study would cost, before it is submitted."""

from __future__ import annotations

from flask import Response
from pydantic import BaseModel, ConfigDict, Field

from services.api.endpoint import Endpoint, json_response
from services.studies import Studies
from shared.plans import StudyPlan
from shared.requests import StudyRequest


class CrewQuery(BaseModel):
    """How many workers there are. Left out: as many as `samesky up` starts on the api's machine."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    embedders: int | None = Field(default=None, ge=1, le=100_000)
    scorers: int | None = Field(default=None, ge=1, le=100_000)


def plan_study(studies: Studies, query: CrewQuery, body: StudyRequest) -> Response:
    """The plan of a study. It changes nothing, and yet needs what writing needs: it opens files, and asks the hub."""
    return json_response(studies.plan(body, embedders=query.embedders, scorers=query.scorers))


ENDPOINTS = (
    Endpoint(
        "POST",
        "/v1/plan",
        plan_study,
        "What a study would cost: jobs, rows, seconds, bytes, core-hours; nothing is begun",
        StudyPlan,
        query=CrewQuery,
        body=StudyRequest,
        errors=(400, 413, 415),
    ),
)
