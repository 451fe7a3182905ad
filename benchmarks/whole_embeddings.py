"""What each metric of whole embeddings costs: `python -m benchmarks.whole_embeddings N D RELABELLINGS [METRIC ...]`.

Each metric in a process of its own, on data whose variances fall off as those of embeddings do. Peak memory is that of
the process beyond what it held once the vectors were made. One thread unless OMP_NUM_THREADS says otherwise.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from scorer.comparison import Comparison, Neighbours
from scorer.metrics import METRICS
from scorer.neighbours import nearest
from shared.contracts import Scoring
from shared.vectors import Vectors

NAMES = (
    "cka", "cka-debiased", "cka-rbf", "svcca", "pwcca", "procrustes", "rsa", "linear-predictivity",
    "mi-gaussian", "mi-ksg",
)  # fmt: skip
_CAUSES = 12


@dataclass(frozen=True, slots=True)
class InMemory:
    """A side whose vectors are at hand."""

    kept: Vectors

    def vectors(self) -> Vectors:
        """The vectors."""
        return self.kept

    def neighbours(self, k: int) -> Neighbours:
        """Searched for anew, should a metric ask for them."""
        return nearest(self.kept, k)


class FewRelabellings(Comparison):
    """A comparison with so few relabellings that memory can be measured at any size."""

    count = 199

    def permutations(self, *, slow: bool = False) -> Iterator[npt.NDArray[np.int64]]:
        """The first of the pair's relabellings."""
        return itertools.islice(super().permutations(slow=slow), self.count)


def make_side(seed: int, ids: tuple[str, ...], dimension: int) -> InMemory:
    """A view of one latent world, with noise whose variances fall off; a block of rows at a time."""
    rng, n = np.random.default_rng(seed), len(ids)
    mixing = rng.standard_normal((_CAUSES, dimension)).astype(np.float32) * np.float32(0.1)
    scales = np.arange(1, dimension + 1, dtype=np.float32) ** np.float32(-0.9)
    rotation = np.linalg.qr(rng.standard_normal((dimension, dimension)))[0].astype(np.float32)
    latent = np.random.default_rng(1).standard_normal((n, _CAUSES), dtype=np.float32)
    matrix = np.empty((n, dimension), dtype=np.float32)
    for start in range(0, n, 4096):
        rows = slice(start, start + 4096)
        own = rng.standard_normal((len(latent[rows]), dimension), dtype=np.float32) * scales
        matrix[rows] = latent[rows] @ mixing + own @ rotation
    return InMemory(Vectors(ids, matrix))


def measure(name: str, n: int, dimension: int, relabellings: int) -> tuple[float, float, float]:
    """Wall and processor seconds of one metric, and the GiB it needed beyond the vectors."""
    ids = tuple(f"g{row:06d}" for row in range(n))
    sides = make_side(2, ids, dimension), make_side(3, ids, dimension)
    comparison = FewRelabellings(ids, *sides, Scoring(slow_permutations=max(99, relabellings)), "5e" * 16, 10)
    FewRelabellings.count = relabellings
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # forget the peak of making the vectors
    before = _gibibytes("VmRSS")
    wall, processor = time.perf_counter(), time.process_time()
    with threadpool_limits(limits=int(os.environ.get("OMP_NUM_THREADS", "1"))):
        METRICS[name].measure(comparison)
    return time.perf_counter() - wall, time.process_time() - processor, _gibibytes("VmHWM") - before


def _gibibytes(field: str) -> float:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 2**20


def main() -> None:
    """Measure every metric, or those that are named, and say what each cost as soon as it is known."""
    n, dimension, relabellings = (int(argument) for argument in sys.argv[1:4])
    vectors = 2 * 4 * n * dimension / 2**30
    print(f"n = {n:,}, d = {dimension:,}, {relabellings} relabellings; the vectors themselves: {vectors:.2f} GiB")
    print(f"{'metric':20} {'wall s':>10} {'processor s':>12} {'GiB beyond':>11}")
    context = multiprocessing.get_context("spawn")
    for name in sys.argv[4:] or NAMES:
        with context.Pool(1) as pool:
            wall, processor, peak = pool.apply(measure, (name, n, dimension, relabellings))
        print(f"{name:20} {wall:10.1f} {processor:12.1f} {peak:11.2f}", flush=True)


if __name__ == "__main__":
    main()
