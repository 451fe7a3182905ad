"""Exact neighbours against one sgemm pass: `python -m benchmarks.exact_search [--objects N] [--dimensions D ...]`.

The yardstick multiplies all unit vectors with all others in float32, a block of rows at a time, and keeps nothing; ours
normalises, searches and decides in float64. Vectors of low effective rank with noise, of variances that fall off as a
power, and isotropic ones, for which no sketch pays. Both use the threads that their libraries take.
"""

from __future__ import annotations

import argparse
import os
import platform
from collections.abc import Sequence

import numpy as np

from benchmarks import baselines
from benchmarks.baselines import Matrix
from benchmarks.ratios import Row, compare
from scorer.neighbours import nearest
from shared.vectors import Vectors

K = 10
KINDS = ("low rank and noise", "falling variances", "isotropic")


def make_matrix(kind: str, n: int, dimension: int) -> Matrix:
    """Vectors `(n, d)` of one of `KINDS`."""
    stream = np.random.default_rng(1)
    matrix = stream.standard_normal((n, dimension), dtype=np.float32)
    if kind == "low rank and noise":
        latent = stream.standard_normal((n, 32), dtype=np.float32)
        return matrix + latent @ stream.standard_normal((32, dimension), dtype=np.float32)
    if kind == "falling variances":
        return matrix * np.arange(1, dimension + 1, dtype=np.float32) ** np.float32(-0.9)
    return matrix


def rows(n: int = 16_000, dimensions: Sequence[int] = (384, 1024, 4096), k: int = K) -> list[Row]:
    """One row for each kind of vectors and each dimension."""
    found = []
    for dimension in dimensions:
        for kind in KINDS:
            matrix = make_matrix(kind, n, dimension)
            matrix /= np.linalg.norm(matrix, axis=1, keepdims=True)
            vectors = Vectors(tuple(f"g{row:06d}" for row in range(n)), matrix)
            what = f"neighbours, n = {n:,}, d = {dimension:,}, k = {k}, {kind}"
            target = "" if kind == "isotropic" else "0.5"
            found.append(
                compare(
                    what,
                    lambda vectors=vectors: nearest(vectors, k),  # type: ignore[misc]
                    lambda matrix=matrix: baselines.multiply_all(matrix),  # type: ignore[misc]
                    target=target,
                )
            )
    return found


def main() -> None:
    """Measure and print, a line for each."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.exact_search", description=__doc__)
    parser.add_argument("--objects", type=int, default=16_000)
    parser.add_argument("--dimensions", type=int, nargs="+", default=[384, 1024, 4096])
    parser.add_argument("--k", type=int, default=K)
    given = parser.parse_args()
    for row in rows(given.objects, given.dimensions, given.k):
        print(f"{row.what}: ours {row.ours:.2f} s, one pass {row.plain:.2f} s, ratio {row.ratio:.2f} {row.target}")
    print(f"{platform.machine()}, {os.cpu_count()} cores, threads {os.environ.get('OMP_NUM_THREADS', 'as many')}")


if __name__ == "__main__":
    main()
