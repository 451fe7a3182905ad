"""What scores cost on one core, by the laws of their metrics: seconds in n objects, d dimensions and relabellings.

Imports the contracts only. The constants were fitted, to about a third, to CPU seconds of real runs of
n = 500 to 10,000 and d = 64 to 1,024 on one core of the machine of docs/scaling.md: `python -m benchmarks.metric_costs`
holds every law against what its metric takes. An installation corrects them by its own scores (`services.rates`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from shared.contracts import Scoring

REFERENCE_GFLOPS = 97.0
"""10^9 operations a second of a single-precision product of matrices on the core that the constants are of."""

_PRODUCT = 4.5e-11  # a multiplication and its addition of a large product in double precision
_CELL = 4.5e-9  # a number of a matrix of objects by objects, taken in another order and multiplied
_MOST_OBJECTS = 3000  # as `scorer.similarity.judging.MOST_OBJECTS`
_GROUPS = 20  # left out in turn, as `scorer.similarity.deletion.GROUPS`
_FITS = 5  # of a linear probe, one for each fold
_SKETCHED = 4096  # objects of which sketches begin to pay
_ID_BYTES, _RECORD_BYTES = 20, 6000


class Shape(NamedTuple):
    """What decides the cost of a score: objects, dimensions of both sides, a label's being 1, and how it is scored."""

    objects: int
    left: int
    right: int
    scoring: Scoring

    @property
    def sampled(self) -> int:
        """Objects that a metric takes which looks at all pairs of them."""
        return min(self.objects, _MOST_OBJECTS)

    @property
    def spanned(self) -> tuple[int, int]:
        """Dimensions that n vectors span on either side."""
        return min(self.objects, self.left), min(self.objects, self.right)

    @property
    def by_features(self) -> bool:
        """Whether linear kernels are of features: where there are more objects than dimensions."""
        return self.objects > max(self.left, self.right)


def seconds_of(metric: str, shape: Shape) -> float:
    """Seconds of one metric or probe, at every k. The search for neighbours is not in it. Raises KeyError."""
    if metric in BY_NEIGHBOURS:
        law = BY_NEIGHBOURS[metric]
        return sum(law(shape, k) for k in shape.scoring.k)
    once, again = BY_VECTORS[metric]
    return once(shape) + shape.scoring.slow_permutations * again(shape)


def seconds_of_search(objects: int, dimension: int) -> float:
    """Seconds of one search for neighbours: a product of n x n x d, what is kept of it, and what is rescored.

    Sketches spare some of the product where there are many objects: of vectors of low rank 0.7 of it, of isotropic
    ones nothing. Which they are is not known before, so that a little less than half is counted.
    """
    spared = 0.55 if objects > _SKETCHED else 0.0
    product = (1 - spared) * 2e-9 * objects**2 * dimension / REFERENCE_GFLOPS
    return 0.005 + product + 5e-9 * objects**2 + 2e-8 * objects * dimension


def seeks_neighbours(metrics: Iterable[str]) -> bool:
    """Whether any of these metrics or probes needs neighbours."""
    return any(metric in BY_NEIGHBOURS for metric in metrics)


def bytes_of_table(objects: int, k: int) -> int:
    """Of a stored table of neighbours."""
    return objects * (4 * k + _ID_BYTES)


def bytes_of_score(shape: Shape) -> int:
    """Of a stored score: its record, its values for each object, and for each relabelling."""
    scoring = shape.scoring
    counted = [name for name in scoring.metrics if name in BY_NEIGHBOURS]
    fast, slow = len(counted) * len(scoring.k), len(scoring.metrics) - len(counted)
    values = 8 * shape.objects * fast + _ID_BYTES * shape.objects
    nulls = 8 * (fast * scoring.permutations + slow * scoring.slow_permutations)
    return _RECORD_BYTES + values + nulls


def _shared_edges(each_pair: float, resampling: float = 7e-9) -> Callable[[Shape, int], float]:
    """Of a metric of two neighbour graphs: all k neighbours are compared with all k, for every relabelling."""

    def law(shape: Shape, k: int) -> float:
        n, scoring = shape.objects, shape.scoring
        relabelling = 4e-5 + n * (1.5e-8 + each_pair * k**2)
        return scoring.permutations * relabelling + scoring.resamples * (6e-6 + n * resampling)

    return law


def _cknna(shape: Shape, k: int) -> float:
    similarities = 4e-9 * shape.objects * k * (shape.left + shape.right)
    return _shared_edges(2.7e-10, resampling=4.5e-8)(shape, k) + similarities


