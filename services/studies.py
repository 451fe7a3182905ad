"""Studies as the api sees them: accepted, listed, and how far they are."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import TypeVar

from embedder.catalogue.models import find_model, label_model
from embedder.published import describe_columns, resolve_published
from embedder.resolve import resolve_dataset, resolve_model
from scorer.metrics import metric_versions
from scorer.overviews.named import Named
from services.board import Board, RowsDone
from services.broker import Sender, make_app
from services.costing import Crew
from services.discoveries import PValue, q_values
from services.dispatch import Dispatcher, part_step_id
from services.garbage import Garbage
from services.histories import job_history, pair_history
from services.ledger import Ledger, Whole
from services.local import count_cores
from services.metered_store import MeteredStore
from services.meters import Meters
from services.plans import Planner
from services.redis_errors import without_redis
from services.reopening import Reopening, ending_of
from services.results import Results
from shared import keys
from shared.archive import write_archive
from shared.contracts import EmbeddingSpec, ScoreSpec, Study
from shared.endings import add_ending
from shared.errors import AlreadyOver, BadRecord, BrokerUnavailable, StoreUnavailable, UnknownName
from shared.outcomes import Failure, ScoreRecord
from shared.planning import expand, refuse_idle, refuse_unseen
from shared.plans import StudyPlan
from shared.progress import JobDetail, JobProgress, PairDetail, PairProgress, StudyProgress
from shared.published import ColumnsRequest, TableColumns
from shared.requests import StudyRequest
from shared.settings import Settings
from shared.states import State, StateCounts, count, summarise
from shared.store import ObjectStore
from shared.stores import open_store

_log = logging.getLogger(__name__)
Spec = TypeVar("Spec", EmbeddingSpec, ScoreSpec)


class Studies:
    """Accepts studies and tells how they stand."""

    def __init__(self, settings: Settings, store: ObjectStore, board: Board, sender: Sender) -> None:
        self._settings, self._store, self._board = settings, store, board
        self._ledger, self.results = Ledger(store), Results(store)
        self._planner = Planner(self._ledger, settings)
        self._dispatcher = Dispatcher(
            self._ledger, board, sender, limit=settings.release_limit, products=settings.search_products
        )

    @classmethod
    def open(cls, settings: Settings) -> Studies:
        """Studies in the store and the Redis of these settings."""
        store = MeteredStore(open_store(settings), Meters.open(settings))
        return cls(
            settings,
            store,
            Board.open(settings, briefly=True),
            Sender(make_app(settings)),
        )

    def accept(self, request: StudyRequest) -> tuple[Study, bool]:
        """Resolve, expand and store a study; whether it is new. It is in the store before this returns.

        A study that is there already does no work twice; what had failed in it, or was cancelled, is taken up again.
        Raises BadInput for what cannot be accepted, HubUnavailable when a revision cannot be resolved now.
        """
        study = self._expand(request)
        created = self._store.put_if_absent(keys.study(study.id), study.to_json())
        if not created:
            study = self.find(study.id)
        self.retry(study)
        return study, created

    def plan(self, request: StudyRequest, *, embedders: int | None = None, scorers: int | None = None) -> StudyPlan:
        """What a study would cost, were it accepted now; nothing is stored. Raises what `accept` raises.

        embedders, scorers: so many workers; else one embedder for every SAMESKY_THREADS of this machine's cores, and
        one scorer, as `samesky up` starts them.
        """
        study, cores = self._expand(request), count_cores()
        threads = self._settings.threads or cores
        crew = Crew(embedders or max(1, cores // threads), scorers or 1, threads)
        self._ledger.keep_up(self._board)
        return self._planner.plan(study, self.list(), crew)

    def _expand(self, request: StudyRequest) -> Study:
        """The study that is asked for, every name resolved. Raises what `accept` raises."""
        probes = "probes" in request.pairs
        versions = metric_versions(request.scoring, probes=probes)
        rows = [find_model(name) for name in request.models]
        for row in rows:
            row.check_dtype(request.dtype)
        datasets = [resolve_dataset(dataset, self._settings, labels=probes) for dataset in request.datasets]
        models = [resolve_model(row, self._settings) for row in (*rows, *([label_model()] if probes else ()))]
        published: list[EmbeddingSpec] = []
        for asked, (dataset, modalities) in zip(request.datasets, datasets, strict=True):
            if asked.modalities:
                refuse_unseen(asked.name, modalities, models)
            published += resolve_published(asked, dataset, self._settings)
        refuse_idle(models[: len(rows)], datasets)
        return expand(
            datasets,
            models,
            request.pairs,
            request.scoring,
            title=request.title,
            created_at=_now(),
            metric_versions=versions,
            layers={row.name: row.choose_layers(request.layers) for row in rows},
            dtype=request.dtype,
            published=published,
        )

    def columns(self, request: ColumnsRequest) -> TableColumns:
        """What the columns of a table are, by the catalogue. Raises what `accept` raises of the same dataset."""
        dataset, _ = resolve_dataset(request.dataset, self._settings)
        return describe_columns(request, dataset, self._settings)

    def _take_up(self, study: Study) -> None:
        with without_redis("the reconciler will send the study's work"):
            self._board.allow(self._ledger.works(study))
            self._board.want(study.id, (spec.digest for spec in study.embeddings))
            self._dispatcher.release([study])

    def retry(self, study: Study, *, mend: bool = False) -> int:
        """Take up again what failed in a study, or was cancelled; how many jobs and pairs had failed.

        What the store has lost or altered is made again, its sound parts kept. mend: read all scores through too.
        """
        again = Reopening(self._store, self._ledger, self._board)
        if mend:
            again.take_back_scores(study)
        reopened = again.reopen(study)
        self._take_up(study)
        return reopened

    def cancel(self, study: Study) -> None:
        """Begin no more work of a study; what runs ends with its part. Work that other studies want goes on.

        Raises AlreadyOver when nothing of it is left to do.
        """
        if self.progress(study).state in (State.DONE, State.FAILED):
            raise AlreadyOver(f"study {study.id} is over", "a study with work left to do")
        add_ending(self._store, keys.study_endings(), ending_of(study.id, study.title or study.id, State.CANCELLED))
        self._ledger.refresh()
        wanted = {
            work for other in self.list() if not self._ledger.cancelled(other.id) for work in self._ledger.works(other)
        }
        with without_redis("what is queued of it will be begun"):
            self._board.cancel(work for work in self._ledger.works(study) if work not in wanted)

    def find(self, study_id: str) -> Study:
        """An accepted study. Raises UnknownName, BadName."""
        return self._ledger.study(study_id)

    def list(self) -> Sequence[Study]:
        """All studies, newest first."""
        found = (self._find_readable(study_id) for study_id in self._ledger.study_ids())
        return sorted((study for study in found if study), key=lambda study: (study.created_at, study.id), reverse=True)

    def _find_readable(self, study_id: str) -> Study | None:
        try:
            return self.find(study_id)
        except BadRecord as error:
            _log.error("left out of the list: %s", error)
            return None

    def progress(self, study: Study) -> StudyProgress:
        """How far a study is."""
        self._ledger.keep_up(self._board)
        jobs, pairs = self.jobs(study), [state for state, _ in self._stand(study)]
        done, rows = sum(job.rows_done for job in jobs), sum(job.rows for job in jobs)
        rates = [job.rate for job in jobs if job.rate and job.state is State.RUNNING]
        rate = sum(rates) if rates else None
        return StudyProgress(
            id=study.id,
            title=study.title,
            created_at=study.created_at,
            state=summarise([*(job.state for job in jobs), *pairs]),
            simulated=any(spec.dataset.simulated for spec in study.embeddings),
            jobs=count(job.state for job in jobs),
            pairs=count(pairs),
            rows=rows,
            rows_done=done,
            rate=rate,
            seconds_left=(rows - done) / rate if rate else None,
        )

    def count_states(self) -> StateCounts:
        """Every job and pair of every study, each counted once, however many studies want it."""
        self._ledger.keep_up(self._board)
        jobs: dict[str, JobProgress] = {}
        pairs: dict[str, State] = {}
        studies: list[State] = []
        for study in self.list():
            own_jobs = {job.embedding: job for job in self.jobs(study)}
            own_pairs = {
                spec.digest: state
                for spec, (state, _) in zip(self._ledger.scores(study), self._stand(study), strict=True)
            }
            studies.append(summarise([*(job.state for job in own_jobs.values()), *own_pairs.values()]))
            jobs |= own_jobs
            pairs |= own_pairs
        return StateCounts(
            jobs=count(job.state for job in jobs.values()),
            pairs=count(pairs.values()),
            studies=count(studies),
            rows_per_second=sum(job.rate or 0.0 for job in jobs.values()),
        )

    def jobs(self, study: Study) -> Sequence[JobProgress]:
        """How far each job of a study is."""
        specs = study.embeddings
        steps = {spec.digest: [part_step_id(spec.digest, i) for i in range(spec.parts())] for spec in specs}
        running: set[str] = set()
        rows = [RowsDone(0, None)] * len(specs)
        with without_redis("progress is unknown"):
            running = self._board.running(step for ids in steps.values() for step in ids)
            rows = self._board.rows_done(spec.digest for spec in specs)
        cancelled, finished = self._ledger.cancelled(study.id), self._ledger.whole_of(study)
        return [
            self._job(
                spec,
                self._ledger.whole(spec) if spec.digest in finished else None,
                done,
                any(step in running for step in steps[spec.digest]),
                cancelled,
            )
            for spec, done in zip(specs, rows, strict=True)
        ]

    def _job(
        self, spec: EmbeddingSpec, whole: Whole | None, done: RowsDone, running: bool, cancelled: bool
    ) -> JobProgress:
        failure = None if whole else self._ledger.embedding_failure(spec)
        total = spec.dataset.rows
        state = _state(whole is not None, failure is not None, cancelled, running or done.rows > 0)
        rows_done = total if whole else min(done.rows, total)
        return JobProgress(
            embedding=spec.digest,
            label=spec.label,
            dataset=spec.dataset.name,
            modality=spec.modality.name,
            model=spec.model.name,
            layer=spec.layer,
            state=state,
            rows=total,
            rows_done=rows_done,
            rate=done.rate if state is State.RUNNING else None,
            seconds_left=(total - rows_done) / done.rate if state is State.RUNNING and done.rate else None,
            dropped=whole.dropped if whole else {},
            repaired=whole.repaired if whole else {},
            failure=failure,
        )

    def pairs(self, study: Study, places: Sequence[int] | None = None) -> Sequence[PairProgress]:
        """How pairs of a study stand: all of them, or those at these places in its order."""
        scores, stand = self._ledger.scores(study), self._stand(study)
        chosen = range(len(scores)) if places is None else places
        return [_pair(scores[place], *stand[place]) for place in chosen]

    def _stand(self, study: Study) -> Sequence[tuple[State, Failure | None]]:
        """State of each pair of a study, in its order, and why it failed, if it did."""
        scores, scored = self._ledger.scores(study), self._ledger.scored_of(study)
        failures, cancelled = self._ledger.pair_failures(study, scored), self._ledger.cancelled(study.id)
        running = set(self._ledger.searches_of(study, scored))
        with without_redis("what is running is unknown"):
            running |= self._board.running(spec.digest for spec in scores if spec.digest not in scored)
        return [
            (_state(digest in scored, digest in failures, cancelled, digest in running), failures.get(digest))
            for digest in (spec.digest for spec in scores)
        ]

    def job(self, study: Study, embedding: str) -> JobDetail:
        """One job of a study, with its history. embedding: its digest. Raises UnknownName."""
        spec = _find(study.embeddings, embedding, "job")
        progress = next(job for job in self.jobs(study) if job.embedding == embedding)
        return JobDetail(job=progress, history=tuple(job_history(self._store, self._board, spec, study.id)))

    def pair(self, study: Study, score: str) -> PairDetail:
        """One pair of a study, with its history. score: digest of the score wanted. Raises UnknownName."""
        wanted = self._ledger.scores(study)
        spec = _find(wanted, score, "pair")
        (progress,) = self.pairs(study, [wanted.index(spec)])
        return PairDetail(pair=progress, history=tuple(pair_history(self._store, self._board, spec, study.id)))

    @property
    def told(self) -> float:
        """When something became known that a list may not contradict, of the monotonic clock; see `Kept.listed`."""
        return self._ledger.learned

    def garbage(self, *, remove: bool) -> Sequence[str]:
        """The keys of objects that nothing names any more, which are removed if so asked. Raises BrokerUnavailable."""
        garbage = Garbage(self._store, self._ledger, self._board)
        return garbage.remove() if remove else garbage.find()

    def scored(self, study: Study) -> Sequence[ScoreSpec]:
        """Those scores of a study that exist, in the order of its pairs."""
        there = self._ledger.scored_of(study)
        return [spec for spec in self._ledger.scores(study) if spec.digest in there]

    def scores(self, wanted: Iterable[ScoreSpec]) -> Sequence[ScoreRecord]:
        """The records of those of `wanted` that exist, and can be read."""
        records = []
        for spec in wanted:
            try:
                record = self._ledger.record(spec)
            except BadRecord as error:
                _log.error("left out of the list: %s", error)
                continue
            records += [record] if record else []
        return records

    def q_values(self, study: Study) -> dict[Named, float]:
        """The q-values of those results of a study that exist now, and can be read."""

        def read() -> Iterator[tuple[ScoreSpec, Sequence[PValue]]]:
            for spec in self.scored(study):
                try:
                    yield spec, self._ledger.p_values(spec)
                except BadRecord as error:
                    _log.error("left out of the q-values: %s", error)

        return q_values(read())

    def archive(self, study: Study, *, vectors: bool) -> Iterator[bytes]:
        """A study as one file, in pieces, as `shared.archive.write_archive` makes it."""
        return write_archive(self._store, study, vectors=vectors)

    def missing(self) -> Sequence[str]:
        """What this installation lacks to take studies: `redis`, `store`. Empty when it is ready."""
        lacking = []
        try:
            self._board.ping()
        except BrokerUnavailable:
            lacking.append("redis")
        try:
            self._store.exists(keys.study("0" * 32))
        except StoreUnavailable:
            lacking.append("store")
        return lacking


def _find(specs: Sequence[Spec], digest: str, kind: str) -> Spec:
    for spec in specs:
        if spec.digest == digest:
            return spec
    raise UnknownName(f"the study has no {kind} {digest[:80]!r}", f"a {kind} as GET .../{kind}s gives it")


def _state(done: bool, failed: bool, cancelled: bool, running: bool) -> State:
    if done:
        return State.DONE
    if failed:
        return State.FAILED
    if cancelled:
        return State.CANCELLED
    return State.RUNNING if running else State.QUEUED


def _pair(spec: ScoreSpec, state: State, failure: Failure | None) -> PairProgress:
    return PairProgress(score=spec.digest, label=spec.pair.label, kind=spec.pair.kind, state=state, failure=failure)


def _now() -> str:
    return datetime.fromtimestamp(time.time(), UTC).isoformat(timespec="seconds")
