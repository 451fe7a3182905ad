"""From rungs to a trend: the whole story, read from top to bottom."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from operator import attrgetter

from scorer.trends.ladders import Ladder, build_ladders
from scorer.trends.permutation import Block, each_apart, families_together, permutation_test
from scorer.trends.ranks import (
    INCREASES,
    KENDALL,
    PAGE,
    Statistic,
    count_increases,
    kendall,
    kendall_s,
    moments_of_page,
    page_l_twice,
    plain_spearman,
    spearman,
)
from scorer.trends.signs import count_ties, sign_test
from scorer.trends.slopes import fit_slope, theil_sen
from shared.trends import LadderTrend, PageTest, Permuted, PooledTest, PooledTrend, Rung, SignTest, Trend


def measure_trend(
    rungs: Iterable[Rung],
    *,
    metric: str,
    k: int | None = None,
    confidence: float = 0.95,
    permutations: int = 9999,
    seed: int = 0,
) -> Trend:
    """The trend of a metric over model size. The order of the rungs does not matter.

    metric, k: what the values are, for the record. confidence: of the slopes' intervals. permutations, seed: of tests
    whose arrangements are too many to be counted. All tests are one-sided, for values that rise with size. Raises
    TooFewSizes when no family has two sizes.
    """
    ladders, left_out = build_ladders(rungs)
    pool = _Pool(confidence, permutations, seed)
    return Trend(
        metric=metric,
        k=k,
        overall=pool.trend("all", ladders),
        groups=pool.trends_by(attrgetter("group"), ladders),
        families=pool.trends_by(attrgetter("family"), ladders),
        pages=pool.pages(ladders),
        ladders=tuple(_ladder_trend(ladder, confidence) for ladder in ladders),
        left_out=tuple(left_out),
        seed=seed,
    )


@dataclass(frozen=True, slots=True)
class _Pool:
    """Takes ladders together. Every test begins its draws, where it draws, from the same seed."""

    confidence: float
    permutations: int
    seed: int

    def trend(self, name: str, ladders: Sequence[Ladder]) -> PooledTrend:
        steps = sum(len(ladder.sizes) - 1 for ladder in ladders)
        pairs = sum(math.comb(len(ladder.sizes), 2) for ladder in ladders)
        correlations = sum((len(ladder.sizes) - 1) * plain_spearman(ladder.ranks) for ladder in ladders)
        concordant = sum(int(kendall_s(ladder.ranks[None])[0]) for ladder in ladders)
        return PooledTrend(
            name=name,
            ladders=len(ladders),
            signs=self._signs(steps, ladders),
            spearman=self._test(PAGE, ladders, correlations / steps),
            kendall=self._test(KENDALL, ladders, concordant / pairs),
            slope=fit_slope(ladders, self.confidence),
        )

    def trends_by(self, part: Callable[[Ladder], str], ladders: Sequence[Ladder]) -> tuple[PooledTrend, ...]:
        names = sorted({part(ladder) for ladder in ladders})
        return tuple(self.trend(name, [ladder for ladder in ladders if part(ladder) == name]) for name in names)

    def pages(self, ladders: Sequence[Ladder]) -> tuple[PageTest, ...]:
        lengths = sorted({len(ladder.sizes) for ladder in ladders} - {2})  # of two sizes, L says what the signs do
        return tuple(self._page(n, [ladder for ladder in ladders if len(ladder.sizes) == n]) for n in lengths)

    def _page(self, n: int, ladders: Sequence[Ladder]) -> PageTest:
        moments = [moments_of_page(ladder.ranks) for ladder in ladders]
        return PageTest(
            sizes=n,
            ladders=len(ladders),
            statistic=sum(int(page_l_twice(ladder.ranks[None])[0]) for ladder in ladders) / 2,
            expected=sum(mean for mean, _ in moments),
            std=math.sqrt(sum(variance for _, variance in moments)),
            test=self._permute(PAGE, each_apart(ladders)),
        )

    def _signs(self, steps: int, ladders: Sequence[Ladder]) -> SignTest:
        increases = sum(int(count_increases(ladder.ranks[None])[0]) for ladder in ladders)
        test = self._test(INCREASES, ladders, increases)
        return SignTest(
            steps=steps,
            increases=increases,
            ties=sum(count_ties(ladder) for ladder in ladders),
            p_value=sign_test(increases, steps),
            apart=test.apart,
            together=test.together,
        )

    def _test(self, statistic: Statistic, ladders: Sequence[Ladder], estimate: float) -> PooledTest:
        return PooledTest(
            estimate=estimate,
            apart=self._permute(statistic, each_apart(ladders)),
            together=self._permute(statistic, families_together(ladders)),
        )

    def _permute(self, statistic: Statistic, blocks: Sequence[Block]) -> Permuted:
        return permutation_test(statistic, blocks, permutations=self.permutations, seed=self.seed)


def _ladder_trend(ladder: Ladder, confidence: float) -> LadderTrend:
    return LadderTrend(
        group=ladder.group,
        family=ladder.family,
        sizes=ladder.sizes,
        parameters=ladder.parameters,
        values=tuple(ladder.values.tolist()),
        steps=len(ladder.sizes) - 1,
        increases=int(count_increases(ladder.ranks[None])[0]),
        ties=count_ties(ladder),
        spearman=spearman(ladder.ranks),
        kendall=kendall(ladder.ranks),
        slope=fit_slope([ladder], confidence),
        theil_sen=theil_sen(ladder),
    )
