"""How fast an installation is, by its own records: the seconds in manifests, and in scores. Loads no model library.

Records do not change, so what was read once is kept. Of many, the newest few are looked at.
"""

from __future__ import annotations

import itertools
import statistics
import time
from bisect import bisect_left
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterator, Sequence
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
from shared.outcomes import Manifest, Part, ScoreRecord

_MOST_PASSES, _MOST_SCORES, _MOST_MODELS = 4, 32, 8
_LEAST_SECONDS = 0.05  # a score that should take less tells more of the store than of the metrics
_KEPT = 4096
_SIDE = 768  # of the matrices whose product tells the speed of a core
T = TypeVar("T")
Pass = tuple[EmbeddingSpec, ...]


class Known:
    """Studies whose records may tell something, the nearest first."""

    def __init__(self, studies: Sequence[Study]) -> None:
        self.studies = studies
        self.passes: dict[tuple[str, ...], list[Pass]] = defaultdict(list)
        for study in studies:
            for layers in study.passes:
                self.passes[_how_computed(layers[0])].append(layers)

    def of(self, spec: EmbeddingSpec) -> list[Pass]:
        """The passes of a model, whatever it was shown."""
        return self.passes.get(_how_computed(spec), [])


class _Timed(NamedTuple):
    """A part: seconds of a pass for each of its objects, and how many objects these are."""

    seconds: float
    rows: int


class Rates:
    """What the records in the store tell."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._manifests: OrderedDict[str, Manifest] = OrderedDict()
        self._records: OrderedDict[str, ScoreRecord] = OrderedDict()

    def rate(self, spec: EmbeddingSpec, known: Known) -> Rate | None:
        """As measured: of the same modality of the same dataset, or else of any other; None where nobody has.

        It is the median over objects, so that a part that was disturbed tells little.
        """
        passes = known.of(spec)
        same = self._time([layers for layers in passes if _what_shown(layers[0]) == _what_shown(spec)])
        if same:
            return Rate(_median(same), "measured")
        others = self._time(passes)
        return Rate(_median(others), "measured on other data") if others else None

    def dimension(self, spec: EmbeddingSpec, known: Known) -> int | None:
        """The length of the vectors of this model at this layer, where the store has some."""
        layers = (layer for each in known.of(spec) for layer in each if layer.layer == spec.layer)
        manifests = (self._manifest(layer) for layer in islice(layers, 4 * _MOST_PASSES))
        return next((manifest.dimension for manifest in manifests if manifest), None)

    def speed(self, known: Known, threads: int) -> Speed:
        """The median over models that were measured; where there are none, what a product of matrices lets expect."""
        found: list[float] = []
        for passes in known.passes.values():
            work = work_of(passes[0][0])
            rate = self.rate(passes[0][0], known) if work.gflop and len(found) < _MOST_MODELS else None
            if rate and rate.seconds > work.preparing:
                found.append(work.gflop / (rate.seconds - work.preparing))
        if found:
            models = f"{len(found)} model{'s' if len(found) > 1 else ''}"
            return Speed(statistics.median(found), f"median of {models} measured in this installation")
        core = core_gflops()
        return Speed(
            SHARE_OF_PRODUCT * core * threads,
            f"{SHARE_OF_PRODUCT:g} of a product of matrices on the api's machine, {core:.0f} a core",
        )

    def correction(self, known: Known) -> Correction:
        """What scores took here over what the laws of their metrics say, by the sums of both."""
        pairs = list(islice((pair for study in known.studies for pair in self._scores(study)), _MOST_SCORES))
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

    def _time(self, passes: Sequence[Pass]) -> list[_Timed]:
        """The parts of the first few of these passes that are whole."""
        timed = (self._time_pass(layers) for layers in passes)
        return [part for parts in islice(filter(None, timed), _MOST_PASSES) for part in parts]

    def _time_pass(self, layers: Pass) -> list[_Timed]:
        parts: dict[int, list[Part]] = defaultdict(list)
        for manifest in filter(None, map(self._manifest, layers)):
            for part in manifest.parts:
                parts[part.index].append(part)
        return [_time_part(made) for made in parts.values()]

    def _manifest(self, spec: EmbeddingSpec) -> Manifest | None:
        if spec.digest not in self._manifests and self._ledger.whole(spec) is None:
            return None
        return _remember(self._manifests, spec.digest, lambda: read_manifest(self._ledger.store, spec))

    def _record(self, spec: ScoreSpec) -> ScoreRecord | None:
        return _remember(self._records, spec.digest, lambda: self._ledger.record(spec))


def estimate(spec: EmbeddingSpec, speed: Speed) -> Rate:
    """Of a model that nobody has measured: its operations at this speed, and what reading and preparing take."""
    work = work_of(spec)
    return Rate(work.gflop / speed.gflops + work.preparing, "estimated")


@lru_cache(maxsize=1)
def core_gflops() -> float:
    """10^9 operations a second of a product of single-precision matrices on one core of this machine.

    Measured once, in about 0.1 s; in CPU seconds, which neither other processes nor the number of threads change much.
    """
    matrix = np.random.default_rng(0).standard_normal((_SIDE, _SIDE), dtype=np.float32)
    taken = []
    for _ in range(5):
        began = time.process_time()
        np.dot(matrix, matrix)
        taken.append(time.process_time() - began)
    return 2e-9 * _SIDE**3 / max(min(taken), 1e-9)


def _time_part(made: Sequence[Part]) -> _Timed:
    """One part at all layers. A pass's seconds are shared out among its layers; layers made apart had a pass each."""
    rows, passes = made[0].stop - made[0].start, len({keys.attempt_of(part.key) for part in made})
    return _Timed(sum(part.seconds for part in made) / passes / rows, rows)


def _median(timed: Sequence[_Timed]) -> float:
    """The seconds at or below which half of all objects are."""
    ordered = sorted(timed)
    seen = list(itertools.accumulate(part.rows for part in ordered))
    return ordered[bisect_left(seen, seen[-1] / 2)].seconds


def _how_computed(spec: EmbeddingSpec) -> tuple[str, ...]:
    return spec.model.name, spec.model.adapter, spec.dtype


def _what_shown(spec: EmbeddingSpec) -> tuple[str, ...]:
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
