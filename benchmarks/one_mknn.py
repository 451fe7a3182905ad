"""One MKNN, from two sets of vectors to the number: `python -m benchmarks.one_mknn`.

Ours against the reference (scikit-learn, Python sets) and against the way of the hypothesis's authors (dense torch,
two N x N masks), on data of low effective rank with noise. Time is of calls in turn in one process; peak memory is of a
process each, beyond what it held once the vectors were made and the packages loaded. All cores, for all of them.
"""

from __future__ import annotations

import argparse
import multiprocessing
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from benchmarks import baselines
from benchmarks.one_study import draw_vectors
from benchmarks.ratios import Row, compare
from scorer.comparison import Neighbours
from scorer.neighbourhoods.mknn import count_shared
from scorer.neighbours import nearest
from shared.vectors import Vectors

N, DIMENSION, K = 16_000, 1024, 10
OVERLAP_OBJECTS = 100_000
Mknn = Callable[[Vectors, Vectors], float]


def by_us(left: Vectors, right: Vectors) -> float:
    """As a score does it."""
    return float(count_shared(nearest(left, K), nearest(right, K)).mean() / K)


def by_reference(left: Vectors, right: Vectors) -> float:
    """As the reference implementation does it."""
    return baselines.mknn_by_sets(*(baselines.neighbours_by_sklearn(side.matrix, K) for side in (left, right)))


def by_authors(left: Vectors, right: Vectors) -> float:
    """As the hypothesis's authors do it."""
    return baselines.mknn_by_masks(*(baselines.neighbours_by_torch(side.matrix, K) for side in (left, right)))


WAYS: Mapping[str, Mknn] = {"ours": by_us, "scikit-learn and sets": by_reference, "torch and masks": by_authors}


def peak_bytes(way: str, n: int, dimension: int) -> float:
    """Most memory that one MKNN held at a time beyond its vectors, in a process of its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_peak_here, (way, n, dimension))


def _peak_here(way: str, n: int, dimension: int) -> float:
    few = tuple(draw_vectors(place, 64, dimension) for place in range(2))
    WAYS[way](*few)  # loads what is loaded at the first call
    sides = tuple(draw_vectors(place, n, dimension) for place in range(2))
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # forget the peak of making the vectors
    before = _status_bytes("VmRSS")
    WAYS[way](*sides)
    return _status_bytes("VmHWM") - before


def _status_bytes(field: str) -> float:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) * 1024.0


def measure_overlap() -> Row:
    """Counting what two large tables share, on one core."""
    stream = np.random.default_rng(0)
    steps = stream.integers(1, OVERLAP_OBJECTS // K, size=(2, OVERLAP_OBJECTS, K)).cumsum(
        axis=-1
    )  # K others, once each
    ids = tuple(map(str, range(OVERLAP_OBJECTS)))
    rows = np.arange(OVERLAP_OBJECTS)[:, None]
    left, right = (Neighbours(ids, ((rows + each) % OVERLAP_OBJECTS).astype(np.int32)) for each in steps)
    with threadpool_limits(limits=1):
        return compare(
            f"overlap of two ({OVERLAP_OBJECTS:,} x {K}) tables",
            lambda: count_shared(left, right),
            lambda: baselines.mknn_by_sets(left.table, right.table),
            target="30 ms",
            note="one thread; against Python sets",
        )


def measure(n: int, dimension: int) -> list[Row]:
    """Time and memory of one MKNN, against either way."""
    sides = tuple(draw_vectors(place, n, dimension) for place in range(2))
    values = {name: way(*sides) for name, way in WAYS.items()}
    if max(values.values()) - min(values.values()) > 1e-3:
        raise SystemExit(f"the ways do not agree: {values}")
    peaks = {name: peak_bytes(name, n, dimension) for name in WAYS}
    found = []
    for name, targets in (("scikit-learn and sets", ("1/10", "1/8")), ("torch and masks", ("", ""))):
        what, note = f"one MKNN, n = {n:,}, d = {dimension:,}", f"against {name}; all cores"
        time = compare(what, partial(by_us, *sides), partial(WAYS[name], *sides), target=targets[0], note=note)
        ours, plain = peaks["ours"], peaks[name]
        memory = Row(f"{what}: peak memory", ours / 1e6, plain / 1e6, ours / plain, "MB", targets[1], note)
        found += [time, memory]
    return found


def rows() -> list[Row]:
    """For the table of record."""
    return [*measure(N, DIMENSION), measure_overlap()]


def main() -> None:
    """Measure, and print what was found."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.one_mknn", description=__doc__)
    parser.add_argument("--objects", type=int, default=N)
    parser.add_argument("--dimension", type=int, default=DIMENSION)
    given = parser.parse_args()
    for row in [measure_overlap(), *measure(given.objects, given.dimension)]:
        print(f"{row.what} ({row.note}): {row.ours:.4g} {row.unit}, theirs {row.plain:.4g} {row.unit}: ", end="")
        print(f"1/{1 / row.ratio:.1f}" + (f", wanted: {row.target}" if row.target else ""))


if __name__ == "__main__":
    main()
