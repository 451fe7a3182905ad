"""Scores: every one in the store, or those of a study, as JSON, CSV or Parquet."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Literal

from flask import Response, request
from pydantic import Field
from werkzeug.exceptions import NotAcceptable

from services.api.endpoint import JSON, Endpoint, json_response
from services.api.paging import Key, Page, PageQuery, check_cursor, page_response, read_cursor, take_page
from services.api.score_table import ScoreRow, score_rows, to_csv, to_parquet
from services.results import Results
from services.studies import Studies
from shared import keys
from shared.contracts import PairKind
from shared.errors import UnknownName
from shared.outcomes import ScoreRecord

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
    kind: PairKind | None = None
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
    """All scores that the query asks for; pages in the order of their keys, so that a page reads its own records."""

    def read_page() -> tuple[list[ScoreRow], str | None]:
        return take_page(_rows_after(studies.results, query), query.limit)

    return answer_scores(
        query, read_page, lambda: filter(query.takes, score_rows(studies.results.scores(query.dataset)))
    )


def _rows_after(results: Results, query: ScoreQuery) -> Iterator[tuple[Key, ScoreRow]]:
    last = read_cursor(query.cursor)
    if last is not None:
        check_cursor(last, like=("", "", 0))
    for key in results.score_keys(query.dataset):
        if last is not None and (key,) < last[:1]:
            continue
        record = results.score(key)
        for row in score_rows([record] if record else []):
            here = (key, row.metric, row.k or 0)
            if query.takes(row) and (last is None or here > last):
                yield here, row


def get_score(studies: Studies, score: str) -> Response:
    """One score's whole record. Raises UnknownName."""
    for key in studies.results.score_keys():
        record = studies.results.score(key) if keys.score_digest(key) == score else None
        if record:
            return json_response(record)
    raise UnknownName(f"there is no score {score[:80]!r}", "the digest of a score, as GET /v1/scores gives it")


def answer_scores(
    query: TableQuery,
    read_page: Callable[[], tuple[list[ScoreRow], str | None]],
    read_all: Callable[[], Iterable[ScoreRow]],
) -> Response:
    """A page of rows, or all of them, in the format that the request prefers."""
    media = _MEDIA_OF[query.format] if query.format else _accepted()
    response = page_response(Page[ScoreRow], *read_page()) if media == JSON else _table(list(read_all()), media)
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
