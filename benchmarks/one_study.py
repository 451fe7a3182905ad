"""One study of many embeddings, scored through one worker's shelf: `python -m benchmarks.one_study`.

All pairs of 36 embeddings of the same objects, each an embedding in a real store: parts, receipts and a manifest, as
the embedder leaves them. One process scores pair after pair as the scorer's worker does, tables and records stored.
Beside it the reference: for each pair two new searches by scikit-learn and Python sets. Of that one call is timed for
each length of vector that occurs, in this run, and the time of all pairs is added up from those.
"""

from __future__ import annotations

import argparse
import itertools
import os
import statistics
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from rich.console import Console
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from benchmarks.baselines import mknn_by_sets, neighbours_by_sklearn
from benchmarks.ratios import Row, seconds
from scorer.pipeline import score
from scorer.shelf import Shelf
from shared import keys
from shared.contracts import DatasetRef, EmbeddingSpec, ModelRef, PairSpec, ScoreSpec, Scoring
from shared.embeddings import commit_manifest, store_part
from shared.modalities import Modality
from shared.outcomes import Attempt
from shared.store import DirectoryStore, ObjectStore
from shared.vectors import Vectors

DIMENSIONS = (384, 512, 768, 1024)
_PART_ROWS, _CAUSES, _K = 256, 32, 10
SCORINGS = {
    "few draws": Scoring(permutations=99, resamples=99),
    "1,000 resamples": Scoring(permutations=99, resamples=1000),
    "1,000 resamples and permutations": Scoring(permutations=1000, resamples=1000),
}
"""The fewest that a study may ask for beside the closed form; and what it asks for when it does not say."""
_TARGETS = {"few draws": "1/300", "1,000 resamples": "1/300", "1,000 resamples and permutations": "1/20"}
_ATTEMPT = Attempt(name="a1", worker="benchmark")


@dataclass(frozen=True, slots=True)
class Timed:
    """What a study took. searches: neighbour tables that were not in the store; searching: seconds they took, which
    are those of the scores that made one, beyond what such a score takes otherwise."""

    seconds: float
    pairs: int
    searches: int
    searching: float


def make_specs(embeddings: int, objects: int) -> list[EmbeddingSpec]:
    """Specifications of embeddings of one simulated dataset, of four models' lengths in turn."""
    dataset = DatasetRef(name="study", revision="v1", source="mocksky", location="0", rows=objects, simulated=True)
    modality = Modality(name="hsc", kind="image", column="hsc", recipe="r-v1", bands=("g",))
    return [
        EmbeddingSpec(
            dataset=dataset,
            modality=modality,
            model=ModelRef(
                name=f"model-{place:02d}", family="drawn", adapter="fake", checkpoint=f"model-{place:02d}",
                revision="1", pooling="mean", parameters=1.0, part_rows=_PART_ROWS,
            ),
        )
        for place in range(embeddings)
    ]  # fmt: skip


def draw_vectors(place: int, objects: int, dimension: int) -> Vectors:
    """A view of one latent world, of rank 32, with noise whose variances fall off as those of embeddings do."""
    stream = np.random.default_rng([7, place])
    latent = np.random.default_rng(1).standard_normal((objects, _CAUSES), dtype=np.float32)
    scales = np.arange(1, dimension + 1, dtype=np.float32) ** np.float32(-0.5)
    noise = stream.standard_normal((objects, dimension), dtype=np.float32) * scales
    mixing = stream.standard_normal((_CAUSES, dimension), dtype=np.float32) * np.float32(0.1)
    return Vectors(tuple(f"galaxy-{row:07d}" for row in range(objects)), latent @ mixing + noise)


def store_embedding(store: ObjectStore, spec: EmbeddingSpec, vectors: Vectors) -> None:
    """Its parts, then its manifest."""
    parts = {}
    for index in range(spec.parts()):
        rows = np.arange(*spec.part_range(index))
        parts[index] = store_part(
            store, spec, _ATTEMPT, index, vectors.take(rows), dropped={}, repaired={}, seconds=0.0,
            at="2026-01-01T00:00:00.000+00:00", device="cpu", packages={},
        )  # fmt: skip
    commit_manifest(store, spec, parts)


