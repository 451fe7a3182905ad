"""Scores: every one in the store, or those of a study, as JSON, CSV or Parquet."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from flask import Response, request
from pydantic import Field
from werkzeug.exceptions import NotAcceptable

from services.api.endpoint import JSON, Endpoint, json_response
from services.api.paging import Page, PageQuery, cut_page, page_response
from services.api.score_table import ScoreRow, score_rows, to_csv, to_parquet
from services.studies import Studies
from shared.contracts import ScoreRecord
from shared.errors import UnknownName

CSV = "text/csv"
PARQUET = "application/vnd.apache.parquet"
MEDIA = (JSON, CSV, PARQUET)
_MEDIA_OF = {"json": JSON, "csv": CSV, "parquet": PARQUET}


class TableQuery(PageQuery):
    """How scores are given. CSV and Parquet hold all rows at once; `limit` and `cursor` are for JSON."""

    format: Literal["json", "csv", "parquet"] | None = Field(default=None, description="else as the Accept header says")


class ScoreQuery(TableQuery):
    """Which scores. A model, family or modality is met when either side of the pair has it."""

    dataset: str | None = None
    model: str | None = None
    modality: str | None = None
    kind: Literal["crossmodal", "intramodal", "other"] | None = None
    family: str | None = None

    def takes(self, row: ScoreRow) -> bool:
        """Whether `row` is among those asked for."""
        return (
            self.kind in (None, row.kind)
            and self.model in (None, row.left_model, row.right_model)
            and self.modality in (None, row.left_modality, row.right_modality)
            and self.family in (None, row.left_family, row.right_family)
        )


def list_scores(studies: Studies, query: ScoreQuery) -> Response:
    """All scores that the query asks for."""
    return answer_scores(filter(query.takes, score_rows(studies.all_scores(query.dataset))), query)


def get_score(studies: Studies, score: str) -> Response:
    """One score's whole record. Raises UnknownName."""
    for record in studies.all_scores(None):
        if record.spec.digest == score:
            return json_response(record)
    raise UnknownName(f"there is no score {score[:80]!r}", "the digest of a score, as GET /v1/scores gives it")


def answer_scores(rows: Iterable[ScoreRow], query: TableQuery) -> Response:
    """Rows in the format that the request prefers."""
    media = _MEDIA_OF[query.format] if query.format else _accepted()
    if media == JSON:
        items, following = cut_page(rows, lambda row: row.key, limit=query.limit, cursor=query.cursor)
        response = page_response(Page[ScoreRow], items, following)
    else:
        response = _table(sorted(rows, key=lambda row: row.key), media)
    response.vary.add("Accept")
    return response


def _accepted() -> str:
    best = request.accept_mimetypes.best_match(MEDIA) if request.accept_mimetypes else JSON
    if best is None:
        raise NotAcceptable(f"scores are given as {', '.join(MEDIA)}")
    return best


def _table(rows: Sequence[ScoreRow], media: str) -> Response:
    data, suffix = (to_csv(rows), "csv") if media == CSV else (to_parquet(rows), "parquet")
    response = Response(data, mimetype=media)
    response.headers["Content-Disposition"] = f'attachment; filename="scores.{suffix}"'
    return response


ENDPOINTS = (
    Endpoint(
        "GET",
        "/v1/scores",
        list_scores,
        "Scores, filtered",
        Page[ScoreRow],
        query=ScoreQuery,
        media=MEDIA,
        errors=(406,),
    ),
    Endpoint("GET", "/v1/scores/<score>", get_score, "One score with its whole provenance", ScoreRecord, errors=(404,)),
)
