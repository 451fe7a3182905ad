"""Trends of scores over model size: what goes in, a rung for each model, and what comes out.

Imports pydantic and the contracts only. A ladder is the sizes of one family within one group, smallest first; a group
is what is compared with what, such as two modalities of a dataset. A step leads from a size to the next larger one.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from shared.contract import Contract


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("should have printable characters only")
    return text


Label = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_printable)]
GroupName = Annotated[str, Field(min_length=1, max_length=1200), AfterValidator(_printable)]
Parameters = Annotated[float, Field(gt=0, le=1e9, description="millions")]
Score = Annotated[float, Field(ge=-1e100, le=1e100)]
"""A value whose square is still a number."""


class Rung(Contract):
    """One model of a family and its score. parameters: in millions; 0 of a model that computes nothing."""

    group: GroupName
    family: Label
    size: Label
    parameters: float = Field(ge=0, le=1e9)
    value: Score


class LeftOut(Contract):
    """A ladder without a trend, and why it has none."""

    group: str
    family: str
    why: str


class Slope(Contract):
    """A least-squares slope: how much the score rises per decade, which is ten times the parameters.

    low, high: of the t interval at `confidence`, with `degrees` of freedom; None where none are left, as for two sizes.
    """

    per_decade: float
    low: float | None
    high: float | None
    confidence: float
    degrees: int = Field(ge=0)


class LadderTrend(Contract):
    """One ladder. Its sizes, their parameters (millions) and values stand side by side, smallest first.

    spearman, kendall (tau-b): against log parameters; None when all values are equal. theil_sen: per decade.
    """

    group: str
    family: str
    sizes: tuple[str, ...]
    parameters: tuple[float, ...]
    values: tuple[float, ...]
    steps: int
    increases: int
    ties: int
    spearman: float | None
    kendall: float | None
    slope: Slope
    theil_sen: float


class Permuted(Contract):
    """A one-sided permutation p-value. permutations: how many were drawn; None when every arrangement was counted."""

    p_value: float = Field(gt=0, le=1)
    permutations: int | None


class PooledTest(Contract):
    """A statistic added up over ladders, against permutations of the values within each of them.

    apart: each ladder is permuted for itself. together: the sizes of a family are permuted alike in all groups, which
    holds also when a model that scores high in one group does so in the others.
    """

    estimate: float
    apart: Permuted
    together: Permuted


class SignTest(Contract):
    """Steps that raise the score. A tie is a step, and no increase.

    p_value: of the binomial test, one-sided. apart, together: of the number of increases, as in `PooledTest`.
    """

    steps: int
    increases: int
    ties: int
    p_value: float = Field(gt=0, le=1)
    apart: Permuted
    together: Permuted


class PooledTrend(Contract):
    """Several ladders taken together.

    kendall: pairs of sizes of one ladder of which the larger scores higher, less those of which it scores lower, as a
    share of all. spearman: mean of the ladders' rank correlations, weighted by steps. slope: common to all ladders,
    each of which has an intercept of its own.
    """

    name: str
    ladders: int
    signs: SignTest
    spearman: PooledTest
    kendall: PooledTest
    slope: Slope


class PageTest(Contract):
    """Page's L over all ladders of the same number of sizes. expected, std: under permutation, ties allowed for."""

    sizes: int
    ladders: int
    statistic: float
    expected: float
    std: float
    test: Permuted


class Trend(Contract):
    """How a metric changes with model size: over all ladders, by group, by family, and ladder by ladder.

    pages: by number of sizes, three or more. left_out: ladders without a trend. seed: of permutations that were drawn.
    """

    metric: str
    k: int | None
    overall: PooledTrend
    groups: tuple[PooledTrend, ...]
    families: tuple[PooledTrend, ...]
    pages: tuple[PageTest, ...]
    ladders: tuple[LadderTrend, ...]
    left_out: tuple[LeftOut, ...]
    seed: int
