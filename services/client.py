"""The client: what the api offers, from a notebook or a script, with the same errors by the same names.

Imports no server, no queue, no model library.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, BinaryIO, Literal, Self
from urllib.parse import quote

import httpx

from services.field_errors import InvalidFields, validate
from services.study_file import read_study_file
from services.tables.formats import FormatName
from shared.archive import MEDIA
from shared.errors import ApiUnavailable, BadSetting, BadStudy, Retryable, SameSkyError, Unexpected, error_kinds
from shared.plans import StudyPlan
from shared.progress import JobDetail, JobProgress, PairDetail, PairProgress, StudyProgress
from shared.published import ColumnsRequest, TableColumns
from shared.requests import StudyRequest
from shared.settings import Settings
from shared.trends import Trend

_SECONDS_BETWEEN_LOOKS = 0.5
_PAGE = 1000
_PATIENCE_SECONDS = 60.0
_IDLE_SECONDS = 1.0  # the api closes an idle connection after 2 s: one of that age may be gone when it is used
_JSON_TYPES = ("application/json", "application/problem+json")
TableName = Literal["scores", "matrix", "curves", "layers", "probes", "differences", "links"]
StudySource = StudyRequest | Mapping[str, Any] | str | os.PathLike[str]


class Client:
    """A connection to one api. Use it as a context manager, or call `close`.

    url: where the api is; SAMESKY_API_URL unless given. token: what it bears; SAMESKY_TOKEN unless given, if any.
    transport: for tests, an httpx transport.
    Raises BadSetting for a url that cannot be one. Any call may raise ApiUnavailable, or the `shared.errors` class
    that the api answered with.
    """

    def __init__(
        self, url: str | None = None, *, token: str | None = None, transport: httpx.BaseTransport | None = None
    ) -> None:
        settings = Settings.read()
        self.url = (url or settings.api_url).rstrip("/")
        bearing = token or settings.token
        self._http = httpx.Client(
            base_url=_parse_address(self.url),
            headers={"Authorization": f"Bearer {bearing}"} if bearing else None,
            transport=transport,
            timeout=httpx.Timeout(120, connect=5),
            limits=httpx.Limits(keepalive_expiry=_IDLE_SECONDS),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the connections back."""
        self._http.close()

    def submit(self, study: StudySource) -> StudyProgress:
        """Ask for a study: a mapping, a `StudyRequest`, or the path of a YAML file. The same study is never done twice.

        Raises BadStudy, naming the field; for a file also its line.
        """
        response = self._send("POST", "/v1/studies", json=read_request(study).model_dump(mode="json"))
        return StudyProgress.model_validate(self._json(response))

    def plan(self, study: StudySource, *, embedders: int | None = None, scorers: int | None = None) -> StudyPlan:
        """What a study would cost, from what the installation has measured; nothing is begun. study: as of `submit`.

        embedders, scorers: so many workers; as `samesky up` starts them there, unless given. Raises what `submit` does.
        """
        given = {"embedders": embedders, "scorers": scorers}
        asked = {name: number for name, number in given.items() if number is not None}
        response = self._send("POST", "/v1/plan", json=read_request(study).model_dump(mode="json"), params=asked)
        return StudyPlan.model_validate(self._json(response))

    def columns(
        self,
        dataset: Mapping[str, Any],
        *,
        modalities: Sequence[str] = (),
        told: Mapping[str, Mapping[str, str]] | None = None,
    ) -> TableColumns:
        """What the columns of a table are, by the catalogue: which model, modality and layer, and which are unknown.

        dataset: as in a study, with `embeddings`. modalities: further ones that columns may be of. told: what some
        columns are, whatever they are called. Raises BadStudy.
        """
        try:
            asked = validate(ColumnsRequest, {"dataset": dataset, "modalities": modalities, "told": told or {}})
        except InvalidFields as error:
            raise error.as_error(BadStudy) from error
        response = self._send("POST", "/v1/columns", json=asked.model_dump(mode="json"))
        return TableColumns.model_validate(self._json(response))

    def studies(self, most: int | None = None) -> list[StudyProgress]:
        """Studies, newest first; the `most` newest of them, where given."""
        size = str(min(most or _PAGE, _PAGE))
        items = itertools.islice(self._pages("/v1/studies", limit=size), most)
        return [StudyProgress.model_validate(item) for item in items]

    def status(self, study_id: str) -> StudyProgress:
        """How far a study is."""
        return StudyProgress.model_validate(self._json(self._get(_study(study_id))))

    def absent(self) -> list[str]:
        """Services of which no process is alive, so that work for them waits: embedder, scorer, reconciler."""
        return list(self._json(self._get("/readyz"))["absent"])

    def jobs(self, study_id: str) -> list[JobProgress]:
        """How far each job of a study is."""
        return [JobProgress.model_validate(item) for item in self._pages(_study(study_id, "jobs"))]

    def pairs(self, study_id: str) -> list[PairProgress]:
        """How each pair of a study stands."""
        return [PairProgress.model_validate(item) for item in self._pages(_study(study_id, "pairs"))]

    def cancel(self, study_id: str) -> StudyProgress:
        """Begin no more of a study's work; what runs ends with its part. Raises AlreadyOver."""
        return StudyProgress.model_validate(self._json(self._send("POST", _study(study_id, "cancel"))))

    def retry(self, study_id: str) -> StudyProgress:
        """Take up again what failed in a study, or was cancelled."""
        return StudyProgress.model_validate(self._json(self._send("POST", _study(study_id, "retry"))))

    def job(self, study_id: str, embedding: str) -> JobDetail:
        """One job of a study, with all that happened to it."""
        return JobDetail.model_validate(self._json(self._get(_study(study_id, f"jobs/{quote(embedding, safe='')}"))))

    def pair(self, study_id: str, score: str) -> PairDetail:
        """One pair of a study, with all that happened to it."""
        return PairDetail.model_validate(self._json(self._get(_study(study_id, f"pairs/{quote(score, safe='')}"))))

    def garbage(self, *, remove: bool = False) -> list[str]:
        """Keys of stored objects that nothing names any more; `remove` removes them."""
        return list(self._json(self._send("DELETE" if remove else "GET", "/v1/garbage"))["keys"])

    def archive(self, study_id: str, target: BinaryIO, *, vectors: bool = False) -> None:
        """Write a study as one file to `target`, as it comes; `vectors` puts its embeddings' vectors in too.

        Raises ApiUnavailable also when it breaks off: what was written until then is no archive.
        """
        response = self._send("GET", _study(study_id, "archive"), stream=True, params={"vectors": str(vectors).lower()})
        try:
            if response.headers.get("Content-Type") != MEDIA:
                raise self._stranger(response)
            for piece in response.iter_bytes():
                target.write(piece)
        except httpx.TransportError as error:
            raise ApiUnavailable(
                f"the archive from {self.url} broke off", "an archive to its end", "see the log of the api"
            ) from error
        finally:
            response.close()

    def wait(
        self,
        study_id: str,
        timeout: float | None = None,
        on_progress: Callable[[StudyProgress], object] | None = None,
    ) -> StudyProgress:
        """Return once a study is done, failed or cancelled; `on_progress` is called at every look, the last included.

        An api that answered once and is away for less than a minute is waited for. Raises TimeoutError after
        `timeout` seconds.
        """
        started, answered = time.monotonic(), None
        while True:
            try:
                progress = self.status(study_id)
                if on_progress:
                    on_progress(progress)
                if progress.state.final:
                    return progress
                answered = time.monotonic()
            except Retryable:
                if answered is None or time.monotonic() - answered > _PATIENCE_SECONDS:
                    raise
            if timeout is not None and time.monotonic() - started > timeout:
                raise TimeoutError(f"study {study_id} was not over within {timeout:g} s")
            time.sleep(_SECONDS_BETWEEN_LOOKS)

    def scores(self, study_id: str | None = None, **filters: str) -> list[dict[str, Any]]:
        """Score rows of a study, or of everything that `filters` ask for: dataset, model, modality, kind, family."""
        return list(self._pages(_scores(study_id), **filters))

    def score_table(self, format: FormatName, study_id: str | None = None, **filters: str) -> bytes:  # noqa: A002
        """The same rows as one file."""
        return self._get(_scores(study_id), format=format, **filters).content

    def matrix(self, study_id: str, **chosen: str) -> dict[str, Any]:
        """The score matrix of a study. chosen: metric, k, statistic (`value`, `calibrated`, `p_value`)."""
        return self._json(self._get(_study(study_id, "matrix"), **chosen))

    def curves(self, study_id: str, **chosen: str) -> list[dict[str, Any]]:
        """The points of a study's scaling curves. chosen: metric, k; all of them, unless given."""
        return list(self._pages(_study(study_id, "curves"), **chosen))

    def layers(self, study_id: str, **chosen: str) -> list[dict[str, Any]]:
        """The layer maps of a study. chosen: as of `matrix`."""
        return list(self._pages(_study(study_id, "layers"), **chosen))

    def probes(self, study_id: str) -> list[dict[str, Any]]:
        """The probe table of a study."""
        return list(self._pages(_study(study_id, "probes")))

    def differences(self, study_id: str, **chosen: str) -> list[dict[str, Any]]:
        """Each step to the next larger model of a study's families, object by object. chosen: metric, k."""
        return list(self._pages(_study(study_id, "differences"), **chosen))

    def links(self, study_id: str, **chosen: str) -> list[dict[str, Any]]:
        """Alignment against probes, over a study's models. chosen: metric, probe, k."""
        return list(self._pages(_study(study_id, "links"), **chosen))

    def table(self, study_id: str, name: TableName, format: FormatName, **chosen: str) -> bytes:  # noqa: A002
        """One of a study's tables as one file. chosen: as of the method of that name."""
        return self._get(_study(study_id, name), format=format, **chosen).content

    def score(self, score: str) -> dict[str, Any]:
        """One score's whole record, with its provenance."""
        return self._json(self._get(f"/v1/scores/{quote(score, safe='')}"))

    def trend(self, study_id: str, metric: str | None = None, k: int | None = None) -> Trend:
        """How a metric of a study's crossmodal and crosskind pairs, of final layers, changes with model size.

        metric, k: the study's first, unless given. Raises ObjectMissing while there is no such score, TooFewSizes when
        no family has two sizes.
        """
        asked = {name: str(given) for name, given in (("metric", metric), ("k", k)) if given is not None}
        return Trend.model_validate(self._json(self._get(_study(study_id, "trend"), **asked)))

    def embeddings(self, **filters: str) -> list[dict[str, Any]]:
        """Whole embeddings; filters: dataset, modality, model, family."""
        return list(self._pages("/v1/embeddings", **filters))

    def models(self, **filters: str) -> list[dict[str, Any]]:
        """The models there are; filter: family."""
        return list(self._pages("/v1/models", **filters))

    def datasets(self) -> list[dict[str, Any]]:
        """The datasets there are."""
        return list(self._pages("/v1/datasets"))

    def figure(
        self,
        study_id: str,
        name: str = "scaling",
        format: Literal["svg", "png", "pdf"] = "png",  # noqa: A002
        **chosen: str,
    ) -> bytes:
        """A figure of a study's scores. chosen: metric, k, and statistic of `matrix` and `layers`."""
        return self._get(_study(study_id, f"figures/{name}.{format}"), **chosen).content

    def _pages(self, path: str, **query: str) -> Iterator[dict[str, Any]]:
        page = self._json(self._get(path, **{"limit": str(_PAGE), **query}))
        yield from page["items"]
        while page["next"]:
            page = self._json(self._get(page["next"]))
            yield from page["items"]

    def _get(self, path: str, **query: str) -> httpx.Response:
        return self._send("GET", path, params=query or None)

    def _send(self, method: str, path: str, *, stream: bool = False, **options: Any) -> httpx.Response:
        """The answer to a request; with `stream`, its body is yet to be read, unless it is an error."""
        request = self._http.build_request(method, path, **options)
        try:
            try:
                response = self._http.send(request, stream=stream)
            except httpx.RemoteProtocolError:  # a server may close a connection that was idle as it is used again
                if method != "GET":
                    raise
                response = self._http.send(request, stream=stream)
            if not response.is_success:
                response.read()
        except httpx.TransportError as error:
            raise ApiUnavailable(
                f"no api answers at {self.url}",
                "a running installation",
                "start one with `samesky up`, or set SAMESKY_API_URL",
            ) from error
        if response.is_success:
            return response
        raise self._error(response)

    def _json(self, response: httpx.Response) -> dict[str, Any]:
        if response.headers.get("Content-Type") not in _JSON_TYPES:
            raise self._stranger(response)
        return dict(response.json())

    def _stranger(self, response: httpx.Response) -> ApiUnavailable:
        return ApiUnavailable(
            f"{self.url} answers {response.status_code} {response.reason_phrase}, but is no api of ours",
            "an api of Same Sky",
            "see SAMESKY_API_URL",
        )

    def _error(self, response: httpx.Response) -> SameSkyError:
        """The error that the api named. Raises ApiUnavailable when what answered is something else."""
        problem = self._json(response)
        kind = error_kinds().get(problem.get("code", ""), Unexpected)
        return kind(problem["detail"], problem.get("expected", ""), problem.get("remedy", ""))


def read_request(study: StudySource) -> StudyRequest:
    """A study as it is asked for, from a mapping or a file. Raises BadStudy, naming the field; of a file the line."""
    if isinstance(study, str | os.PathLike):
        return read_study_file(study)
    try:
        return study if isinstance(study, StudyRequest) else validate(StudyRequest, study)
    except InvalidFields as error:
        raise error.as_error(BadStudy) from error


def _parse_address(url: str) -> httpx.URL:
    try:
        address = httpx.URL(url)
    except httpx.InvalidURL:
        address = httpx.URL()
    if address.scheme not in ("http", "https") or not address.host:
        raise BadSetting(f"{url!r:.200} is not the address of an api", "http://HOST:PORT", "see SAMESKY_API_URL")
    return address


def _study(study_id: str, part: str = "") -> str:
    return f"/v1/studies/{quote(study_id, safe='')}/{part}".rstrip("/")


def _scores(study_id: str | None) -> str:
    return "/v1/scores" if study_id is None else _study(study_id, "scores")