def score_all(store: ObjectStore, specs: Sequence[EmbeddingSpec], scoring: Scoring, threads: int) -> Timed:
    """Every pair of these, neighbours not yet searched, as one worker scores them."""
    for room in (keys.NEIGHBOURS, keys.SCORES):
        for key in list(store.keys(room)):
            store.delete(key)
    made = 0
    shelf, took = Shelf(), list[tuple[float, int]]()

    def on_table(found: bool) -> None:
        nonlocal made
        made += not found

    for left, right in itertools.combinations(specs, 2):
        spec = ScoreSpec(pair=PairSpec(left=left, right=right), scoring=scoring)
        before = made
        work = partial(score, spec, store=store, threads=threads, attempt=_ATTEMPT, on_table=on_table, shelf=shelf)
        took.append((seconds(work), made - before))
    if made != len(specs):
        raise SystemExit(f"{made} searches for {len(specs)} embeddings: one of each was promised")
    usual = statistics.median(each for each, searched in took if not searched)
    searching = sum(each - usual for each, searched in took if searched)
    return Timed(sum(each for each, _ in took), len(took), made, searching)


def reference_seconds(objects: int, embeddings: int, threads: int) -> float:
    """What the reference would take for all pairs: each pair's two searches, and its sets.

    A search is timed once for each length of vector, and the sets once.
    """
    matrices = [draw_vectors(place, objects, dimension).matrix for place, dimension in enumerate(DIMENSIONS)]
    with threadpool_limits(limits=threads):
        searches = [seconds(partial(neighbours_by_sklearn, matrix, _K)) for matrix in matrices]
    tables = np.random.default_rng(0).integers(objects, size=(2, objects, _K))
    sets = seconds(lambda: mknn_by_sets(*tables))
    each = [searches[place % len(searches)] for place in range(embeddings)]
    return sum(a + b + sets for a, b in itertools.combinations(each, 2))


def measure(embeddings: int, objects: int, threads: int, scorings: Mapping[str, Scoring]) -> Iterator[Row]:
    """A row for each way of scoring the study. threads: 0 means all cores."""
    threads = threads or os.cpu_count() or 1
    plain = reference_seconds(objects, embeddings, threads)
    specs = make_specs(embeddings, objects)
    with tempfile.TemporaryDirectory(prefix="samesky-study-") as folder:
        store = DirectoryStore(Path(folder))
        store.prepare()
        for place, spec in enumerate(specs):
            store_embedding(store, spec, draw_vectors(place, objects, DIMENSIONS[place % len(DIMENSIONS)]))
        for name, scoring in scorings.items():
            ours = score_all(store, specs, scoring, threads)
            yield Row(
                f"{ours.pairs} pairs of {embeddings} embeddings, {name}",
                ours.seconds,
                plain,
                ours.seconds / plain,
                target=_TARGETS.get(name, ""),
                note=f"n = {objects}, k = {_K}, d = {min(DIMENSIONS)} to {max(DIMENSIONS)}, {threads} threads; "
                f"{ours.seconds / ours.pairs * 1000:.0f} ms a pair; {ours.searches} searches took "
                f"{ours.searching:.1f} s of it; the reference's pairs added up from {len(DIMENSIONS)} searches",
            )


def rows() -> list[Row]:
    """For the table of record."""
    return list(measure(36, 10_000, 0, SCORINGS))


def main() -> None:
    """Measure, and print what was found."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.one_study", description=__doc__)
    parser.add_argument("--embeddings", type=int, default=36)
    parser.add_argument("--objects", type=int, default=10_000)
    parser.add_argument("--threads", type=int, default=0, help="0 means all cores")
    given = parser.parse_args()
    console = Console()
    for row in measure(given.embeddings, given.objects, given.threads, SCORINGS):
        console.print(f"{row.what}: {row.ours:.1f} s, the reference {row.plain:.0f} s: 1/{1 / row.ratio:.0f}")
        console.print(f"  {row.note}" + (f"; wanted: {row.target}" if row.target else ""))


if __name__ == "__main__":
    main()
