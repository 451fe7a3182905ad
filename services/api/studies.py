"""Studies: submit one, see them all, follow one to its scores and figures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Response

from scorer.metrics import results_wanted
from services.api.endpoint import Endpoint, json_response
from services.api.paging import Page, PageQuery, cut_page, page_response
from services.api.score_table import ScoreRow, place, score_rows
from services.api.scores import MEDIA, TableQuery, answer_scores
from services.studies import Studies
from shared.errors import UnknownName
from shared.progress import JobDetail, JobProgress, PairDetail, PairProgress, StudyProgress
from shared.requests import StudyRequest

if TYPE_CHECKING:
    from scorer.figures import Format, Kind

_FIGURES: dict[str, Kind] = {"scaling": "crossmodal", "scaling-intramodal": "intramodal"}
_FIGURE_MEDIA = {"svg": "image/svg+xml", "png": "image/png", "pdf": "application/pdf"}


def submit_study(studies: Studies, body: StudyRequest) -> Response:
    """Accept a study; it is stored before this answers. 202 while there is work to do, 200 when all of it is done."""
    study, _ = studies.accept(body)
    progress = studies.progress(study)
    response = json_response(progress, 200 if progress.state.final else 202)
    response.headers["Location"] = f"/v1/studies/{study.id}"
    return response


def list_studies(studies: Studies, query: PageQuery) -> Response:
    """All studies, newest first."""
    page, following = cut_page(
        studies.list(),
        lambda study: (study.created_at, study.id),
        limit=query.limit,
        cursor=query.cursor,
        newest_first=True,
    )
    return page_response(Page[StudyProgress], [studies.progress(study) for study in page], following)


def get_study(studies: Studies, study: str) -> Response:
    """How far a study is."""
    return json_response(studies.progress(studies.find(study)))


def cancel_study(studies: Studies, study: str) -> Response:
    """Begin no more of a study's work. Raises AlreadyOver."""
    found = studies.find(study)
    studies.cancel(found)
    return json_response(studies.progress(found))


def retry_study(studies: Studies, study: str) -> Response:
    """Take up again what failed in a study, or was cancelled."""
    found = studies.find(study)
    studies.retry(found, mend=True)
    return json_response(studies.progress(found), 202)


def list_jobs(studies: Studies, study: str, query: PageQuery) -> Response:
    """How far each job of a study is, in the study's order."""
    jobs = enumerate(studies.jobs(studies.find(study)))
    page, following = cut_page(jobs, lambda job: (job[0],), limit=query.limit, cursor=query.cursor)
    return page_response(Page[JobProgress], [job for _, job in page], following)


def get_job(studies: Studies, study: str, embedding: str) -> Response:
    """One job with its history. Raises UnknownName."""
    return json_response(studies.job(studies.find(study), embedding))


def get_pair(studies: Studies, study: str, score: str) -> Response:
    """One pair with its history. Raises UnknownName."""
    return json_response(studies.pair(studies.find(study), score))


def list_pairs(studies: Studies, study: str, query: PageQuery) -> Response:
    """How each pair of a study stands, in the study's order."""
    found = studies.find(study)
    places, following = cut_page(
        range(len(found.pairs)), lambda place: (place,), limit=query.limit, cursor=query.cursor
    )
    return page_response(Page[PairProgress], list(studies.pairs(found, places)), following)


def list_study_scores(studies: Studies, study: str, query: TableQuery) -> Response:
    """Those scores of a study that exist."""
    scored = studies.scored(studies.find(study))

    def read_page() -> tuple[list[ScoreRow], str | None]:
        places = [(place(spec, *named), spec, named) for spec in scored for named in results_wanted(spec.scoring)]
        page, following = cut_page(places, lambda each: each[0], limit=query.limit, cursor=query.cursor)
        rows = score_rows(studies.scores({spec.digest: spec for _, spec, _ in page}.values()))
        shown = {(spec.digest, *named) for _, spec, named in page}
        return [row for row in rows if (row.score, row.metric, row.k) in shown], following

    return answer_scores(query, read_page, lambda: score_rows(studies.scores(scored)))


def draw_figure(studies: Studies, study: str, name: str, form: Format) -> Response:
    """A figure of a study's scores. Raises UnknownName for the figure, ObjectMissing while there is no score for it."""
    if name not in _FIGURES:
        raise UnknownName.of("figure", name, _FIGURES)
    from scorer.figures import scaling_figure  # matplotlib is slow to load

    records = studies.scores(studies.scored(studies.find(study)))
    response = Response(scaling_figure(records, kind=_FIGURES[name], file_format=form), mimetype=_FIGURE_MEDIA[form])
    if form == "svg":  # matplotlib styles by attribute
        response.headers["Content-Security-Policy"] = "default-src 'none'; style-src 'unsafe-inline'; sandbox"
    return response


ENDPOINTS = (
    Endpoint(
        "POST",
        "/v1/studies",
        submit_study,
        "Submit a study",
        StudyProgress,
        body=StudyRequest,
        status=202,
        errors=(400, 413, 415),
    ),
    Endpoint("GET", "/v1/studies", list_studies, "Studies, newest first", Page[StudyProgress], query=PageQuery),
    Endpoint("GET", "/v1/studies/<study>", get_study, "Progress of one study", StudyProgress, errors=(404,)),
    Endpoint(
        "POST",
        "/v1/studies/<study>/cancel",
        cancel_study,
        "Begin no more of its work; what runs ends with its part",
        StudyProgress,
        errors=(404, 422),
    ),
    Endpoint(
        "POST",
        "/v1/studies/<study>/retry",
        retry_study,
        "Take up again what failed in it, or was cancelled",
        StudyProgress,
        status=202,
        errors=(404,),
    ),
    Endpoint("GET", "/v1/studies/<study>/jobs/<embedding>", get_job, "A job's history", JobDetail, errors=(404,)),
    Endpoint("GET", "/v1/studies/<study>/pairs/<score>", get_pair, "A pair's history", PairDetail, errors=(404,)),
    Endpoint(
        "GET",
        "/v1/studies/<study>/jobs",
        list_jobs,
        "Progress of its jobs",
        Page[JobProgress],
        query=PageQuery,
        errors=(404,),
    ),
    Endpoint(
        "GET",
        "/v1/studies/<study>/pairs",
        list_pairs,
        "Progress of its pairs",
        Page[PairProgress],
        query=PageQuery,
        errors=(404,),
    ),
    Endpoint(
        "GET",
        "/v1/studies/<study>/scores",
        list_study_scores,
        "Its scores",
        Page[ScoreRow],
        query=TableQuery,
        media=MEDIA,
        errors=(404, 406),
    ),
    Endpoint(
        "GET",
        "/v1/studies/<study>/figures/<name>.<any(svg, png, pdf):form>",
        draw_figure,
        "A figure of its scores: `scaling` over two modalities, `scaling-intramodal` over two sizes",
        media=tuple(_FIGURE_MEDIA.values()),
        errors=(404,),
    ),
)
