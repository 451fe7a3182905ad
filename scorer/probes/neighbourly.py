"""The neighbour probe: what the nearest neighbours of an object in an embedding tell of its label.

Imports numpy only. Cover & Hart 1967. No object is its own neighbour, so every prediction is made without the object it
is for; and a relabelling leaves the neighbours what they are, so that none is ever searched again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from scorer.comparison import Measured
from scorer.probes.explained import Predictions, measure_explained
from scorer.probes.outliers import count_outliers, find_bounds
from scorer.probes.probing import Probing
from scorer.probes.recall import balanced_accuracy, count_right, measure_recall

Table = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Label = TypeVar("Label", np.float64, np.int64)

_NEARER = 1e-9  # what a neighbour one place nearer adds to its vote: enough to settle ties, and nothing else


def measure_knn(probing: Probing) -> Measured:
    """What the k nearest neighbours of each object, by cosine similarity, tell of its label.

    Of numbers, outliers clipped: R^2 of the neighbours' mean, against the mean of all other objects; chance is exact,
    about -1/k. Of classes: balanced accuracy of the neighbours' vote (`vote`); chance is 1/C. p_value: by relabelling
    the objects. Raises TooFewObjects, ZeroVector.
    """
    columns = np.ascontiguousarray(probing.side.neighbours(probing.k).table.T)
    return _measure_classes(probing, columns) if probing.classes else _measure_numbers(probing, columns)


def _measure_numbers(probing: Probing, columns: Table) -> Measured:
    bounds = find_bounds(probing.values)
    values, clipped = np.clip(probing.values, *bounds), count_outliers(probing.values, bounds)
    n = len(values)
    means = (values.sum() - values) / (n - 1)
    baseline = float(np.square(values - means).sum())

    def explain(labels: Floats) -> float:
        return 1 - float(np.square(labels - average(columns, labels)).sum()) / baseline

    predictions = Predictions(values, average(columns, values), means)
    null, chance = _relabel(probing, values, explain), chance_of_average(n, len(columns))
    return measure_explained(probing, predictions, null, {"clipped": float(clipped)}, chance)


def _measure_classes(probing: Probing, columns: Table) -> Measured:
    codes = probing.codes
    sizes = np.bincount(codes)

    def recall(labels: Ints) -> float:
        return float(balanced_accuracy(count_right(labels, vote(columns, labels)), sizes))

    return measure_recall(probing, codes, vote(columns, codes), _relabel(probing, codes, recall), {})


def chance_of_average(n: int, k: int) -> float:
    """The R^2 that the mean of k neighbours has on average over all relabellings of n objects, exactly.

    1 - (1 + 1/k)(n - 1)/n: an object differs from the mean of k others by s^2 (1 + 1/k), in the mean of squares.
    """
    return 1 - (1 + 1 / k) * (n - 1) / n


def average(columns: Table, values: Floats) -> Floats:
    """The mean value of each object's neighbours, `(n,)`. columns: `(k, n)`, neighbours by place. values: `(n,)`."""
    total = np.zeros(len(values))
    for neighbours in columns:
        total += values[neighbours]
    return total / len(columns)


def vote(columns: Table, codes: Ints) -> Ints:
    """The class each object's neighbours vote for, `(n,)`. columns: `(k, n)`, nearest first. codes: `(n,)`, 0 to C - 1.

    A class's votes are counted over the number of its objects, so that a rare class wins as often as a common one where
    an embedding knows nothing. Of classes that are equal so far, the one whose voters are nearer wins.
    """
    n, k = len(codes), len(columns)
    sizes, objects = np.bincount(codes), np.arange(n)
    votes = np.zeros((len(sizes), n))
    for place, neighbours in enumerate(columns):
        votes[codes[neighbours], objects] += 1 + _NEARER * (k - place)
    return np.asarray((votes / sizes[:, None]).argmax(axis=0), dtype=np.int64)


def _relabel(probing: Probing, labels: npt.NDArray[Label], measure: Callable[[npt.NDArray[Label]], float]) -> Floats:
    return np.fromiter((measure(labels[permutation]) for permutation in probing.permutations()), dtype=np.float64)
