"""The paper's sign test: of all steps to the next larger size, how many raise the score (arXiv 2509.19453)?"""

from __future__ import annotations

import math
import sys
from fractions import Fraction

import numpy as np

from scorer.trends.ladders import Ladder


def count_ties(ladder: Ladder) -> int:
    """Steps of a ladder that leave the score as it was, exactly."""
    return int((np.diff(ladder.ranks) == 0).sum())


def sign_test(increases: int, steps: int) -> float:
    """P(at least `increases` of `steps` lead up), were each as likely to as not: the one-sided binomial test, exactly.

    A tie counts among the steps and not among the increases, as the paper does, so that it speaks against a trend.
    Steps of one ladder share a model: values in no order at all rise twice in a row one time in six, not in four, so
    their count varies less than the binomial says, and within ladders the test errs towards no trend. Against a model
    that scores high in all groups it has no defence; `PooledTest.together` has. 0 <= increases <= steps.
    """
    at_least = sum(math.comb(steps, count) for count in range(increases, steps + 1))
    return max(sys.float_info.min, float(Fraction(at_least, 2**steps)))
