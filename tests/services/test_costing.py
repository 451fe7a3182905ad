"""The arithmetic of a plan: against the same sums written out by hand, and its laws."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import replace
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as some

from scorer.costs import Shape, seconds_of, seconds_of_search
from services.costing import STEP_SECONDS, Correction, Crew, Facts, Pair, Rate, Speed, cost
from shared.contracts import DatasetRef, EmbeddingSpec, ModelRef, Scoring, Study
from shared.modalities import Modality
from shared.planning import expand

ROWS, PART, MODELS = 1000, 256, 3
DIMENSIONS = (64, 128, 256)
CREW = Crew(embedders=2, scorers=1, threads=1)


def modality(name: str, kind: str = "image") -> Modality:
    """An image in one band, or a label."""
    if kind == "label":
        return Modality(name=name, kind="label", column=name, recipe="label-v1")
    return Modality(name=name, kind="image", column=name, recipe="arcsinh-image-v1", bands=("g",))


def model(name: str, takes: str = "image", parameters: float = 100) -> ModelRef:
    """A model that no catalogue knows."""
    return ModelRef.model_validate(
        {
            "name": name, "family": "stranger", "adapter": "stranger", "checkpoint": name, "revision": "1",
            "pooling": "mean", "takes": takes, "parameters": parameters, "part_rows": PART,
        }
    )  # fmt: skip


def make_study(policies: Sequence[str] = ("crossmodal", "intramodal", "probes")) -> Study:
    """Three models in two modalities, and one label."""
    dataset = DatasetRef(name="sky", revision="r1", source="mocksky", location="0", rows=ROWS)
    return expand(
        [(dataset, [modality("hsc"), modality("jwst"), modality("redshift", "label")])],
        [*(model(f"m{place}", parameters=100 * (1 + place)) for place in range(MODELS)), model("label", "label", 0)],
        policies,  # type: ignore[arg-type]
        Scoring(metrics=("mknn", "cka"), k=(10, 20)),
        created_at="2026-01-01T00:00:00+00:00",
    )


def dimension(spec: EmbeddingSpec) -> int:
    return 1 if spec.modality.kind == "label" else DIMENSIONS[int(spec.model.name[1:])]


def facts_of(study: Study, crew: Crew = CREW, **changes: object) -> Facts:
    """Nothing is done, and every pass takes a hundredth of a second an object."""
    plain = Facts(
        study=study,
        crew=crew,
        whole=frozenset(),
        scored=frozenset(),
        tables=frozenset(),
        dimensions=[dimension(spec) for spec in study.embeddings],
        rates=[Rate(0.01, "measured")] * len(study.passes),
        read=[1000] * len(study.passes),
        speed=Speed(50.0, "a test"),
        correction=Correction(1.0, 0),
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


def test_a_plan_is_the_sums_written_out() -> None:
    study = make_study()
    plan = cost(facts_of(study))
    # 6 passes of 1,000 objects in 4 parts, and the label of 1 in 4, at 0.01 s; two loads of each model
    loads = [0.3 + 0.004 * spec.model.parameters if spec.modality.kind == "image" else 0 for spec in study.embeddings]
    assert [one.seconds for one in plan.passes] == pytest.approx([10 + 4 * 0.05 + 2 * load for load in loads])
    assert (plan.jobs, plan.rows, {one.parts for one in plan.passes}) == (7, 7000, {4})
    written = [1000 * (4 * dimension(spec) + 20) + 4 * 4000 for spec in study.embeddings]
    assert [one.bytes_written for one in plan.passes] == written
    # 3 crossmodal pairs, and 2 steps of size in each of 2 modalities; a probe for each of 6 embeddings
    pairs, probes = plan.scores
    assert (pairs.what, pairs.pairs, probes.what, probes.pairs) == ("pairs", 7, "probes", 6)
    sides = [(64, 64), (128, 128), (256, 256), *[(64, 128), (128, 256)] * 2]
    scoring = study.scoring_of_pairs
    mknn, cka = (sum(seconds_of(name, Shape(1000, *side, scoring)) for side in sides) for name in ("mknn", "cka"))
    searches = 2 * sum(seconds_of_search(1000, each) for each in DIMENSIONS)
    assert {one.metric: one.seconds for one in pairs.metrics} == pytest.approx({"mknn": mknn, "cka": cka})
    assert (pairs.searches, pairs.search_seconds) == (6, pytest.approx(searches))
    assert pairs.seconds == pytest.approx(mknn + cka + searches + 7 * STEP_SECONDS)
    assert (probes.searches, probes.search_seconds) == (6, pytest.approx(searches)), "a label's objects are its own"
    total = sum(one.seconds for one in plan.passes) + pairs.seconds + probes.seconds
    assert plan.core_hours == pytest.approx(total / 3600)
    assert plan.embedding_seconds == pytest.approx(sum(one.seconds for one in plan.passes) / 2)
    assert plan.seconds_most == pytest.approx(plan.embedding_seconds + pairs.seconds + probes.seconds)
    assert (plan.bytes_read, plan.bytes_written) == (
        7000,
        sum(written) + pairs.bytes_written + probes.bytes_written,
    )


def test_what_is_there_costs_nothing() -> None:
    study = make_study()
    everything = frozenset(spec.digest for spec in study.embeddings)
    plan = cost(facts_of(study, whole=everything, scored=frozenset(study.pairs)))
    assert (plan.jobs_done, plan.pairs_done) == (7, 13)
    assert (plan.rows, plan.core_hours, plan.seconds_most, plan.bytes_read, plan.bytes_written) == (0, 0, 0, 0, 0)
    assert {one.basis for one in plan.passes} == {"nothing to do"}


def test_a_neighbour_table_that_is_there_is_not_searched_for() -> None:
    study = make_study(("crossmodal",))
    plan = cost(facts_of(study, tables=frozenset({0, 1})))
    assert plan.scores[0].searches == len(study.embeddings) - 2


def test_the_layers_of_a_pass_cost_one_pass() -> None:
    dataset = DatasetRef(name="sky", revision="r1", source="mocksky", location="0", rows=ROWS)
    study = expand(
        [(dataset, [modality("hsc"), modality("jwst")])],
        [model("m0")],
        ["crossmodal"],
        Scoring(),
        created_at="2026-01-01T00:00:00+00:00",
        layers={"m0": ["block-00", "block-01", "final"]},
    )
    done = {spec.digest for spec in study.embeddings if (spec.modality.name, spec.layer) == ("hsc", "final")}
    plan = cost(facts_of(study, whole=frozenset(done)))
    assert [(one.jobs, one.jobs_done, one.rows) for one in plan.passes] == [(3, 1, ROWS), (3, 0, ROWS)]
    assert [one.bytes_written for one in plan.passes] == [2 * (276 * ROWS + 16000), 3 * (276 * ROWS + 16000)]


def test_a_source_whose_size_nobody_knows_makes_the_sum_unknown_unless_it_is_done() -> None:
    study = make_study(("crossmodal",))
    read = [None, *[1000] * (len(study.passes) - 1)]
    assert cost(facts_of(study, read=read)).bytes_read is None
    first = frozenset(spec.digest for spec in study.passes[0])
    assert cost(facts_of(study, read=read, whole=first)).bytes_read == 1000 * (len(study.passes) - 1)


@given(some.data())
def test_more_that_is_done_never_costs_more_and_more_workers_are_never_slower(data: some.DataObject) -> None:
    study = make_study()
    digests, pairs = [spec.digest for spec in study.embeddings], list(study.pairs)
    fewer: Set[str] = data.draw(some.frozensets(some.sampled_from(digests)))
    more: Set[str] = fewer | data.draw(some.frozensets(some.sampled_from(digests)))
    scored: Set[Pair] = data.draw(some.frozensets(some.sampled_from(pairs)))
    crew = Crew(*data.draw(some.tuples(some.integers(1, 64), some.integers(1, 64), some.integers(1, 16))))
    before, after = (cost(facts_of(study, crew, whole=whole, scored=scored)) for whole in (fewer, more))
    assert after.core_hours <= before.core_hours
    assert after.bytes_written <= before.bytes_written
    assert before.seconds_least <= before.seconds_most
    assert before.rows == ROWS * (len(digests) - len(fewer))
    assert before.pairs_done == len(scored)
    twice = crew._replace(scorers=2 * crew.scorers)
    assert cost(facts_of(study, twice, whole=fewer, scored=scored)).seconds_most <= before.seconds_most
    longest = max(one.seconds / max(1, one.parts) for one in before.passes)
    assert before.embedding_seconds >= longest, "no part is divided"


def test_measured_scores_correct_the_laws() -> None:
    facts = facts_of(make_study(("crossmodal",)))
    (plain,), (corrected,) = cost(facts).scores, cost(replace(facts, correction=Correction(3.0, 5))).scores
    assert (plain.basis, corrected.basis) == ("estimated", "measured")
    work = plain.seconds - plain.pairs * STEP_SECONDS
    assert corrected.seconds == pytest.approx(3 * work + plain.pairs * STEP_SECONDS)


def test_every_embedding_is_searched_once_however_many_pairs_it_is_in() -> None:
    study = make_study(("all",))
    assert len(study.pairs) == len(list(combinations(range(6), 2)))
    assert cost(facts_of(study)).scores[0].searches == 6


def test_a_large_search_is_cut_into_steps_none_of_which_takes_long() -> None:
    study = make_study(("crossmodal",))
    whole, cut = (cost(facts_of(study, products=products)).scores[0] for products in (3 * 10**12, 10**6))
    assert cut.search_seconds == pytest.approx(whole.search_seconds)
    # a block has at most the root of 10^6/d rows: 125, 88 and 62 for 64, 128 and 256 numbers, so 8, 12 and 17 blocks
    steps = 2 * sum(blocks**2 + blocks + 1 for blocks in (8, 12, 17))
    assert cut.seconds - whole.seconds == pytest.approx(steps * STEP_SECONDS)
    assert cut.longest < whole.longest
