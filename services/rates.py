"""How fast an installation is, by its own records: the seconds in manifests, and in scores. Loads no model library.

Records do not change, so what was read once is kept. Of many, the newest few are looked at.
"""

from __future__ import annotations

import itertools
import statistics
import time
from bisect import bisect_left
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice
from typing import NamedTuple, TypeVar

import numpy as np

from embedder.costs import SHARE_OF_PRODUCT, work_of
from scorer.costs import REFERENCE_GFLOPS, Shape, seconds_of, seconds_of_search, seeks_neighbours
from services.costing import Correction, Rate, Speed
from services.ledger import Ledger
from shared import keys
from shared.contracts import EmbeddingSpec, ScoreSpec, Study
from shared.embeddings import read_manifest
from shared.errors import BadRecord
from shared.modalities import GIVEN
from shared.outcomes import Manifest, Part, ScoreRecord
from shared.plans import Basis

_MOST_LOOKS, _MOST_PARTS = 1000, 8  # looks for an embedding, in all; parts of one model and modality
_MOST_STUDIES, _MOST_SCORES = 20, 32
_LEAST_SECONDS = 0.1  # a score that should take less tells more of the store than of the metrics
_KEPT = 4096
_SIDE, _TRIES = 768, 9  # of the matrices whose product tells the speed of a core
T = TypeVar("T")
Computed = tuple[str, ...]
Shown = tuple[str, ...]


class Timed(NamedTuple):
    """A part: seconds of a pass for each of its objects, and how many objects these are."""

    seconds: float
    rows: int


@dataclass
class Known:
    """What the records of some studies tell of models. timed: parts by how they were computed and by what was shown.

    dimensions: the length of vectors, by how they were computed and by layer. Each was looked at once, so that what
    is asked of it costs nothing.
    """

    timed: dict[Computed, dict[Shown, list[Timed]]] = field(default_factory=lambda: defaultdict(dict))
    dimensions: dict[tuple[Computed, str], int] = field(default_factory=dict)

    def rate(self, spec: EmbeddingSpec) -> Rate | None:
        """As measured: of the same modality of the same dataset, or else of any other; None where nobody has.

        It is the median over objects, so that a part that was disturbed tells little.
        """
        found = self.timed.get(_how_computed(spec), {})
        same, every = found.get(_what_shown(spec), []), [part for parts in found.values() for part in parts]
        if same:
            return Rate(_median(same), "measured")
        return Rate(_median(every), "measured on other data") if every else None

    def dimension(self, spec: EmbeddingSpec) -> int | None:
        """The length of the vectors of this model at this layer, where the store has some."""
        return self.dimensions.get((_how_computed(spec), spec.layer))


class Rates:
    """What the records in the store tell."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._manifests: OrderedDict[str, Manifest] = OrderedDict()
        self._records: OrderedDict[str, ScoreRecord] = OrderedDict()

    def look(self, studies: Iterable[Study]) -> tuple[Known, Speed | None]:
        """What is known of the models of these studies, the nearest first; and how fast a network runs here.

        The speed is the median over models that were measured, None where there are none.
        """
        known, looks, speeds = Known(), 0, dict[str, float]()
        for layers in (layers for study in studies for layers in study.passes):
            lead = layers[0]
            parts = known.timed[_how_computed(lead)].setdefault(_what_shown(lead), [])
            if looks >= _MOST_LOOKS or len(parts) >= _MOST_PARTS:
                continue
            looks += len(layers)
            manifests = [found for found in map(self._manifest, layers) if found]
            parts += _time_pass(manifests)
            for manifest in manifests:
                known.dimensions.setdefault((_how_computed(lead), manifest.spec.layer), manifest.dimension)
            work = work_of(lead)
            if parts and work.gflop and _median(parts) > work.preparing:
                speeds.setdefault(lead.model.name, work.gflop / (_median(parts) - work.preparing))
        if not speeds:
            return known, None
        models = "1 model" if len(speeds) == 1 else f"{len(speeds)} models"
        return known, Speed(statistics.median(speeds.values()), f"median of {models} measured in this installation")

    def correction(self, studies: Iterable[Study]) -> Correction:
        """What scores took here over what the laws of their metrics say, by the sums of both."""
        pairs = list(
            islice((pair for study in islice(studies, _MOST_STUDIES) for pair in self._scores(study)), _MOST_SCORES)
        )
        if not pairs:
            return Correction(REFERENCE_GFLOPS / core_gflops(), 0)
        taken, expected = map(sum, zip(*pairs, strict=True))
        return Correction(taken / expected, len(pairs))

    def _scores(self, study: Study) -> Iterator[tuple[float, float]]:
        """Of scores from all over a study: core-seconds as measured, and by the laws."""
        if not any(self._ledger.whole(spec) for spec in study.embeddings[:1]):
            return
        step = -(-len(study.pairs) // _MOST_SCORES)
        for a, b in study.pairs[::step]:
            record = self._record(study.score(a, b))
            expected = self._expect(record, study) if record else 0.0
            if record and expected > _LEAST_SECONDS:
                yield record.provenance.seconds * record.provenance.threads, expected

    def _expect(self, record: ScoreRecord, study: Study) -> float:
        """Core-seconds by the laws, with the pair's share in the searches: a probe has one, a pair shares them."""
        pair, scoring = record.spec.pair, record.spec.scoring
        manifests = [self._manifest(pair.left), self._manifest(pair.right)]
        sides = sorted((each.dimension for each in manifests if each), reverse=True)
        if len(sides) < 2:
            return 0.0
        shape = Shape(record.objects, sides[0], sides[1], scoring)
        seconds = sum((seconds_of(name, shape) for name in scoring.metrics), start=0.0)
        if seeks_neighbours(scoring.metrics):
            share = 1.0 if pair.kind == "probe" else min(1.0, len(study.embeddings) / len(study.pairs))
            seconds += share * seconds_of_search(record.objects, sides[0])
        return seconds

    def _manifest(self, spec: EmbeddingSpec) -> Manifest | None:
        if spec.digest not in self._manifests and self._ledger.whole(spec) is None:
            return None
        return _remember(self._manifests, spec.digest, lambda: read_manifest(self._ledger.store, spec))

    def _record(self, spec: ScoreSpec) -> ScoreRecord | None:
        return _remember(self._records, spec.digest, lambda: self._ledger.record(spec))


