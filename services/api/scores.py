"""Scores: every one in the store, as JSON or as a table in a file."""

from __future__ import annotations

from collections.abc import Iterator

from flask import Response

from services.api.endpoint import Endpoint, json_response
from services.api.paging import Key, Page, check_cursor, page_response, read_cursor, take_page
from services.api.score_table import ScoreRow, score_rows
from services.api.tables import MEDIA, TableMeta, TableQuery, answer
from services.results import Results
from services.studies import Studies
from services.tables.table import Table
from shared import keys
from shared.contracts import PairKind
from shared.errors import UnknownName
from shared.outcomes import ScoreRecord


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

    def as_page() -> Response:
        return page_response(Page[ScoreRow], *take_page(_rows_after(studies.results, query), query.limit))

    def as_table() -> Table:
        rows = list(filter(query.takes, score_rows(studies.results.scores(query.dataset))))
        return TableMeta.of("scores").tabulate(ScoreRow, rows, "Scores")

    return answer(query.format, as_page, as_table)


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
