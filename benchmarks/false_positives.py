"""How often unrelated embeddings are called alike, by each neighbour metric: `python -m benchmarks.false_positives`.

Every pair is two embeddings drawn independently of each other and measured as a study measures them. Each is called
alike when p <= 0.05, and when its calibrated score is above 0; that should happen to one in twenty. Exit status 1 when
the rate of MKNN is not within one point of 5 %. All that is drawn follows from `--seed`.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from dataclasses import dataclass
from hashlib import sha256

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table
from scipy.stats import binomtest

from scorer.comparison import Comparison, Neighbours
from scorer.metrics import METRICS
from scorer.neighbours import nearest
from shared.contracts import Scoring
from shared.vectors import Vectors

LEVEL, TOLERANCE, JUDGED = 0.05, 0.01, "mknn"


@dataclass(frozen=True, slots=True)
class Drawn:
    """An embedding of nothing, and its neighbours."""

    given: Vectors
    table: Neighbours

    @classmethod
    def draw(cls, stream: np.random.Generator, object_ids: tuple[str, ...], dimension: int, k: int) -> Drawn:
        """Normal vectors."""
        vectors = Vectors(object_ids, stream.standard_normal((len(object_ids), dimension), dtype=np.float32))
        return cls(vectors, nearest(vectors, k))

    def vectors(self) -> Vectors:
        """See `scorer.comparison.Side`."""
        return self.given

    def neighbours(self, k: int) -> Neighbours:
        """See `scorer.comparison.Side`."""
        return self.table.nearest(k)


def count_alike(given: argparse.Namespace, console: Console) -> tuple[Counter[str], Counter[str]]:
    """How many pairs each metric calls alike: by p-value, and by calibrated score."""
    scoring = Scoring(k=given.k, permutations=given.permutations, resamples=99, seed=given.seed, confidence=1 - LEVEL)
    small, above = Counter[str](), Counter[str]()
    for pair in track(range(given.pairs), "pairs", console=console, transient=True):
        stream = np.random.default_rng([given.seed, pair])
        ids = tuple(f"{pair}-{row:06d}" for row in range(given.objects))  # other objects: other relabellings
        left, right = (Drawn.draw(stream, ids, given.dimension, given.k) for _ in range(2))
        digest = sha256(str(pair).encode()).hexdigest()[:32]
        comparison = Comparison(ids, left, right, scoring, digest, given.k)
        for name in given.metrics:
            found = METRICS[name].measure(comparison)
            small[name] += found.p_value is not None and found.p_value <= LEVEL
            above[name] += found.calibrated is not None and found.calibrated > 0
    return small, above


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.false_positives", description=__doc__)
    parser.add_argument("--pairs", type=int, default=2000)
    parser.add_argument("--objects", type=int, default=200)
    parser.add_argument("--dimension", type=int, default=32)
    parser.add_argument("--k", type=int, default=10)
    parser.add_argument("--permutations", type=int, default=199)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--metrics", nargs="+", default=[name for name, metric in METRICS.items() if metric.per_k])
    given = parser.parse_args()
    console, began = Console(), time.monotonic()
    small, above = count_alike(given, console)
    title = (
        f"{given.pairs} independent pairs, n = {given.objects}, d = {given.dimension}, k = {given.k}, "
        f"{given.permutations} permutations, seed {given.seed}"
    )
    table = Table("metric", f"p <= {LEVEL}", "calibrated > 0", title=title)
    for name in given.metrics:
        table.add_row(name, _describe(small[name], given.pairs), _describe(above[name], given.pairs))
    console.print(table)
    console.print(f"in brackets: exact binomial 95 % intervals; {time.monotonic() - began:.0f} s")
    rates = [count[JUDGED] / given.pairs for count in (small, above)]
    if JUDGED in given.metrics and any(abs(rate - LEVEL) > TOLERANCE for rate in rates):
        raise SystemExit(f"the rate of {JUDGED} is not within {TOLERANCE:.0%} of {LEVEL:.0%}")


def _describe(count: int, pairs: int) -> str:
    """The rate, and its exact binomial interval at 95 %."""
    interval = binomtest(count, pairs).proportion_ci(0.95)
    return f"{count / pairs:.2%} ({interval.low:.2%} to {interval.high:.2%})"


if __name__ == "__main__":
    main()
