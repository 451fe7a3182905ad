"""Results as the reader prefers them: a page of JSON, or a whole table as a file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Annotated, Any, Generic, Literal, TypeVar

from flask import Response, request
from pydantic import BaseModel, ConfigDict, Field
from werkzeug.exceptions import NotAcceptable

from services.api.endpoint import JSON
from services.api.held import unless_held
from services.api.paging import Key, Page, PageQuery, cut_page, page_response
from services.tables.formats import FORMATS, Format
from services.tables.table import Cell, Column, Table
from shared.contracts import Study
from shared.packages import package_versions

MEDIA = (JSON, *(form.media for form in FORMATS.values()))
_BY_MEDIA = {form.media: form for form in FORMATS.values()}
Row = TypeVar("Row", bound=BaseModel)


class FormatQuery(BaseModel):
    """How a table is given."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal["json", "csv", "parquet", "ecsv", "latex"] | None = Field(
        default=None, description="else as the Accept header says"
    )


class TableQuery(FormatQuery, PageQuery):
    """How a long table is given. A file holds all rows at once; `limit` and `cursor` are for JSON."""


class TableMeta(BaseModel):
    """What is true of a whole table. Null, or absent from a file, is what does not apply or is not one for all."""

    table: str
    study: str | None = None
    study_title: str | None = None
    simulated: bool | None = Field(default=None, description="whether any of the study's datasets is a simulation")
    metric: str | None = None
    k: int | None = None
    statistic: str | None = None
    confidence: float | None = None
    permutations: int | None = None
    slow_permutations: int | None = None
    resamples: int | None = None
    seed: int | None = None
    metric_versions: dict[str, int] = {}
    versions: Annotated[dict[str, str], Field(description="of packages: what made the table")] = {}

    @classmethod
    def of(cls, table: str, study: Study | None = None, **chosen: Any) -> TableMeta:
        """What is true of a table, of a study's results if one is given. chosen: fields that the reader chose."""
        versions = package_versions("samesky")
        if study is None:
            return cls(table=table, versions=versions, **chosen)
        scoring = study.scoring
        return cls(
            table=table,
            study=study.id,
            study_title=study.title or None,
            simulated=any(spec.dataset.simulated for spec in study.embeddings),
            confidence=scoring.confidence,
            permutations=scoring.permutations,
            slow_permutations=scoring.slow_permutations,
            resamples=scoring.resamples,
            seed=scoring.seed,
            metric_versions=study.metric_versions,
            versions=versions,
            **chosen,
        )

    def tabulate(self, row: type[BaseModel], rows: list[Any], what: str) -> Table:
        """The table of these rows. what: what they are, for people."""
        made = Table.of(row, rows, name=self.table, title="", meta={})
        return self.entitle(made.columns, made.rows, what)

    def entitle(self, columns: tuple[Column, ...], rows: Sequence[tuple[Cell, ...]], what: str) -> Table:
        """The same of rows that are cells already."""
        study = f" of the study “{self.study_title or self.study}”" if self.study else ""
        simulated = ", simulated objects included" if self.simulated else ""
        return Table(
            name=self.table,
            title=f"{what}{study}{simulated}.",
            columns=columns,
            rows=rows,
            meta=self.model_dump(mode="json", exclude_none=True),
        )


class TablePage(Page[Row], Generic[Row]):
    """One page of a table, and what is true of all of it."""

    meta: TableMeta


def answer(
    form: str | None,
    as_json: Callable[[], Response],
    as_table: Callable[[], Table],
    *,
    made_of: str | None = None,
) -> Response:
    """The answer in the format asked for, or else in the one that the Accept header prefers.

    made_of: what is another once what the answer is made of is; a copy that is still right then costs no answer, and a
    file can be made as it is sent.
    """
    chosen = _chosen(form)

    def make() -> Response:
        return as_json() if chosen is None else _file(as_table(), chosen, in_pieces=made_of is not None)

    response = make() if made_of is None else unless_held(make, chosen.name if chosen else "json", made_of)
    response.vary.add("Accept")
    return response


def answer_rows(
    query: TableQuery, row: type[Row], rows: list[Row], key: Callable[[Row], Key], *, meta: TableMeta, what: str
) -> Response:
    """Rows in the order of their keys: a page of them, or all as a table. what: what they are, for people."""

    def as_page() -> Response:
        page, following = cut_page(rows, key, limit=query.limit, cursor=query.cursor)
        return page_response(TablePage[row], page, following, meta=meta)  # type: ignore[valid-type]

    return answer(query.format, as_page, lambda: meta.tabulate(row, sorted(rows, key=key), what))


def _chosen(form: str | None) -> Format | None:
    """The format of a file; None for JSON. Raises NotAcceptable."""
    if form is not None:
        return next((known for known in FORMATS.values() if known.name == form), None)
    best = request.accept_mimetypes.best_match(MEDIA) if request.accept_mimetypes else JSON
    if best is None:
        raise NotAcceptable(f"tables are given as {', '.join(MEDIA)}")
    return _BY_MEDIA.get(best)


def _file(table: Table, form: Format, *, in_pieces: bool) -> Response:
    """The table as a file. in_pieces: made as it is sent, where the format can be."""
    if in_pieces and form.pieces is not None:
        response = Response(form.pieces(table), mimetype=form.media)
    else:
        response = Response(form.write(replace(table, rows=tuple(table.rows))), mimetype=form.media)
    response.headers["Content-Disposition"] = f'attachment; filename="{table.name}.{form.suffix}"'
    return response
