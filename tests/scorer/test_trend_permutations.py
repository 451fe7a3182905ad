"""Permutation tests over ladders against lists of all arrangements, draws, and nulls that are known to hold."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from scorer.trends import permutation
from scorer.trends.ladders import build_ladders, rank_twice
from scorer.trends.permutation import Block, each_apart, families_together, permutation_test
from scorer.trends.ranks import INCREASES, KENDALL, PAGE, Statistic
from shared.trends import Rung

Plain = Callable[[Sequence[float]], Fraction]


def increases(values: Sequence[float]) -> Fraction:
    return Fraction(sum(after > before for before, after in itertools.pairwise(values)))


def concordance(values: Sequence[float]) -> Fraction:
    return Fraction(sum((b > a) - (b < a) for a, b in itertools.combinations(values, 2)))


def weighted_page(values: Sequence[float]) -> Fraction:
    ranks = [Fraction(rank) for rank in stats.rankdata(values).tolist()]
    return sum(place * rank for place, rank in enumerate(ranks, 1)) / (len(values) * (len(values) + 1))


STATISTICS: list[tuple[Statistic, Plain]] = [
    (INCREASES, increases),
    (KENDALL, concordance),
    (PAGE, weighted_page),
]
both = pytest.mark.parametrize(("statistic", "plain"), STATISTICS, ids=["increases", "kendall", "page"])


@st.composite
def small_blocks(draw: st.DrawFn) -> list[list[list[float]]]:
    """Up to three blocks of up to two ladders of 2 to 4 sizes, with ties."""
    blocks = []
    for _ in range(draw(st.integers(1, 3))):
        n, rows = draw(st.integers(2, 4)), draw(st.integers(1, 2))
        values = st.integers(0, 3).map(float)
        blocks.append([draw(st.lists(values, min_size=n, max_size=n)) for _ in range(rows)])
    return blocks


def ranked(blocks: list[list[list[float]]]) -> list[Block]:
    return [tuple(tuple(rank_twice(np.array(row)).tolist()) for row in block) for block in blocks]


def p_by_listing(plain: Plain, blocks: list[list[list[float]]]) -> Fraction:
    """The share of all arrangements, each written out, whose sum is that observed, or more."""
    observed = sum(plain(row) for block in blocks for row in block)
    orders = [list(itertools.permutations(range(len(block[0])))) for block in blocks]
    scores = [
        [sum(plain([row[place] for place in order]) for row in block) for order in each]
        for block, each in zip(blocks, orders, strict=True)
    ]
    as_high = sum(sum(chosen) >= observed for chosen in itertools.product(*scores))
    return Fraction(as_high, math.prod(len(each) for each in orders))


@both
@given(blocks=small_blocks())
@settings(max_examples=40, deadline=None)
def test_what_is_counted_is_what_a_list_of_all_arrangements_gives(
    statistic: Statistic, plain: Plain, blocks: list[list[list[float]]]
) -> None:
    found = permutation_test(statistic, ranked(blocks), permutations=99, seed=0)
    assert found.permutations is None
    assert found.p_value == pytest.approx(float(p_by_listing(plain, blocks)), rel=1e-12)


@both
@pytest.mark.parametrize("bound", ["MOST_SIZES_COUNTED", "_WIDEST_SUM"])
def test_what_is_drawn_is_what_is_counted_within_error(
    statistic: Statistic, plain: Plain, bound: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = np.random.default_rng(11)
    blocks = ranked([[stream.integers(0, 9, size=n).astype(float).tolist()] for n in (2, 3, 4, 5, 6)])
    exact = permutation_test(statistic, blocks, permutations=99, seed=0)
    monkeypatch.setattr(permutation, bound, 1)
    drawn = permutation_test(statistic, blocks, permutations=20_000, seed=3)
    assert (exact.permutations, drawn.permutations) == (None, 20_000)
    assert 0.01 < exact.p_value < 0.99
    assert abs(drawn.p_value - exact.p_value) < 4 * math.sqrt(exact.p_value * (1 - exact.p_value) / 20_000)
    assert permutation_test(statistic, blocks, permutations=20_000, seed=3) == drawn
    assert permutation_test(statistic, blocks, permutations=20_000, seed=4) != drawn


def test_draws_never_give_zero_and_take_equal_sums_for_equal() -> None:
    """Ten rising sizes: only one arrangement in 3.6 million is as high, and it is as high as itself."""
    rising = ranked([[[float(value) for value in range(10)]]] * 2)
    assert permutation_test(PAGE, rising, permutations=99, seed=0).p_value == 1 / 100
    level = ranked([[[1.0] * 10], [[2.0] * 9]])
    assert permutation_test(PAGE, level, permutations=99, seed=0).p_value == 1


@given(st.permutations(range(7)))
@settings(max_examples=40, deadline=None)
def test_kendall_on_one_ladder_is_scipys_exact_test(order: list[int]) -> None:
    found = permutation_test(KENDALL, ranked([[[float(rank) for rank in order]]]), permutations=99, seed=0)
    scipy = stats.kendalltau(range(7), order, method="exact", alternative="greater")
    assert found.p_value == pytest.approx(scipy.pvalue, rel=1e-9)


@pytest.mark.parametrize(
    ("sizes", "eulerian"), [(3, (1, 4, 1)), (4, (1, 11, 11, 1)), (5, (1, 26, 66, 26, 1)), (6, (1, 57, 302, 302, 57, 1))]
)
def test_increases_have_eulers_numbers(sizes: int, eulerian: tuple[int, ...]) -> None:
    for order in itertools.permutations(range(sizes)):
        values = [float(value) for value in order]
        found = permutation_test(INCREASES, ranked([[values]]), permutations=99, seed=0)
        assert found.p_value == pytest.approx(sum(eulerian[int(increases(values)) :]) / math.factorial(sizes))


def test_many_long_ladders_that_all_rise_have_a_p_value_above_zero() -> None:
    rising = ranked([[[float(value) for value in range(8)]]] * 80)
    assert 0 < permutation_test(KENDALL, rising, permutations=99, seed=0).p_value < 1e-300
    few = permutation_test(KENDALL, rising[:9], permutations=99, seed=0)
    assert few.p_value == pytest.approx(math.factorial(8) ** -9, rel=1e-12)


def test_ladders_are_permuted_together_when_family_and_sizes_are_the_same() -> None:
    def rungs(group: str, family: str, sizes: Sequence[str]) -> list[Rung]:
        return [Rung(group=group, family=family, size=size, parameters=i + 1, value=i) for i, size in enumerate(sizes)]

    ladders, _ = build_ladders(
        [
            *rungs("a", "vit", ("base", "large")),
            *rungs("b", "vit", ("base", "large")),
            *rungs("c", "vit", ("large", "huge")),
            *rungs("a", "dino", ("base", "large")),
        ]
    )
    assert sorted(map(len, families_together(ladders))) == [1, 1, 2]
    assert len(each_apart(ladders)) == 4


def test_a_model_that_is_good_everywhere_is_no_trend() -> None:
    """Sizes whose merit has nothing to do with size, and which show it in eight groups alike.

    Ladders permuted apart take every group for news; sizes permuted together do not.
    """
    stream, trials = np.random.default_rng(5), 400
    apart = together = 0
    for _ in range(trials):
        merit = {family: stream.normal(size=4) for family in "pqrs"}
        rungs = [
            Rung(group=f"g{g}", family=family, size=str(i), parameters=i + 1, value=each + 0.1 * stream.normal())
            for g in range(8)
            for family, values in merit.items()
            for i, each in enumerate(values.tolist())
        ]
        ladders, _ = build_ladders(rungs)
        apart += permutation_test(KENDALL, each_apart(ladders), permutations=99, seed=0).p_value <= 0.05
        together += permutation_test(KENDALL, families_together(ladders), permutations=99, seed=0).p_value <= 0.05
    assert together / trials < 0.05 + 3 * math.sqrt(0.05 * 0.95 / trials)
    assert together > 0
    assert apart / trials > 0.2
