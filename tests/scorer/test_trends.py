"""Trends against the paper's number, published tables and independent implementations."""

from __future__ import annotations

import csv
import itertools
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from scorer.trends import measure_trend
from scorer.trends.ladders import build_ladders, rank_twice
from scorer.trends.ranks import kendall, moments_of_page, page_l_twice, plain_spearman, spearman
from scorer.trends.signs import sign_test
from scorer.trends.slopes import fit_slope, theil_sen
from shared.errors import TooFewSizes
from shared.trends import Rung, Trend

FIGURE = Path("/work/shared/paper/figure1_mknn.csv")
# few different values, so that ties are common
some_values = st.lists(st.integers(-3, 3).map(float), min_size=2, max_size=5)
many_ladders = st.lists(st.tuples(st.sampled_from("abc"), some_values), min_size=1, max_size=6)


def rungs_of(ladders: list[tuple[str, list[float]]]) -> list[Rung]:
    """A family for each ladder, in the group named; each size is a fifth larger than the last."""
    return [
        Rung(group=group, family=f"f{place}", size=f"s{step}", parameters=1.2**step, value=value)
        for place, (group, values) in enumerate(ladders)
        for step, value in enumerate(values)
    ]


def trend_of(*ladders: list[float]) -> Trend:
    return measure_trend(rungs_of([("g", values) for values in ladders]), metric="mknn")


