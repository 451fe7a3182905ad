"""Studies: submit one, see them all, follow one to its scores."""

from __future__ import annotations

from flask import Response

from scorer.metrics import results_wanted
from services.api.endpoint import Endpoint, json_response
from services.api.paging import Page, PageQuery, cut_page, page_response
from services.api.score_table import StudyScoreRow, place, study_score_rows
from services.api.tables import MEDIA, TableMeta, TableQuery, answer
from services.studies import Studies
from services.tables.table import Table
from shared.progress import JobDetail, JobProgress, PairDetail, PairProgress, StudyProgress
from shared.requests import StudyRequest


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
    """Those scores of a study that exist, with the q-value of each among them."""
    found = studies.find(study)
    scored = studies.scored(found)

    def as_page() -> Response:
        places = [(place(spec, *named), spec, named) for spec in scored for named in results_wanted(spec.scoring)]
        page, following = cut_page(places, lambda each: each[0], limit=query.limit, cursor=query.cursor)
        records = studies.scores({spec.digest: spec for _, spec, _ in page}.values())
        shown = {(spec.digest, *named) for _, spec, named in page}
        rows = study_score_rows(records, studies.q_values(found))
        return page_response(
            Page[StudyScoreRow], [row for row in rows if (row.score, row.metric, row.k) in shown], following
        )

    def as_table() -> Table:
        rows = study_score_rows(studies.scores(scored), studies.q_values(found))
        return TableMeta.of("scores", found).tabulate(StudyScoreRow, rows, "Scores")

    return answer(query.format, as_page, as_table)


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
        Page[StudyScoreRow],
        query=TableQuery,
        media=MEDIA,
        errors=(404, 406),
    ),
)
