"""Scores: every one in the store, as JSON or as a table in a file."""

from __future__ import annotations

import time
from collections.abc import Iterator

from flask import Response

from services.api.endpoint import Endpoint, json_response
from services.api.paging import Key, Page, check_cursor, kept_page_response, read_cursor, take_page
from services.api.score_table import KeptCells, KeptRow, ScoreRow, keep_rows
from services.api.tables import MEDIA, TableMeta, TableQuery, answer
from services.kept import Kept
from services.listing import Listed
from services.studies import Studies
from services.tables.table import Table, columns_of
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

    def takes(self, row: KeptRow) -> bool:
        """Whether `row` is among those asked for."""
        return (
            self.kind in (None, row.kind)
            and self.model in (None, row.left_model, row.right_model)
            and self.modality in (None, row.left_modality, row.right_modality)
            and self.family in (None, row.left_family, row.right_family)
        )


def list_scores(studies: Studies, query: ScoreQuery) -> Response:
    """All scores that the query asks for; pages in the order of their keys, so that a page reads its own records."""
    room = keys.of_dataset(keys.SCORES, query.dataset)
    kept = studies.results.scores(keep_rows)
    listed = kept.listed(studies.told)

    def as_page() -> Response:
        return kept_page_response(*take_page(_rows_after(kept, listed, room, query), query.limit))

    def as_table() -> Table:
        found = [row for rows in kept.all(listed, listed.under(room)) for row in rows if query.takes(row)]
        cells = KeptCells(sorted(found, key=lambda row: row.place))
        return TableMeta.of("scores").entitle(columns_of(ScoreRow), cells, "Scores")

    return answer(query.format, as_page, as_table, made_of=listed.fingerprint(room))


def _rows_after(
    kept: Kept[ScoreRecord, tuple[KeptRow, ...]], listed: Listed, room: str, query: ScoreQuery
) -> Iterator[tuple[Key, KeptRow]]:
    last = read_cursor(query.cursor)
    if last is not None:
        check_cursor(last, like=("", "", 0))
    for place in listed.under(room, after=str(last[0]) if last else ""):
        key = listed.keys[place]
        for row in kept.rows(listed, key) or ():
            if query.takes(row) and (last is None or (key, row.metric, row.k or 0) > last):
                yield (key, row.metric, row.k or 0), row


def get_score(studies: Studies, score: str) -> Response:
    """One score's whole record. Raises UnknownName."""
    kept = studies.results.scores(keep_rows)
    for since in (studies.told, time.monotonic()):  # what the list does not have yet may be there
        for key in kept.listed(since).keys:
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
