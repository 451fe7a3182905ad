"""One-sided permutation tests of a statistic added up over ladders: exact where that can be, else drawn.

Imports numpy only. Under the null hypothesis a score has nothing to do with size: within a ladder every arrangement of
its values is as likely as any other (Fisher 1935). The null distribution of a sum over independent blocks is the
convolution of theirs, so that all arrangements of all ladders are counted without being listed.
"""

from __future__ import annotations

import itertools
import math
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from scorer.trends.ladders import Ladder
from scorer.trends.ranks import Ints, Statistic
from shared.trends import Permuted

Floats = npt.NDArray[np.float64]
Block = tuple[tuple[int, ...], ...]
"""Ladders of one length whose sizes are permuted alike: the twice-over ranks of each, in order of size."""

MOST_SIZES_COUNTED = 8
"""Blocks of up to this many sizes, 40,320 arrangements, are counted; longer ones are drawn from."""

_WIDEST_SUM = 500_000  # values the sum may take, where it is counted
_ROUNDING = 1e-9
_SMALLEST = sys.float_info.min


def each_apart(ladders: Iterable[Ladder]) -> list[Block]:
    """Blocks of one ladder each: every ladder is permuted for itself."""
    return [(tuple(ladder.ranks.tolist()),) for ladder in ladders]


def families_together(ladders: Iterable[Ladder]) -> list[Block]:
    """Blocks of all ladders, of whatever group, that have the same sizes of the same family."""
    alike: dict[tuple[str, tuple[str, ...]], list[tuple[int, ...]]] = {}
    for ladder in ladders:
        alike.setdefault((ladder.family, ladder.sizes), []).append(tuple(ladder.ranks.tolist()))
    return [tuple(block) for block in alike.values()]


def permutation_test(statistic: Statistic, blocks: Sequence[Block], *, permutations: int, seed: int) -> Permuted:
    """The p-value of the sum of `statistic` over all ladders of all blocks, large sums being extreme.

    Exact, to rounding, when no block has more than eight sizes and the sum takes no more than 500,000 values; then
    `permutations` of the answer is None. Else that many arrangements are drawn from `seed`, and p is (1 + #{drawn >=
    observed})/(1 + permutations), never zero (Phipson & Smyth 2010).
    """
    weights = _whole_weights(statistic, blocks)
    if all(len(block[0]) <= MOST_SIZES_COUNTED for block in blocks):
        spreads = _narrowed([_count(statistic, block, weight) for block, weight in zip(blocks, weights, strict=True)])
        if sum(spread.width for spread in spreads) <= _WIDEST_SUM:
            return Permuted(p_value=_exact(spreads), permutations=None)
    return Permuted(p_value=_drawn(statistic, blocks, permutations, seed), permutations=permutations)


@dataclass(frozen=True, slots=True, eq=False)
class _Spread:
    """The null distribution of one block's score, in steps above its lowest: what was observed, and how likely each is.

    steps: `(s,)`, rising from 0; chances: `(s,)`.
    """

    observed: int
    steps: Ints
    chances: Floats

    @property
    def width(self) -> int:
        return int(self.steps[-1])


def _narrowed(spreads: Sequence[_Spread]) -> list[_Spread]:
    """The same, in steps as long as they can be."""
    unit = math.gcd(*(int(np.gcd.reduce(spread.steps)) for spread in spreads)) or 1
    return [_Spread(spread.observed // unit, spread.steps // unit, spread.chances) for spread in spreads]


def _exact(spreads: Sequence[_Spread]) -> float:
    """The chance that the scores add up to what was observed, or more.

    Nothing is subtracted, so the smallest p-value keeps its digits.
    """
    total = np.ones(1)
    for spread in spreads:
        wider = np.zeros(len(total) + spread.width)
        for step, chance in zip(spread.steps.tolist(), spread.chances.tolist(), strict=True):
            wider[step : step + len(total)] += chance * total
        total = wider
    tail = float(total[sum(spread.observed for spread in spreads) :].sum())
    return min(1.0, max(_SMALLEST, tail))  # what is smaller than any number is not zero


def _count(statistic: Statistic, block: Block, weight: int) -> _Spread:
    lowest, steps, chances = _counted(statistic, block if len(block) > 1 else (tuple(sorted(block[0])),))
    return _Spread((_observe(statistic, block) - lowest) * weight, steps * weight, chances)


@lru_cache(maxsize=1024)
def _counted(statistic: Statistic, block: Block) -> tuple[int, Ints, Floats]:
    scores = sum(_score(statistic, block, _all_orders(len(block[0]))))
    values, counts = np.unique(scores, return_counts=True)
    return int(values[0]), values - values[0], counts / counts.sum()


@lru_cache(maxsize=MOST_SIZES_COUNTED)
def _all_orders(n: int) -> Ints:
    return np.array(list(itertools.permutations(range(n))), dtype=np.int64)


def _drawn(statistic: Statistic, blocks: Sequence[Block], permutations: int, seed: int) -> float:
    stream = np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed)))
    observed, sums = 0.0, np.zeros(permutations)
    for block in blocks:
        n = len(block[0])
        orders = stream.permuted(np.tile(np.arange(n), (permutations, 1)), axis=1)
        for scores in _score(statistic, block, orders):
            sums += scores / statistic.unit(n)
        observed += _observe(statistic, block) / statistic.unit(n)
    as_high = int(np.count_nonzero(sums >= observed - _ROUNDING))  # equal sums may be rounded apart
    return (1 + as_high) / (1 + permutations)


def _score(statistic: Statistic, block: Block, orders: Ints) -> Iterator[Ints]:
    """The score of each ladder of a block in each order: `(m,)`. orders: `(m, n)`."""
    return (statistic.score(np.array(ranks, dtype=np.int64)[orders]) for ranks in block)


def _observe(statistic: Statistic, block: Block) -> int:
    return int(statistic.score(np.array(block, dtype=np.int64)).sum())


def _whole_weights(statistic: Statistic, blocks: Sequence[Block]) -> list[int]:
    """Whole numbers in proportion to one over each block's unit."""
    units = [statistic.unit(len(block[0])) for block in blocks]
    common = math.lcm(*units)
    return [common // unit for unit in units]
