"""What a study's scores come to, laid out: the score matrix, scaling curves, layer maps, the probe table."""

from __future__ import annotations

from flask import Response
from pydantic import Field

from scorer.overviews.curves import CurvePoint, curve_points
from scorer.overviews.layers import LayerMap, LayerRow, layer_maps, layer_rows
from scorer.overviews.matrix import Matrix, MatrixRow, make_matrix, matrix_rows
from scorer.overviews.ordering import embeddings_of
from scorer.overviews.probes import ProbeRow, probe_rows
from services.api.choosing import StatisticQuery, choose_result, refuse_unasked
from services.api.endpoint import Endpoint, json_response
from services.api.paging import cut_page, page_response
from services.api.tables import MEDIA, FormatQuery, TableMeta, TablePage, TableQuery, answer, answer_rows
from services.studies import Studies
from services.tables.table import Table
from shared.errors import BadInput

_MOST_EMBEDDINGS = 1000


class MatrixQuery(FormatQuery, StatisticQuery):
    """Which cells, and how the matrix is given."""


class LayerQuery(TableQuery, StatisticQuery):
    """Which cells, and how the maps are given. `limit` counts maps."""


class CurveQuery(TableQuery):
    """Which results; all of them, unless chosen."""

    metric: str | None = Field(default=None, max_length=64, description="all, unless given")
    k: int | None = Field(default=None, ge=1, le=1000, description="neighbours counted; all, unless given")


class StudyMatrix(Matrix):
    """The score matrix of a study, and what is true of all of it."""

    meta: TableMeta


def get_matrix(studies: Studies, study: str, query: MatrixQuery) -> Response:
    """The score matrix of a study. Raises BadInput for one too large to be shown as a matrix."""
    found = studies.find(study)
    metric, k = choose_result(found, query.metric, query.k)
    chosen = {"metric": metric, "k": k, "statistic": query.statistic}
    meta, records = TableMeta.of("matrix", found, **chosen), studies.scores(studies.scored(found))

    def as_matrix() -> Response:
        wanted = found.scores()
        size = len(embeddings_of(wanted))
        if size > _MOST_EMBEDDINGS:
            raise BadInput(
                f"a matrix of {size} embeddings", f"at most {_MOST_EMBEDDINGS}", "ask for it as a table: format=csv"
            )
        matrix = make_matrix(wanted, records, metric=metric, k=k, statistic=query.statistic)
        return json_response(StudyMatrix(**dict(matrix), meta=meta))

    def as_table() -> Table:
        rows = matrix_rows(records, metric=metric, k=k, statistic=query.statistic)
        return meta.tabulate(MatrixRow, rows, f"Score matrix, {query.statistic},")

    return answer(query.format, as_matrix, as_table)


def list_curves(studies: Studies, study: str, query: CurveQuery) -> Response:
    """The points of a study's scaling curves."""
    found = studies.find(study)
    refuse_unasked(found, query.metric, query.k)
    points = curve_points(studies.scores(studies.scored(found)), studies.q_values(found))
    chosen = [point for point in points if query.metric in (None, point.metric) and query.k in (None, point.k)]
    meta = TableMeta.of("curves", found, metric=query.metric, k=query.k)
    return answer_rows(query, CurvePoint, chosen, lambda point: point.key, meta=meta, what="Scaling curves")


def list_layers(studies: Studies, study: str, query: LayerQuery) -> Response:
    """The layer maps of a study; none where it looks at one layer of each model."""
    found = studies.find(study)
    metric, k = choose_result(found, query.metric, query.k)
    meta = TableMeta.of("layers", found, metric=metric, k=k, statistic=query.statistic)
    records, results = studies.scores(studies.scored(found)), studies.results
    maps = layer_maps(
        records,
        metric=metric,
        k=k,
        statistic=query.statistic,
        read_nulls=results.nulls,
        read_objects=results.objects,
    )

    def as_page() -> Response:
        page, following = cut_page(maps, lambda one: one.key, limit=query.limit, cursor=query.cursor)
        return page_response(TablePage[LayerMap], page, following, meta=meta)

    def as_table() -> Table:
        return meta.tabulate(LayerRow, layer_rows(maps), f"Layer maps, {query.statistic},")

    return answer(query.format, as_page, as_table)


def list_probes(studies: Studies, study: str, query: TableQuery) -> Response:
    """The probe table of a study."""
    found = studies.find(study)
    rows = probe_rows(studies.scores(studies.scored(found)), studies.q_values(found))
    meta = TableMeta.of("probes", found)
    return answer_rows(query, ProbeRow, rows, lambda row: row.key, meta=meta, what="Probes")


ENDPOINTS = (
    Endpoint(
        "GET",
        "/v1/studies/<study>/matrix",
        get_matrix,
        "Its score matrix: every two embeddings; as a table, a row for each pair",
        StudyMatrix,
        query=MatrixQuery,
        media=MEDIA,
        errors=(404, 406),
    ),
    Endpoint(
        "GET",
        "/v1/studies/<study>/curves",
        list_curves,
        "Its scaling curves: every metric against model size",
        TablePage[CurvePoint],
        query=CurveQuery,
        media=MEDIA,
        errors=(404, 406),
    ),
    Endpoint(
        "GET",
        "/v1/studies/<study>/layers",
        list_layers,
        "Its layer maps: every layer of a model in one modality with every one in another",
        TablePage[LayerMap],
        query=LayerQuery,
        media=MEDIA,
        errors=(404, 406),
    ),
    Endpoint(
        "GET",
        "/v1/studies/<study>/probes",
        list_probes,
        "Its probe table: what each embedding tells of each label",
        TablePage[ProbeRow],
        query=TableQuery,
        media=MEDIA,
        errors=(404, 406),
    ),
)
