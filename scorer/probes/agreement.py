"""Label agreement: whether neighbours in an embedding have the same label, or one that is near. Imports numpy only.

1 - mean of d(i, j) over objects i and their k nearest neighbours j. Of classes d is 0 within a class and 1 between two:
the share of neighbours of an object's own class. Of numbers it is (r_i - r_j)^2 / (2 s^2), of their ranks r, whose
variance is s^2: 1 - c for Geary's c (1954) of the ranks. Nothing is fitted; ranks know no outliers and no units.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from scorer.calibration import calibrate
from scorer.comparison import Measured
from scorer.intervals import bootstrap_interval, jackknife_error
from scorer.neighbourhoods.edge_pairs import edge_pairs
from scorer.probes.explained import TIE_DECIMALS
from scorer.probes.probing import Probing
from scorer.ranks import mid_ranks

Table = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Labelled:
    """Labels of n objects and how far apart any two are: d(i, j) >= 0, symmetric, 0 from an object to itself.

    marks: `(n,)`, what is compared: codes of classes, or ranks over sqrt(2) s. ordered: whether it is the latter.
    """

    marks: Floats
    ordered: bool

    @classmethod
    def of(cls, values: Floats, *, ordered: bool) -> Labelled:
        """Numbers if ordered, else codes of classes: `(n,)`, not all equal."""
        if not ordered:
            return cls(values, ordered)
        ranks = mid_ranks(values)
        return cls((ranks - ranks.mean()) / (math.sqrt(2) * ranks.std(ddof=1)), ordered)

    def apart(self, columns: Table, marks: Floats) -> Floats:
        """The sum of d over each object's neighbours, `(n,)`. columns: `(k, n)`, neighbours by place."""
        total = np.zeros(len(marks))
        for neighbours in columns:
            total += (marks - marks[neighbours]) ** 2 if self.ordered else marks != marks[neighbours]
        return total

    def sums(self) -> tuple[float, float, float]:
        """Over all ordered pairs of two objects: the sum of d, and that of d^2; and over objects, that of the square
        of the sum of d to all others.
        """
        n, marks = len(self.marks), self.marks
        if self.ordered:
            second, fourth = float((marks**2).sum()), float((marks**4).sum())
            rows = n * marks**2 + second  # the marks add up to nothing, so that odd powers fall out
            return float(n * (n - 1)), 2 * n * fourth + 6 * second**2, float((rows**2).sum())
        _, code, sizes = np.unique(marks, return_inverse=True, return_counts=True)
        others = (n - sizes)[code].astype(np.float64)
        return float(others.sum()), float(others.sum()), float((others**2).sum())


def moments_of_agreement(table: Table, labelled: Labelled) -> tuple[float, float]:
    """Mean and standard deviation of label agreement over all n! relabellings, exactly. table: `(n, k)`.

    The first two moments of the quadratic assignment statistic (Mantel 1967), as of `scorer.nulls.moments_of_null`.
    """
    n, k = table.shape
    all_pairs, squares, by_object = labelled.sums()
    same, turned, from_one, to_one, in_line, apart = edge_pairs(table)
    # ordered pairs of pairs of objects, by how many objects they share: d is symmetric, so only that matters
    share_one = by_object - squares
    share_none = all_pairs**2 - 4 * by_object + 2 * squares
    square = (same + turned) * squares / math.perm(n, 2)
    square += (from_one + to_one + 2 * in_line) * share_one / math.perm(n, 3)
    square += apart * share_none / math.perm(n, 4)
    mean = n * k * all_pairs / math.perm(n, 2)
    return 1 - mean / (n * k), math.sqrt(max(0.0, square - mean**2)) / (n * k)


def measure_agreement(probing: Probing) -> Measured:
    """Label agreement at k, with what it is worth: at most 1, where every neighbour has the object's own label.

    chance, null_mean, null_std: over all relabellings, in closed form: the mean is 0 for numbers, and for classes the
    sum of n_c (n_c - 1)/(n (n - 1)). p_value, threshold, calibrated: by permutation. per_object, interval: of each
    object's own agreement, and over them. Raises TooFewObjects, ZeroVector.
    """
    scoring, k = probing.scoring, probing.k
    table = probing.side.neighbours(k).table
    columns = np.ascontiguousarray(table.T)
    labelled = Labelled.of(
        probing.codes.astype(np.float64) if probing.classes else probing.values, ordered=not probing.classes
    )
    per_object = 1 - labelled.apart(columns, labelled.marks) / k
    apart = partial(labelled.apart, columns)
    null = np.fromiter(
        (1 - apart(labelled.marks[permutation]).mean() / k for permutation in probing.permutations()), dtype=np.float64
    )
    value = float(per_object.mean())
    worth = calibrate(round(value, TIE_DECIMALS), null.round(TIE_DECIMALS), scoring.confidence)
    null_mean, null_std = moments_of_agreement(table, labelled)
    return Measured(
        value=value,
        chance=null_mean,
        null_mean=null_mean,
        null_std=null_std,
        p_value=worth.p_value,
        threshold=worth.threshold,
        calibrated=worth.calibrated,
        interval=bootstrap_interval(per_object, scoring.resamples, scoring.confidence, probing.resampling()),
        standard_error=jackknife_error(per_object),
        per_object=per_object,
        null=null,
    )