def _labels(each: float) -> Callable[[Shape, int], float]:
    """Of a probe by neighbours: k labels of every object are looked up, for every relabelling."""

    def law(shape: Shape, k: int) -> float:
        n, scoring = shape.objects, shape.scoring
        return scoring.permutations * (2e-5 + n * (1.1e-8 + each * k)) + scoring.resamples * (6e-6 + n * 7e-9)

    return law


def _eigh(size: int) -> float:
    """Eigenvalues and eigenvectors of a symmetric matrix."""
    return 2e-10 * size**3 + 4e-8 * size**2


def _svd(size: int) -> float:
    """Singular values of a matrix of `size` x `size`."""
    return 2.0e-10 * size**3 + 3e-8 * size**2


def _cross(shape: Shape) -> float:
    """The product of both sides, relabelled."""
    left, right = shape.spanned
    return _PRODUCT * shape.objects * left * right


def _moments(shape: Shape) -> float:
    """All second moments, of all objects and of each group, and what it takes to gather the groups."""
    left, right = shape.spanned
    return 3 * _PRODUCT * shape.objects * (left**2 + left * right + right**2)


def _components(shape: Shape) -> float:
    """The principal components of both sides, of all objects and without each group."""
    return _moments(shape) + (_GROUPS + 1) * sum(map(_eigh, shape.spanned))


def _aligning(shape: Shape) -> float:
    products = _PRODUCT * shape.objects**2 * (shape.left + shape.right) + 20 * _CELL * shape.objects**2
    return _moments(shape) if shape.by_features else products


def _align(shape: Shape) -> float:
    return _cross(shape) if shape.by_features else _CELL * shape.objects**2


def _cell_by_cell(shape: Shape) -> float:
    return _CELL * shape.sampled**2


def _gaussian_kernels(shape: Shape) -> float:
    return shape.sampled**2 * (1.2e-7 + 2.7e-11 * (shape.left + shape.right))


def _ranking(shape: Shape) -> float:
    pairs = shape.sampled**2 / 2
    return (_GROUPS + 1) * 3.5e-9 * pairs * math.log2(pairs + 2) + _PRODUCT * shape.sampled**2 * (
        shape.left + shape.right
    )


def _predict(shape: Shape) -> float:
    """Ridge regressions anew in both directions and all folds: of features, or of objects where these are fewer."""
    left, right = shape.spanned
    fit = 1.5e-9 * left * right * max(left, right) + _cross(shape)
    return 0.01 + (fit if shape.by_features else 4e-10 * shape.objects**3)


def _ridge_fits(shape: Shape) -> float:
    size, n = min(shape.objects, shape.left), shape.objects
    return 0.05 + _FITS * (_eigh(size) + _PRODUCT * n * shape.left * size)


BY_NEIGHBOURS: Mapping[str, Callable[[Shape, int], float]] = {
    "mknn": _shared_edges(2.7e-10),
    "jaccard": _shared_edges(2.7e-10),
    "rank-biased-overlap": _shared_edges(2.7e-10),
    "cycle-knn": _shared_edges(4.7e-10),
    "cknna": _cknna,
    "knn-probe": _labels(2.3e-9),
    "label-agreement": _labels(2.5e-9),
}
"""Of each metric and probe that counts neighbours: seconds at one k."""

BY_VECTORS: Mapping[str, tuple[Callable[[Shape], float], Callable[[Shape], float]]] = {
    "cka": (_aligning, _align),
    "cka-debiased": (_aligning, _align),
    "cka-rbf": (_gaussian_kernels, _cell_by_cell),
    "svcca": (_components, lambda shape: 0.2 * _cross(shape) + 2e-8 * min(shape.spanned) ** 2),
    "pwcca": (_components, lambda shape: 0.2 * _cross(shape) + 7e-11 * min(shape.spanned) ** 3),
    "procrustes": (
        lambda shape: _moments(shape) + (_GROUPS + 1) * _svd(min(shape.spanned)),
        lambda shape: _cross(shape) + _svd(min(shape.spanned)),
    ),
    "rsa": (_ranking, _cell_by_cell),
    "linear-predictivity": (lambda shape: _moments(shape) + 2.4 * _predict(shape), _predict),
    "mi-gaussian": (_components, lambda shape: 1.1 * _cross(shape) + 2.1e-10 * min(shape.spanned) ** 3),
    "mi-ksg": (
        lambda shape: _components(shape) + 8e-7 * shape.sampled * min(shape.sampled, 512),
        lambda shape: 6e-7 * shape.sampled * math.log2(shape.sampled + 1),
    ),
    "ridge-probe": (_ridge_fits, lambda shape: 4.5e-10 * shape.objects * min(shape.objects, shape.left)),
}
"""Of each that looks at the vectors: seconds once, and seconds for each relabelling."""
