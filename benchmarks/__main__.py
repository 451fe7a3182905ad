"""Ratios against plain implementations, all measured in one run: `make bench`.

Medians of several rounds, the two sides in turn, on data with the low effective rank that embeddings have. What is
compared gives the same numbers, and that is checked first.
"""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks import baselines
from scorer.neighbourhoods.mknn import count_shared
from scorer.neighbours import nearest
from scorer.nulls import count_relabelled
from shared.vectors import Vectors

N, DIMENSION, K, ROUNDS, PERMUTATIONS = 6_000, 512, 10, 3, 3
MANY_OBJECTS, MANY_PERMUTATIONS = 10_000, 1_000


def make_vectors(seed: int) -> Vectors:
    """Two views of one latent world: rank 32, plus noise."""
    latent = np.random.default_rng(1).normal(size=(N, 32))
    rng = np.random.default_rng(seed)
    matrix = latent @ rng.normal(size=(32, DIMENSION)) + rng.normal(size=(N, DIMENSION))
    return Vectors(tuple(f"g{row:05d}" for row in range(N)), matrix.astype(np.float32))


def seconds(work: Callable[[], object]) -> float:
    """Wall seconds of one call."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def measure(ours: Callable[[], object], theirs: Callable[[], object]) -> tuple[float, float, float]:
    """Median seconds of each, and the median of the ratios theirs/ours, round by round."""
    rounds = [(seconds(ours), seconds(theirs)) for _ in range(ROUNDS)]
    a, b = (statistics.median(column) for column in zip(*rounds, strict=True))
    return a, b, statistics.median(theirs_ / ours_ for ours_, theirs_ in rounds)


def relabel_many() -> float:
    """Median seconds of the whole null of one large pair, on one thread."""
    stream = np.random.default_rng(4)
    steps = stream.integers(1, MANY_OBJECTS // K, size=(2, MANY_OBJECTS, K)).cumsum(axis=-1)  # K others, each once
    left, right = ((np.arange(MANY_OBJECTS)[:, None] + each) % MANY_OBJECTS for each in steps)

    def relabel() -> None:
        permutations = (stream.permutation(MANY_OBJECTS) for _ in range(MANY_PERMUTATIONS))
        count_relabelled(left.astype(np.int32), right.astype(np.int32), permutations)

    return statistics.median(seconds(relabel) for _ in range(ROUNDS))


def main() -> None:
    """Check that both sides agree, measure, and print the table."""
    left, right = make_vectors(2), make_vectors(3)
    ours = nearest(left, K), nearest(right, K)
    plain = baselines.neighbours_by_sklearn(left.matrix, K), baselines.neighbours_by_sklearn(right.matrix, K)
    value = count_shared(*ours).mean() / K
    if abs(value - baselines.mknn_by_sets(*plain)) > 1e-3:
        raise SystemExit("the two implementations do not agree: nothing to compare")
    permutations = [np.random.default_rng(i).permutation(N) for i in range(PERMUTATIONS)]
    tables = ours[0].table, ours[1].table
    if count_relabelled(*tables, permutations).tolist() != baselines.relabel_by_sets(*tables, permutations):
        raise SystemExit("the two relabellings do not agree: nothing to compare")
    rows = {
        "neighbours, against scikit-learn": measure(
            lambda: nearest(left, K), lambda: baselines.neighbours_by_sklearn(left.matrix, K)
        ),
        "neighbours, against one sgemm pass": measure(
            lambda: nearest(left, K), lambda: baselines.multiply_all(left.matrix)
        ),
        "overlap, against Python sets": measure(lambda: count_shared(*ours), lambda: baselines.mknn_by_sets(*plain)),
        f"{PERMUTATIONS} permutations, against new searches": measure(
            lambda: count_relabelled(*tables, permutations),
            lambda: baselines.relabel_by_search(left.matrix, right.matrix, K, PERMUTATIONS, 0),
        ),
        f"{PERMUTATIONS} permutations, against Python sets relabelled": measure(
            lambda: count_relabelled(*tables, permutations), lambda: baselines.relabel_by_sets(*tables, permutations)
        ),
    }
    table = Table(
        "what", "ours, s", "plain, s", "plain/ours", title=f"n = {N}, d = {DIMENSION}, k = {K}, MKNN {value:.4f}"
    )
    for name, (mine, theirs, ratio) in rows.items():
        table.add_row(name, f"{mine:.4f}", f"{theirs:.4f}", f"{ratio:.2f}")
    console = Console()
    console.print(table)
    console.print(
        f"{MANY_PERMUTATIONS} permutations, drawn and counted, n = {MANY_OBJECTS}, k = {K}: {relabel_many():.2f} s"
    )
    console.print(f"{platform.machine()}, {os.cpu_count()} cores, medians of {ROUNDS} rounds, default threads")


if __name__ == "__main__":
    main()
