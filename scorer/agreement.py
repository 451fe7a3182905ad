"""Whether a study that was run again says what it said: number by number, and what differed around the two runs.

Pure functions on records, and on the stores they are read from. Two numbers are equal to the last bit, close (within
1e-6, of their size where that is above 1), or different.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum

from scorer.records import read_score
from scorer.surroundings import Surroundings
from shared.contract import Contract
from shared.contracts import EmbeddingSpec, ScoreSpec, Study
from shared.embeddings import read_manifest
from shared.errors import Corrupt
from shared.names import Digest
from shared.outcomes import Manifest, MetricResult, ScoreRecord
from shared.store import ObjectStore

CLOSE_WITHIN = 1e-6


class Verdict(StrEnum):
    """From best to worst. missing: one of the two runs has it, the other has not."""

    EQUAL = "equal"
    CLOSE = "close"
    DIFFERENT = "different"
    MISSING = "missing"

    @classmethod
    def worst(cls, verdicts: Iterable[Verdict]) -> Verdict:
        """The worst of them; equal when there is none."""
        ranks = list(cls)
        return max(verdicts, key=ranks.index, default=cls.EQUAL)


class Figure(Contract):
    """One number, then and now; None where it was not given."""

    name: str
    then: int | float | None
    now: int | float | None
    verdict: Verdict


class ResultAgreement(Contract):
    """One result of a score, `mknn@10`. figures: its value first, and every other number that either run gave."""

    label: str
    figures: tuple[Figure, ...]
    verdict: Verdict


class ScoreAgreement(Contract):
    """One score. counts: of objects. why: what stands in the way, where a record is missing or cannot be read."""

    score: Digest
    label: str
    counts: tuple[Figure, ...] = ()
    results: tuple[ResultAgreement, ...] = ()
    verdict: Verdict
    why: str = ""


class EmbeddingAgreement(Contract):
    """One embedding. equal_parts: those of its parts whose bytes are the same.

    Other bytes are not other scores: sums are rounded otherwise on another machine, and Parquet names its writer.
    """

    embedding: Digest
    label: str
    parts: int
    equal_parts: int
    rows_then: int | None
    rows_now: int | None
    verdict: Verdict


class StudyAgreement(Contract):
    """A study, then and now. It agrees when every score that was made then is equal or close.

    unscored: pairs without a score then, which cannot be compared. differences: of packages and machines, in words.
    """

    study: Digest
    title: str = ""
    simulated: bool = False
    scores: tuple[ScoreAgreement, ...]
    embeddings: tuple[EmbeddingAgreement, ...]
    unscored: int = 0
    differences: tuple[str, ...] = ()

    @property
    def verdict(self) -> Verdict:
        """The worst of its scores'; missing when there is none to compare."""
        return Verdict.worst(score.verdict for score in self.scores) if self.scores else Verdict.MISSING

    @property
    def agrees(self) -> bool:
        """Whether all that was scored then came out equal or close."""
        return self.verdict in (Verdict.EQUAL, Verdict.CLOSE)


def compare_studies(study: Study, then: ObjectStore, now: ObjectStore) -> StudyAgreement:
    """Hold what `now` has of a study against what `then` had; reads manifests and score records, one pair at a time."""
    before, after = Surroundings(), Surroundings()
    embeddings = tuple(_compare_embedding(spec, then, now, before, after) for spec in study.embeddings)
    scores, unscored = [], 0
    for a, b in study.pairs:
        score = _compare_stored(study.score(a, b), then, now, before, after)
        scores += [score] if score else []
        unscored += score is None
    return StudyAgreement(
        study=study.id,
        title=study.title,
        simulated=any(spec.dataset.simulated for spec in study.embeddings),
        scores=tuple(scores),
        embeddings=embeddings,
        unscored=unscored,
        differences=tuple(before.differences(after)),
    )


def _compare_stored(
    spec: ScoreSpec, then: ObjectStore, now: ObjectStore, before: Surroundings, after: Surroundings
) -> ScoreAgreement | None:
    """One score of two stores; None when there was none then."""
    try:
        old = read_score(then, spec)
        if old is None:
            return None
        before.note_score(old)
        new = read_score(now, spec)
    except Corrupt as error:
        return ScoreAgreement(score=spec.digest, label=spec.pair.label, verdict=Verdict.MISSING, why=error.wrong)
    if new is None:
        return ScoreAgreement(score=spec.digest, label=spec.pair.label, verdict=Verdict.MISSING, why="not made again")
    after.note_score(new)
    return compare_scores(old, new)