def estimate(spec: EmbeddingSpec, speed: Speed) -> Rate:
    """Of a model that nobody has measured: its operations at this speed, and what reading and preparing take."""
    work = work_of(spec)
    basis: Basis = "only read" if spec.modality.kind in GIVEN else "estimated"
    return Rate(work.gflop / speed.gflops + work.preparing, basis)


def assumed_speed(threads: int) -> Speed:
    """How fast a network may run on so many cores of this machine, where none has been measured."""
    core = core_gflops()
    source = f"{SHARE_OF_PRODUCT:g} of a product of matrices on the api's machine, {core:.0f} a core"
    return Speed(SHARE_OF_PRODUCT * core * threads, source)


@lru_cache(maxsize=1)
def core_gflops() -> float:
    """10^9 operations a second of a product of single-precision matrices on one core of this machine.

    Measured once, in some 0.1 s; in CPU seconds of one thread, so that what else the machine does tells little.
    """
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    matrix = np.random.default_rng(0).standard_normal((_SIDE, _SIDE), dtype=np.float32)
    taken = []
    with threadpool_limits(limits=1):
        for _ in range(_TRIES):
            began = time.thread_time()
            np.dot(matrix, matrix)
            taken.append(time.thread_time() - began)
    return 2e-9 * _SIDE**3 / max(min(taken), 1e-9)


def _time_pass(manifests: Iterable[Manifest]) -> list[Timed]:
    """The parts of a pass, from the manifests of its layers.

    A pass's seconds are shared out among its layers; layers that were made apart had a pass each.
    """
    parts: dict[int, list[Part]] = defaultdict(list)
    for manifest in manifests:
        for part in manifest.parts:
            parts[part.index].append(part)
    return [_time_part(made) for made in parts.values()]


def _time_part(made: Sequence[Part]) -> Timed:
    rows, passes = made[0].stop - made[0].start, len({keys.attempt_of(part.key) for part in made})
    return Timed(sum(part.seconds for part in made) / passes / rows, rows)


def _median(timed: Sequence[Timed]) -> float:
    """The seconds at or below which half of all objects are."""
    ordered = sorted(timed)
    seen = list(itertools.accumulate(part.rows for part in ordered))
    return ordered[bisect_left(seen, seen[-1] / 2)].seconds


def _how_computed(spec: EmbeddingSpec) -> Computed:
    return spec.model.name, spec.model.adapter, spec.dtype


def _what_shown(spec: EmbeddingSpec) -> Shown:
    return spec.dataset.name, spec.modality.name, spec.recipe


def _remember(memory: OrderedDict[str, T], name: str, read: Callable[[], T | None]) -> T | None:
    """What is kept under this name, or else is read, and then kept; None where there is nothing to read."""
    if name not in memory:
        try:
            found = read()
        except BadRecord:  # whoever needs the record itself will say so
            return None
        if found is None:
            return None
        memory[name] = found
        if len(memory) > _KEPT:
            memory.popitem(last=False)
    return memory[name]
