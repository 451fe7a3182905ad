"""The laws of what metrics cost, held against what they take: `python -m benchmarks.metric_costs`, about 4 minutes.

Each metric and probe is run on one thread, on vectors of low rank and noise, and its CPU seconds are compared with
`scorer.costs`. Few slow relabellings are drawn, since their cost is linear: the law is asked for as few.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
from rich.console import Console
from rich.table import Table
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from benchmarks.ratios import Row
from scorer.comparison import Comparison, Neighbours
from scorer.costs import REFERENCE_GFLOPS, Shape, seconds_of, seconds_of_search
from scorer.metrics import METRICS, PROBES
from scorer.neighbours import nearest
from scorer.probes.probing import Probing
from services.rates import core_gflops
from shared.contracts import Scoring
from shared.vectors import Vectors

SHAPES = ((500, 1024), (658, 1280), (2000, 256), (4000, 512), (10_000, 384))
SLOW, RANK, K, TARGET = 9, 32, 10, "0.5 to 2"
DIGEST = "a" * 32


@dataclass(frozen=True, eq=False)
class Side:
    """Vectors and their neighbours: `scorer.comparison.Side`."""

    all_vectors: Vectors
    table: Neighbours

    def vectors(self) -> Vectors:
        """See `Side`."""
        return self.all_vectors

    def neighbours(self, k: int) -> Neighbours:
        """See `Side`."""
        return self.table.nearest(k)


def make_vectors(objects: int, dimension: int, seed: int) -> Vectors:
    """A view of one latent world: rank 32, plus noise."""
    latent = np.random.default_rng(1).normal(size=(objects, RANK))
    rng = np.random.default_rng(seed)
    matrix = latent @ rng.normal(size=(RANK, dimension)) + rng.normal(size=(objects, dimension))
    return Vectors(tuple(f"g{row:06d}" for row in range(objects)), matrix.astype(np.float32))


def cpu_seconds(work: Callable[[], object]) -> float:
    """CPU seconds of one call."""
    began = time.process_time()
    work()
    return time.process_time() - began


def rows() -> list[Row]:
    """The law over what was taken, of every metric at every shape; corrected by the speed of this machine's core."""
    speed = REFERENCE_GFLOPS / core_gflops()
    found: list[Row] = []
    with threadpool_limits(limits=1):
        for objects, dimension in SHAPES:
            for what, law, taken in measure(objects, dimension):
                name = f"law of {what}, n = {objects}, d = {dimension}"
                found.append(Row(name, speed * law, taken, speed * law / taken, target=TARGET, note="CPU seconds"))
    return found


def measure(objects: int, dimension: int) -> Iterator[tuple[str, float, float]]:
    """Name, law and CPU seconds of a search and of every metric and probe."""
    scoring = Scoring().model_copy(update={"slow_permutations": SLOW})
    left, right = (make_vectors(objects, dimension, seed) for seed in (2, 3))
    tables: list[Neighbours] = []
    yield "search", seconds_of_search(objects, dimension), cpu_seconds(lambda: tables.append(nearest(left, K)))
    sides = Side(left, tables[0]), Side(right, nearest(right, K))
    comparison = Comparison(left.object_ids, *sides, scoring, DIGEST, K)
    for metric in METRICS.values():
        shape = Shape(objects, dimension, dimension, scoring)
        yield metric.name, seconds_of(metric.name, shape), cpu_seconds(partial(metric.measure, comparison))
    label = np.random.default_rng(5).normal(size=objects)
    probing = Probing(left.object_ids, sides[0], label, (), scoring, DIGEST, DIGEST, K)
    for probe in PROBES.values():
        shape = Shape(objects, dimension, 1, scoring)
        yield probe.name, seconds_of(probe.name, shape), cpu_seconds(partial(probe.measure, probing))


def main() -> None:
    """Measure and print."""
    table = Table("what", "law, s", "took, s", "law/took", title=f"core: {core_gflops():.0f} GFLOP/s")
    for row in rows():
        table.add_row(row.what, f"{row.ours:.3f}", f"{row.plain:.3f}", f"{row.ratio:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
