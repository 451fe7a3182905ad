"""Two runs of a study side by side: what counts as equal, close, different, missing; and what differed around them."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as some

from scorer.agreement import (
    CLOSE_WITHIN,
    StudyAgreement,
    Verdict,
    compare_numbers,
    compare_results,
    compare_scores,
    compare_studies,
    tell,
)
from scorer.records import read_score
from shared import keys
from shared.contracts import Study
from shared.embeddings import read_manifest
from shared.outcomes import Interval, MetricResult, ScoreRecord
from shared.store import MemoryStore

Scored = tuple[MemoryStore, Study]
numbers = some.floats(allow_nan=False, allow_infinity=False, width=64)


@given(numbers, numbers)
def test_verdicts_on_numbers_are_symmetric(a: float, b: float) -> None:
    assert compare_numbers(a, b) is compare_numbers(b, a)


@given(numbers)
def test_a_number_is_equal_to_itself_alone(a: float) -> None:
    assert compare_numbers(a, a) is Verdict.EQUAL
    assert compare_numbers(a, math.nextafter(a, math.inf)) in (Verdict.CLOSE, Verdict.DIFFERENT)
    assert compare_numbers(a, None) is Verdict.DIFFERENT


@given(some.floats(-1e6, 1e6), some.floats(-1e-5, 1e-5))
def test_close_is_within_a_millionth_of_one_or_of_the_size_above_it(a: float, step: float) -> None:
    b = a + step
    near = abs(a - b) <= CLOSE_WITHIN * max(1.0, abs(a), abs(b))
    assert (compare_numbers(a, b) in (Verdict.EQUAL, Verdict.CLOSE)) == near


@given(some.lists(some.sampled_from(Verdict)))
def test_the_worst_is_as_bad_as_each(verdicts: list[Verdict]) -> None:
    worst, ranks = Verdict.worst(verdicts), list(Verdict)
    assert worst in (*verdicts, Verdict.EQUAL)
    assert all(ranks.index(verdict) <= ranks.index(worst) for verdict in verdicts)


RESULT = MetricResult(
    metric="mknn",
    metric_version=1,
    k=10,
    value=0.4,
    chance=0.1,
    null_mean=0.1,
    null_std=0.01,
    p_value=0.01,
    permutations=99,
    threshold=0.12,
    calibrated=0.3,
    interval=Interval(low=0.3, high=0.5, confidence=0.95),
    standard_error=0.05,
    details={"width": 3.0},
)


@pytest.mark.parametrize(
    ("changed", "name"),
    [
        ({"value": 0.5}, "value"),
        ({"p_value": 0.02}, "p_value"),
        ({"permutations": 199}, "permutations"),
        ({"threshold": 0.13}, "threshold"),
        ({"calibrated": 0.2}, "calibrated"),
        ({"standard_error": 0.06}, "standard_error"),
        ({"null_mean": 0.2}, "null_mean"),
        ({"null_std": 0.02}, "null_std"),
        ({"chance": 0.2}, "chance"),
        ({"interval": Interval(low=0.2, high=0.5, confidence=0.95)}, "low"),
        ({"interval": Interval(low=0.3, high=0.6, confidence=0.95)}, "high"),
        ({"interval": None}, "low"),
        ({"p_value": None}, "p_value"),
        ({"details": {"width": 4.0}}, "width"),
        ({"details": {"depth": 3.0}}, "depth"),
    ],
)
def test_every_number_counts(changed: dict[str, object], name: str) -> None:
    for pair in ((RESULT, RESULT.model_copy(update=changed)), (RESULT.model_copy(update=changed), RESULT)):
        agreement = compare_results("mknn@10", *pair)
        assert agreement.verdict is Verdict.DIFFERENT
        assert name in {figure.name for figure in agreement.figures if figure.verdict is Verdict.DIFFERENT}
    assert agreement.figures[0].name == "value"


def test_rounding_is_close() -> None:
    agreement = compare_results("mknn@10", RESULT, RESULT.model_copy(update={"value": math.nextafter(0.4, 1)}))
    assert agreement.verdict is Verdict.CLOSE
    assert [figure.name for figure in agreement.figures if figure.verdict is Verdict.CLOSE] == ["value"]


def record_of(scored: Scored, place: int = 0) -> ScoreRecord:
    record = read_score(scored[0], scored[1].scores()[place])
    assert record is not None
    return record


def test_a_result_that_one_run_lacks_is_missing(scored: Scored) -> None:
    then = record_of(scored)
    now = then.model_copy(update={"results": then.results[:1]})
    for pair in ((then, now), (now, then)):
        agreement = compare_scores(*pair)
        assert agreement.verdict is Verdict.MISSING
        assert [result.verdict for result in agreement.results] == [Verdict.EQUAL, Verdict.MISSING]
        assert tell(agreement, Verdict.CLOSE) == [f"{agreement.label}: only one of the two has mknn@5"]


def test_numbers_of_objects_count(scored: Scored) -> None:
    then = record_of(scored)
    agreement = compare_scores(then, then.model_copy(update={"left_objects": 39}))
    assert agreement.verdict is Verdict.DIFFERENT
    assert tell(agreement, Verdict.DIFFERENT) == [f"{agreement.label}: left_objects were 40, are 39"]


def test_two_scores_are_not_compared(scored: Scored) -> None:
    with pytest.raises(ValueError, match="are two scores"):
        compare_scores(record_of(scored), record_of(scored, 1))


def test_only_what_is_so_bad_is_told(scored: Scored) -> None:
    then = record_of(scored)
    first, second = then.results
    near = math.nextafter(first.value, 1)
    now = then.model_copy(
        update={"results": (first.model_copy(update={"value": near}), second.model_copy(update={"value": 0.75}))}
    )
    agreement = compare_scores(then, now)
    different = f"{agreement.label}: value of mknn@5 was {second.value!r}, is 0.75"
    assert tell(agreement, Verdict.DIFFERENT) == [different]
    assert tell(agreement, Verdict.CLOSE) == [
        f"{agreement.label}: value of mknn@3 was {first.value!r}, is {near!r}",
        different,
    ]


def test_a_study_agrees_with_itself(scored: Scored) -> None:
    agreement = compare_studies(scored[1], scored[0], scored[0])
    assert agreement.agrees
    assert agreement.verdict is Verdict.EQUAL
    assert len(agreement.scores) == 4
    assert all(len(score.results) == 2 for score in agreement.scores)
    assert [embedding.equal_parts for embedding in agreement.embeddings] == [3] * 4
    assert agreement.differences == ()
    assert StudyAgreement.model_validate_json(agreement.to_json()) == agreement


Change = Callable[[MemoryStore, Study], object]


@pytest.mark.parametrize(
    ("now", "verdict", "why"),
    [
        (lambda store, study: store.delete(keys.score(study.scores()[1])), Verdict.MISSING, "not made again"),
        (lambda store, study: store.put(keys.score(study.scores()[1]), b"{"), Verdict.MISSING, "is not a ScoreRecord"),
    ],
    ids=["not made", "not readable"],
)
def test_a_score_that_is_missing_now_is_told(
    scored: Scored, scored_copy: MemoryStore, now: Change, verdict: Verdict, why: str
) -> None:
    store, study = scored
    now(scored_copy, study)
    agreement = compare_studies(study, store, scored_copy)
    assert not agreement.agrees
    assert [score.verdict for score in agreement.scores].count(verdict) == 1
    assert why in agreement.scores[1].why
    assert why in tell(agreement.scores[1], Verdict.DIFFERENT)[0]


def test_what_was_not_scored_then_is_counted_and_no_fault(scored: Scored, scored_copy: MemoryStore) -> None:
    store, study = scored
    scored_copy.delete(keys.score(study.scores()[0]))
    agreement = compare_studies(study, scored_copy, store)
    assert (agreement.unscored, len(agreement.scores), agreement.agrees) == (1, 3, True)
    for spec in study.scores():
        scored_copy.delete(keys.score(spec))
    nothing = compare_studies(study, scored_copy, store)
    assert (nothing.unscored, nothing.agrees) == (4, False), "nothing to compare is no agreement"


def test_other_bytes_of_vectors_are_told_and_no_fault(scored: Scored, scored_copy: MemoryStore) -> None:
    store, study = scored
    first, second = study.embeddings[:2]
    manifest = read_manifest(store, first)
    assert manifest is not None
    parts = (manifest.parts[0].model_copy(update={"sha256": "0" * 64}), *manifest.parts[1:])
    scored_copy.put(keys.manifest(first), manifest.model_copy(update={"parts": parts}).to_json())
    scored_copy.delete(keys.manifest(second))
    agreement = compare_studies(study, store, scored_copy)
    assert agreement.agrees
    assert [embedding.verdict for embedding in agreement.embeddings[:3]] == [
        Verdict.DIFFERENT,
        Verdict.MISSING,
        Verdict.EQUAL,
    ]
    assert (agreement.embeddings[0].equal_parts, agreement.embeddings[1].rows_now) == (2, None)


def test_other_packages_and_machines_are_told_in_words(scored: Scored, scored_copy: MemoryStore) -> None:
    store, study = scored
    for spec in study.embeddings:
        manifest = read_manifest(store, spec)
        assert manifest is not None
        packages = {**manifest.packages, "torch": "2.1", "timm": "1.0"}
        scored_copy.put(
            keys.manifest(spec), manifest.model_copy(update={"packages": packages, "device": "cuda\x1b[2J"}).to_json()
        )
    for score in study.scores():
        record = read_score(store, score)
        assert record is not None
        packages = {**record.provenance.packages, "numpy": "9.0"}
        changed = {"packages": packages, "threads": 8, "worker": "there:7"}
        provenance = record.provenance.model_copy(update=changed)
        scored_copy.put(keys.score(score), record.model_copy(update={"provenance": provenance}).to_json())
    told = compare_studies(study, store, scored_copy).differences
    assert [line.split()[0] for line in told] == ["numpy", "torch", "device", "threads", "machine"]
    assert "9.0 now: NumPy may change its random streams" in told[0]
    assert told[1] == "torch 2.0 then, 2.1 now: vectors may be rounded otherwise"
    assert told[2].startswith("device cpu then, cuda")
    assert told[3].startswith("threads of a scorer 1 then, 8 now")
    assert told[4] == "machine then then, then, there now"
    assert all(line.isprintable() for line in told)