def compare_scores(then: ScoreRecord, now: ScoreRecord) -> ScoreAgreement:
    """Two records of one score. Raises ValueError when they are of two."""
    if then.spec.digest != now.spec.digest:
        raise ValueError(f"{then.spec.digest} and {now.spec.digest} are two scores")
    counts = tuple(
        _figure(name, getattr(then, name), getattr(now, name)) for name in ("objects", "left_objects", "right_objects")
    )
    ours, theirs = ({result.label: result for result in record.results} for record in (then, now))
    results = tuple(compare_results(label, ours.get(label), theirs.get(label)) for label in _either(ours, theirs))
    return ScoreAgreement(
        score=then.spec.digest,
        label=then.spec.pair.label,
        counts=counts,
        results=results,
        verdict=Verdict.worst([*(count.verdict for count in counts), *(result.verdict for result in results)]),
    )


def compare_results(label: str, then: MetricResult | None, now: MetricResult | None) -> ResultAgreement:
    """One result of two records. A number that only one of them has makes it different; a result, missing."""
    ours, theirs = _numbers(then), _numbers(now)
    figures = tuple(_figure(name, ours.get(name), theirs.get(name)) for name in _either(ours, theirs))
    missing = then is None or now is None
    worst = Verdict.worst(figure.verdict for figure in figures)
    return ResultAgreement(label=label, figures=figures, verdict=Verdict.MISSING if missing else worst)


def _numbers(result: MetricResult | None) -> dict[str, float]:
    """Every number of a result that it has, its value first."""
    if result is None:
        return {}
    interval = result.interval
    found = {
        "value": result.value,
        "chance": result.chance,
        "null_mean": result.null_mean,
        "null_std": result.null_std,
        "p_value": result.p_value,
        "permutations": result.permutations,
        "threshold": result.threshold,
        "calibrated": result.calibrated,
        "low": interval.low if interval else None,
        "high": interval.high if interval else None,
        "standard_error": result.standard_error,
        **result.details,
    }
    return {name: number for name, number in found.items() if number is not None}


def _either(ours: Mapping[str, object], theirs: Mapping[str, object]) -> list[str]:
    return [*ours, *(name for name in theirs if name not in ours)]


def _figure(name: str, then: float | None, now: float | None) -> Figure:
    return Figure(name=name, then=then, now=now, verdict=compare_numbers(then, now))


def compare_numbers(then: float | None, now: float | None) -> Verdict:
    """Equal to the bit, close, or different, as is a number against none."""
    if then == now:
        return Verdict.EQUAL
    if then is None or now is None:
        return Verdict.DIFFERENT
    return Verdict.CLOSE if abs(then - now) <= CLOSE_WITHIN * max(1.0, abs(then), abs(now)) else Verdict.DIFFERENT


def _compare_embedding(
    spec: EmbeddingSpec, then: ObjectStore, now: ObjectStore, before: Surroundings, after: Surroundings
) -> EmbeddingAgreement:
    old, new = _read_or_none(then, spec), _read_or_none(now, spec)
    for manifest, surroundings in ((old, before), (new, after)):
        if manifest:
            surroundings.note_embedding(manifest)
    ours, theirs = _hashes(old), _hashes(new)
    equal = sum(a == b for a, b in zip(ours, theirs, strict=False))
    same = Verdict.EQUAL if ours == theirs else Verdict.DIFFERENT
    return EmbeddingAgreement(
        embedding=spec.digest,
        label=spec.label,
        parts=spec.parts(),
        equal_parts=equal,
        rows_then=old.rows if old else None,
        rows_now=new.rows if new else None,
        verdict=same if old and new else Verdict.MISSING,
    )


def _read_or_none(store: ObjectStore, spec: EmbeddingSpec) -> Manifest | None:
    try:
        return read_manifest(store, spec)
    except Corrupt:  # whoever verifies the archive is told
        return None


def _hashes(manifest: Manifest | None) -> list[str]:
    return [part.sha256 for part in manifest.parts] if manifest else []


def tell(agreement: ScoreAgreement, at_least: Verdict) -> list[str]:
    """What is not equal in a score, a line for each number that is `at_least` so bad, with both numbers in full."""
    bad = [verdict for verdict in Verdict if Verdict.worst((verdict, at_least)) is verdict]
    told = [f"{agreement.label}: {agreement.why}"] if agreement.why else []
    for result in agreement.results:
        if result.verdict is Verdict.MISSING:
            told.append(f"{agreement.label}: only one of the two has {result.label}")
            continue
        told += [
            f"{agreement.label}: {figure.name} of {result.label} was {_shown(figure.then)}, is {_shown(figure.now)}"
            for figure in result.figures
            if figure.verdict in bad
        ]
    return told + [
        f"{agreement.label}: {count.name} were {_shown(count.then)}, are {_shown(count.now)}"
        for count in agreement.counts
        if count.verdict in bad
    ]


def _shown(number: float | None) -> str:
    return "not given" if number is None else repr(number).removesuffix(".0")