def test_the_papers_sign_test() -> None:
    if not FIGURE.exists():
        pytest.skip(f"the paper's published scores are not here: {FIGURE}")
    lines = [line for line in FIGURE.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    rungs = [
        Rung(
            group=row["modality"],
            family=row["family"],
            size=row["size"],
            parameters=float(row["params_millions"]),
            value=float(row["mknn_percent"]),
        )
        for row in csv.DictReader(lines)
    ]
    trend = measure_trend(rungs, metric="mknn", k=10)
    signs = trend.overall.signs
    assert (signs.steps, signs.increases, signs.ties) == (33, 28, 1)
    assert f"{signs.p_value:.2e}" == "3.31e-05"
    assert [(group.name, group.signs.increases) for group in trend.groups] == [
        ("desi", 9),
        ("jwst", 10),
        ("legacysurvey", 9),
    ]
    assert [(page.sizes, page.ladders) for page in trend.pages] == [(3, 6), (4, 6)]


@given(st.integers(1, 60).flatmap(lambda steps: st.tuples(st.integers(0, steps), st.just(steps))))
def test_the_sign_test_is_the_binomial_one(counts: tuple[int, int]) -> None:
    assert sign_test(*counts) == pytest.approx(stats.binomtest(*counts, alternative="greater").pvalue, rel=1e-12)


def test_a_p_value_too_small_for_a_number_is_not_zero() -> None:
    assert sign_test(1200, 1200) > 0


@given(some_values)
@settings(max_examples=200, deadline=None)
def test_correlations_are_those_of_scipy(values: list[float]) -> None:
    ranks, sizes = rank_twice(np.array(values)), list(range(len(values)))
    assert (ranks / 2).tolist() == stats.rankdata(values).tolist()
    if len(set(values)) == 1:
        assert spearman(ranks) is kendall(ranks) is None
        assert plain_spearman(ranks) == 0
        return
    assert spearman(ranks) == pytest.approx(stats.spearmanr(sizes, values).statistic)
    assert kendall(ranks) == pytest.approx(stats.kendalltau(sizes, values).statistic)
    if len(set(values)) == len(values):
        assert plain_spearman(ranks) == pytest.approx(spearman(ranks))


# Smallest L of blocks x treatments that is significant at 0.05, 0.01, 0.001: from table 2 of Page (1963), as textbooks
# print it.
CRITICAL = [
    (3, 3, (41, 42, None)),
    (4, 3, (54, 55, 56)),
    (2, 4, (58, 60, None)),
    (3, 4, (84, 87, 89)),
    (4, 4, (111, 114, 117)),
    (6, 4, (163, 167, 172)),
    (2, 5, (103, 106, 109)),
    (3, 5, (150, 155, 160)),
    (4, 5, (197, 204, 210)),
]


@pytest.mark.parametrize(("blocks", "sizes", "critical"), CRITICAL)
def test_page_has_the_critical_values_of_his_table(blocks: int, sizes: int, critical: tuple[int | None, ...]) -> None:
    """Blocks that give every L from its mean up: the exact p passes each level at the value printed."""
    p_values: dict[float, float] = {}
    orders = {}
    for order in itertools.permutations(range(1, sizes + 1)):
        orders[sum(place * rank for place, rank in enumerate(order, 1))] = [float(rank) for rank in order]
    for chosen in itertools.combinations_with_replacement(sorted(orders), blocks):
        if sum(chosen) not in p_values and sum(chosen) >= blocks * sizes * (sizes + 1) ** 2 / 4:
            (page,) = trend_of(*(orders[each] for each in chosen)).pages
            assert page.statistic == sum(chosen)
            p_values[sum(chosen)] = page.test.p_value
    for level, value in zip((0.05, 0.01, 0.001), critical, strict=True):
        significant = [statistic for statistic, p_value in p_values.items() if p_value <= level]
        assert (min(significant) if significant else None) == value


def test_page_on_the_cotton_of_hollander_and_wolfe() -> None:
    """Breaking strength of cotton in three blocks, with potash falling over five levels: L = 158, p below 0.01."""
    strength = [[7.46, 7.17, 7.76, 8.14, 7.63], [7.68, 7.57, 7.73, 8.15, 8.00], [7.21, 7.80, 7.74, 7.87, 7.93]]
    (page,) = trend_of(*strength).pages
    scipy = stats.page_trend_test(strength, method="exact")
    assert page.statistic == 158 == scipy.statistic
    assert page.test.p_value == pytest.approx(scipy.pvalue)
    assert page.test.p_value < 0.01
    assert (page.expected, page.std) == (135, pytest.approx(math.sqrt(75)))


@given(st.integers(3, 5), st.integers(2, 4), st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_page_without_ties_is_scipys_exact_test(sizes: int, blocks: int, seed: int) -> None:
    table = np.random.default_rng(seed).random((blocks, sizes))
    trend = trend_of(*table.tolist())
    (page,) = trend.pages
    scipy = stats.page_trend_test(table, method="exact")
    assert (page.statistic, page.test.p_value) == (scipy.statistic, pytest.approx(scipy.pvalue, rel=1e-9))
    assert trend.overall.spearman.apart.p_value == pytest.approx(scipy.pvalue, rel=1e-9), "equal lengths: Page's test"


@given(some_values)
@settings(max_examples=50, deadline=None)
def test_the_moments_of_page_are_those_of_all_arrangements(values: list[float]) -> None:
    ranks = rank_twice(np.array(values))
    every = page_l_twice(np.array(list(itertools.permutations(ranks.tolist())))) / 2
    assert moments_of_page(ranks) == pytest.approx((every.mean(), every.var()))


@given(many_ladders, st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_what_keeps_the_order_keeps_the_tests(ladders: list[tuple[str, list[float]]], random: object) -> None:
    """exp(3 x) is monotone: signs, rank statistics and their p-values stay; shuffled rows give the same trend."""
    rungs = rungs_of(ladders)
    bent = [rung.model_copy(update={"value": math.exp(3 * rung.value)}) for rung in rungs]
    shuffled = list(rungs)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    trend, other = measure_trend(rungs, metric="mknn"), measure_trend(bent, metric="mknn")
    assert measure_trend(shuffled, metric="mknn") == trend
    ranked = ("signs", "spearman", "kendall")
    for ours, theirs in zip(
        (trend.overall, *trend.groups, *trend.families), (other.overall, *other.groups, *other.families), strict=True
    ):
        assert ours.model_dump(include=set(ranked)) == theirs.model_dump(include=set(ranked))
    assert [page.model_dump() for page in trend.pages] == [page.model_dump() for page in other.pages]
    signs = trend.overall.signs
    assert 0 <= signs.increases + signs.ties <= signs.steps
    assert signs.steps == sum(len(values) - 1 for _, values in ladders)


def test_a_rise_everywhere_is_as_unlikely_as_can_be() -> None:
    trend = trend_of([1, 2, 3], [1, 2, 3, 4], [5, 6])
    assert trend.overall.kendall.estimate == trend.overall.spearman.estimate == 1
    for test in (trend.overall.kendall, trend.overall.spearman, trend.overall.signs):
        assert test.apart.p_value == pytest.approx(1 / (6 * 24 * 2))
    assert trend.overall.signs.p_value == 1 / 2**6
    fallen = trend_of([3, 2, 1], [2, 1])
    assert fallen.overall.kendall.apart.p_value == pytest.approx(1)
    assert fallen.overall.signs.p_value == 1


def test_ties_are_steps_but_no_increases() -> None:
    signs = trend_of([1, 1, 2], [2, 2]).overall.signs
    assert (signs.steps, signs.increases, signs.ties) == (3, 1, 2)
    assert signs.p_value == 7 / 8


@given(st.floats(-5, 5), st.floats(-100, 100), st.integers(3, 8))
def test_exact_lines_have_their_slope(slope: float, intercept: float, sizes: int) -> None:
    rungs = [
        Rung(group="g", family="f", size=str(i), parameters=3.0**i, value=intercept + slope * i * math.log10(3))
        for i in range(sizes)
    ]
    (ladder,), _ = build_ladders(rungs)
    fit = fit_slope([ladder], 0.95)
    assert fit.low is not None
    assert fit.high is not None
    assert [fit.per_decade, fit.low, fit.high, theil_sen(ladder)] == pytest.approx([slope] * 4, abs=1e-9)


@given(st.integers(3, 9), st.integers(0, 2**32 - 1))
@settings(max_examples=50, deadline=None)
def test_a_ladders_slopes_are_those_of_scipy(sizes: int, seed: int) -> None:
    stream = np.random.default_rng(seed)
    decades, values = np.sort(stream.random(sizes) * 4), stream.random(sizes)
    (ladder,), _ = build_ladders(
        Rung(group="g", family="f", size=str(i), parameters=float(10 ** decades[i]), value=float(values[i]))
        for i in range(sizes)
    )
    line = stats.linregress(ladder.decades, values)
    reach = stats.t.ppf(0.95, sizes - 2) * line.stderr
    fit = fit_slope([ladder], 0.9)
    assert (fit.per_decade, fit.low, fit.high) == pytest.approx(
        (line.slope, line.slope - reach, line.slope + reach), rel=1e-6, abs=1e-9
    )
    assert theil_sen(ladder) == pytest.approx(stats.theilslopes(values, ladder.decades).slope)


@given(st.lists(st.lists(st.floats(-1, 1), min_size=2, max_size=5), min_size=2, max_size=5))
@settings(max_examples=50, deadline=None)
def test_the_common_slope_is_that_of_a_regression_with_an_indicator_for_each_ladder(columns: list[list[float]]) -> None:
    ladders, _ = build_ladders(rungs_of([("g", values) for values in columns]))
    values, decades = (np.concatenate([getattr(each, name) for each in ladders]) for name in ("values", "decades"))
    member = np.repeat(np.arange(len(ladders)), [len(each.values) for each in ladders])
    design = np.column_stack([decades, *(member == place for place in range(len(ladders)))])
    solution = np.linalg.lstsq(design, values)[0]
    degrees = len(values) - design.shape[1]
    variance = ((values - design @ solution) ** 2).sum() / degrees * np.linalg.inv(design.T @ design)[0, 0]
    reach = stats.t.ppf(0.975, degrees) * math.sqrt(variance)
    fit = fit_slope(ladders, 0.95)
    assert (fit.per_decade, fit.low, fit.high) == pytest.approx(
        (solution[0], solution[0] - reach, solution[0] + reach), abs=1e-9
    )
    assert fit.degrees == degrees


def test_two_sizes_have_a_slope_without_an_interval() -> None:
    (ladder,) = trend_of([1, 4]).ladders
    assert ladder.slope.per_decade == ladder.theil_sen == pytest.approx(3 / math.log10(1.2))
    assert (ladder.slope.low, ladder.slope.high, ladder.slope.degrees) == (None, None, 0)
    assert trend_of([1, 4], [2, 4]).overall.slope.degrees == 1


def test_a_family_without_a_trend_is_left_out_by_name() -> None:
    good = rungs_of([("g", [1, 2])])
    alone = Rung(group="g", family="alone", size="base", parameters=300, value=1)
    twins = [Rung(group="g", family="twins", size=size, parameters=7000, value=1) for size in ("old", "new")]
    plain = [Rung(group="g", family="plain", size=f"numbers-{count}", parameters=count, value=1) for count in (0, 7)]
    trend = measure_trend([*good, alone, *twins, *plain], metric="mknn")
    assert trend.overall.ladders == 1
    assert [(each.family, each.why) for each in trend.left_out] == [
        ("alone", "one size only"),
        ("plain", "numbers-0 has no parameters, and so no place among sizes"),
        ("twins", "two models of 7000 million parameters, of which neither is the larger"),
    ]


@pytest.mark.parametrize(
    ("rungs", "says"),
    [
        ([], "there is no score"),
        ([Rung(group="g", family="f", size="s", parameters=1, value=1)], "g, f: one size only"),
        (rungs_of([("g", [float(i) for i in range(65)])]), "g, f0: 65 sizes, more than 64"),
    ],
)
def test_no_ladder_is_no_trend(rungs: list[Rung], says: str) -> None:
    with pytest.raises(TooFewSizes, match=says):
        measure_trend(rungs, metric="mknn")
