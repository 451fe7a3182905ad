"""Figures of a study's scores, drawn when they are asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Response

from scorer.overviews.curves import CurveKind
from services.api.choosing import StatisticQuery, choose_result
from services.api.endpoint import Endpoint
from services.api.errors import RefusedQuery
from services.field_errors import FieldError
from services.studies import Studies
from shared.errors import UnknownName

if TYPE_CHECKING:
    from scorer.figures import Format

_KINDS: dict[str, CurveKind] = {
    "scaling": "crossmodal",
    "scaling-intramodal": "intramodal",
    "scaling-crosskind": "crosskind",
}
_FIGURES = (*_KINDS, "matrix", "layers", "calibration")
_OF_A_STATISTIC = ("matrix", "layers")
_MEDIA = {"svg": "image/svg+xml", "png": "image/png", "pdf": "application/pdf"}


def draw_figure(studies: Studies, study: str, name: str, form: Format, query: StatisticQuery) -> Response:
    """A figure of a study's scores.

    Raises UnknownName for the figure, ObjectMissing while there is no score for it, RefusedQuery for a result the study
    does not ask for, or a statistic the figure does not show.
    """
    if name not in _FIGURES:
        raise UnknownName.of("figure", name, _FIGURES)
    if query.statistic != "value" and name not in _OF_A_STATISTIC:
        wrong = f"is not for this figure, but for {' and '.join(_OF_A_STATISTIC)}"
        raise RefusedQuery([FieldError(("statistic",), wrong)])
    from scorer import figures  # matplotlib is slow to load

    found = studies.find(study)
    metric, k = choose_result(found, query.metric, query.k)
    records = studies.scores(studies.scored(found))
    match name:
        case "matrix":
            data = figures.matrix_figure(records, metric=metric, k=k, statistic=query.statistic, file_format=form)
        case "layers":
            data = figures.layers_figure(records, metric=metric, k=k, statistic=query.statistic, file_format=form)
        case "calibration":
            data = figures.calibration_figure(records, metric=metric, k=k, file_format=form)
        case _:
            data = figures.scaling_figure(records, metric=metric, k=k, kind=_KINDS[name], file_format=form)
    response = Response(data, mimetype=_MEDIA[form])
    if form == "svg":  # matplotlib styles by attribute
        response.headers["Content-Security-Policy"] = "default-src 'none'; style-src 'unsafe-inline'; sandbox"
    return response


ENDPOINTS = (
    Endpoint(
        "GET",
        "/v1/studies/<study>/figures/<name>.<any(svg, png, pdf):form>",
        draw_figure,
        "A figure of its scores: `scaling` over two modalities, `scaling-intramodal` over two sizes, "
        "`scaling-crosskind` against a model of another kind, `matrix`, `layers`, `calibration`",
        query=StatisticQuery,
        media=tuple(_MEDIA.values()),
        errors=(404,),
    ),
)
