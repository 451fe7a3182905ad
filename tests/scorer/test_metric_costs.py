"""The laws of what scores cost: one for every metric, growing as the metric's algorithm does."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as some

from scorer import costs
from scorer.costs import BY_NEIGHBOURS, BY_VECTORS, Shape, bytes_of_score, bytes_of_table, seconds_of, seconds_of_search
from scorer.metrics import METRICS, PROBES
from scorer.probes.probing import FOLDS
from scorer.similarity.deletion import GROUPS
from scorer.similarity.judging import MOST_OBJECTS
from shared.contracts import Scoring

NAMES = sorted([*BY_NEIGHBOURS, *BY_VECTORS])


def test_every_metric_and_every_probe_has_a_law_of_its_kind() -> None:
    rows = {**METRICS, **PROBES}
    assert set(BY_NEIGHBOURS) == {name for name, row in rows.items() if row.per_k}
    assert set(BY_VECTORS) == {name for name, row in rows.items() if not row.per_k}


def test_the_laws_know_the_numbers_of_the_metrics() -> None:
    assert (costs._MOST_OBJECTS, costs._GROUPS, costs._FITS) == (MOST_OBJECTS, GROUPS, FOLDS)


SIZES = some.tuples(some.integers(30, 200_000), some.integers(1, 5000), some.integers(1, 5000))
SCORINGS = some.builds(
    Scoring,
    metrics=some.just(tuple(BY_VECTORS)),
    k=some.lists(some.integers(1, 29), min_size=1, max_size=3).map(tuple),
    permutations=some.integers(99, 5000),
    slow_permutations=some.integers(99, 500),
    resamples=some.integers(99, 2000),
)


@given(some.sampled_from(NAMES), SIZES, SCORINGS, some.sampled_from(("permutations", "slow_permutations", "resamples")))
def test_a_score_costs_something_and_more_draws_never_less(
    name: str, sizes: tuple[int, int, int], scoring: Scoring, drawn: str
) -> None:
    shape = Shape(*sizes, scoring)
    twice = scoring.model_copy(update={drawn: 2 * getattr(scoring, drawn)})
    assert 0 < seconds_of(name, shape) <= seconds_of(name, shape._replace(scoring=twice))
    assert math.isfinite(seconds_of(name, shape))


@given(some.sampled_from(sorted(BY_NEIGHBOURS)), some.integers(30, 10**6), SCORINGS)
def test_what_counts_neighbours_is_linear_in_objects_and_costs_each_k_its_own(
    name: str, objects: int, scoring: Scoring
) -> None:
    one, two, three = (seconds_of(name, Shape(times * objects, 64, 1, scoring)) for times in (1, 2, 3))
    assert three - two == pytest.approx(two - one, rel=1e-6)
    apart = sum(seconds_of(name, Shape(objects, 64, 1, scoring.model_copy(update={"k": (k,)}))) for k in scoring.k)
    assert seconds_of(name, Shape(objects, 64, 1, scoring)) == pytest.approx(apart)


@given(some.sampled_from(("cka-rbf", "rsa")), SCORINGS)
def test_what_looks_at_pairs_of_objects_samples_them(name: str, scoring: Scoring) -> None:
    most, more = (seconds_of(name, Shape(n, 64, 64, scoring)) for n in (MOST_OBJECTS, 10 * MOST_OBJECTS))
    assert most == more


def test_a_search_is_a_product_of_all_with_all() -> None:
    big = seconds_of_search(10**6, 768)
    assert seconds_of_search(2 * 10**6, 768) / big == pytest.approx(4, rel=1e-3)
    # 2 n^2 d operations at the rate of one core, of which sketches spare some; and the keeping of the best
    product = 2 * 10**12 * 768 / (costs.REFERENCE_GFLOPS * 1e9)
    assert product / 2 < big < 1.5 * product


def test_bytes_are_those_of_the_numbers_kept() -> None:
    assert bytes_of_table(10_000, 10) == 10_000 * (40 + 20)
    scoring = Scoring(metrics=("mknn", "cka"), k=(10, 5), permutations=1000, slow_permutations=199)
    # two results by neighbours have a value for each object and a null of 1,000; cka a null of 199
    assert bytes_of_score(Shape(500, 8, 8, scoring)) == 6000 + 500 * (20 + 2 * 8) + 8 * (2 * 1000 + 199)
