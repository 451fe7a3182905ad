"""From what is known of a study and of an installation to what the study will cost. Pure arithmetic on contracts.

A worker holds its cores for as long as a step takes: core-seconds are seconds times threads. Of measured rates the
seconds are a worker's; of the laws of the metrics they are one core's, and threads share them out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass
from typing import NamedTuple

from embedder.costs import bytes_of_vectors, loading_seconds
from scorer.costs import Shape, bytes_of_score, bytes_of_table, seconds_of, seconds_of_search, seeks_neighbours
from scorer.search.grid import PRODUCTS, cut
from shared.contracts import EmbeddingSpec, Scoring, Study
from shared.plans import Basis, MetricPlan, PairsPlan, PassPlan, StudyPlan

STEP_SECONDS = 0.05
"""Of queue, lease and store, around each step of work."""
Pair = tuple[int, int]


class Rate(NamedTuple):
    """Seconds of one embedder for one object, through all layers of a pass, and how they are known."""

    seconds: float
    basis: Basis


class Speed(NamedTuple):
    """10^9 operations of a network in a second on one embedder, and where that is from."""

    gflops: float
    source: str


class Correction(NamedTuple):
    """By what the laws of the metrics are multiplied here, and how many scores say so; of none, a core's speed does."""

    factor: float
    scores: int


class Crew(NamedTuple):
    """So many workers, and threads of each."""

    embedders: int
    scorers: int
    threads: int


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a study.

    whole: digests of its embeddings that are there. scored: its pairs that have their score. tables: places of
    embeddings whose neighbours were searched for. dimensions: of each embedding. rates, read: of each of its passes;
    read: bytes of its rows in the source, None where nobody knows. products: of a step of a search that is cut.
    """

    study: Study
    crew: Crew
    whole: Set[str]
    scored: Set[Pair]
    tables: Set[int]
    dimensions: Sequence[int]
    rates: Sequence[Rate]
    read: Sequence[int | None]
    speed: Speed
    correction: Correction
    products: int = PRODUCTS


class _Search(NamedTuple):
    """One search: its seconds on a core, those within the step of a pair, those of a tile, and steps of its own.

    A search that is too large for the step of a pair is cut into tiles, a strip for each row of them, and a table.
    """

    seconds: float
    within: float
    tile: float
    steps: int

    @classmethod
    def of(cls, objects: int, dimension: int, k: int, products: int) -> _Search:
        """The search for k neighbours of so many vectors."""
        seconds, blocks = seconds_of_search(objects, dimension), cut(objects, dimension, k, products).blocks
        if blocks == 1:
            return cls(seconds, seconds, 0.0, 0)
        return cls(seconds, 0.0, seconds / blocks**2, blocks**2 + blocks + 1)


def cost(facts: Facts) -> StudyPlan:
    """The plan of a study."""
    study, crew = facts.study, facts.crew
    places = {spec.digest: place for place, spec in enumerate(study.embeddings)}
    passes = [
        _cost_pass(layers, facts, rate, read, facts.dimensions[places[layers[-1].digest]])
        for layers, rate, read in zip(study.passes, facts.rates, facts.read, strict=True)
    ]
    searched = set(facts.tables)
    scores = [_cost_pairs(pairs, facts, searched) for pairs in _groups(study)]
    embedding = _elapse(((one.seconds, one.seconds / max(1, one.parts)) for one in passes), crew.embedders)
    scoring = _elapse(((one.seconds, one.longest) for one in scores), crew.scorers)
    read = [one.bytes_read for one in passes]
    return StudyPlan(
        study=study.id,
        title=study.title,
        simulated=any(spec.dataset.simulated for spec in study.embeddings),
        **crew._asdict(),
        jobs=len(study.embeddings),
        jobs_done=len(facts.whole),
        rows=sum(one.rows for one in passes),
        pairs=len(study.pairs),
        pairs_done=len(facts.scored),
        passes=passes,
        scores=scores,
        embedding_seconds=embedding,
        scoring_seconds=scoring,
        seconds_least=max(embedding, scoring),
        seconds_most=embedding + scoring,
        core_hours=(sum(one.core_seconds for one in passes) + sum(one.core_seconds for one in scores)) / 3600,
        bytes_read=None if None in read else sum(filter(None, read)),
        bytes_written=sum(one.bytes_written for one in passes) + sum(one.bytes_written for one in scores),
        rate=facts.speed.gflops,
        rate_from=facts.speed.source,
        scores_measured=facts.correction.scores,
    )


def _cost_pass(layers: Sequence[EmbeddingSpec], facts: Facts, rate: Rate, read: int | None, dimension: int) -> PassPlan:
    lead, crew = layers[0], facts.crew
    missing = sum(spec.digest not in facts.whole for spec in layers)
    rows, parts = (lead.dataset.rows, lead.parts()) if missing else (0, 0)
    seconds = rows * rate.seconds + parts * STEP_SECONDS
    seconds += min(parts, crew.embedders) * loading_seconds(lead)
    return PassPlan(
        dataset=lead.dataset.name,
        modality=lead.modality.name,
        model=lead.model.name,
        dtype=lead.dtype,
        jobs=len(layers),
        jobs_done=len(layers) - missing,
        rows=rows,
        parts=parts,
        dimension=dimension,
        seconds=seconds,
        core_seconds=seconds * crew.threads,
        bytes_read=read if missing else 0,
        bytes_written=missing * bytes_of_vectors(rows, dimension, parts),
        basis=rate.basis if missing else "nothing to do",
    )


def _cost_pairs(pairs: Sequence[Pair], facts: Facts, searched: set[int]) -> PairsPlan:
    """What these pairs cost, of one dataset and one scoring. searched: places whose neighbours are paid for; filled."""
    study, crew = facts.study, facts.crew
    probes = _is_probe(pairs[0], study)
    scoring = study.scoring_of_probes if probes else study.scoring_of_pairs
    dataset = study.embeddings[pairs[0][0]].dataset
    missing = [pair for pair in pairs if pair not in facts.scored]
    shapes = Counter(_shape_of(pair, facts, scoring) for pair in missing)
    metrics = {
        name: sum(count * seconds_of(name, shape) for shape, count in shapes.items()) for name in scoring.metrics
    }
    searches = _searches(missing, facts, scoring, searched)
    searching = [_Search.of(dataset.rows, dimension, scoring.largest_k, facts.products) for dimension in searches]
    search_seconds = sum(search.seconds for search in searching)
    spread = facts.correction.factor / crew.threads  # from seconds of a core of the laws to those of a scorer
    steps = len(missing) + sum(search.steps for search in searching)
    seconds = spread * (sum(metrics.values()) + search_seconds) + steps * STEP_SECONDS
    longest = max((sum(seconds_of(name, shape) for name in scoring.metrics) for shape in shapes), default=0.0)
    longest += 2 * max((search.within for search in searching), default=0.0)
    longest = max([longest, *(search.tile for search in searching)])
    sides = sum(facts.dimensions[place] for pair in missing for place in pair)
    return PairsPlan(
        dataset=dataset.name,
        what="probes" if probes else "pairs",
        pairs=len(pairs),
        pairs_done=len(pairs) - len(missing),
        objects=dataset.rows,
        searches=len(searches),
        seconds=seconds,
        core_seconds=seconds * crew.threads,
        longest=spread * longest + STEP_SECONDS if missing else 0.0,
        search_seconds=spread * search_seconds,
        metrics=[MetricPlan(metric=name, seconds=spread * each) for name, each in metrics.items()],
        bytes_read=bytes_of_vectors(dataset.rows, sides, 0),
        bytes_written=len(searches) * bytes_of_table(dataset.rows, scoring.largest_k)
        + sum(count * bytes_of_score(shape) for shape, count in shapes.items()),
        basis="measured" if facts.correction.scores else "estimated",
    )


def _searches(missing: Sequence[Pair], facts: Facts, scoring: Scoring, searched: set[int]) -> list[int]:
    """The lengths of the vectors of each search for neighbours: one for every embedding, whatever pairs it is in.

    Of a probe the objects are those whose label is known, other ones for each label: so each has a search of its own.
    """
    if not seeks_neighbours(scoring.metrics):
        return []
    embeddings = facts.study.embeddings
    sides = [place for pair in missing for place in pair if embeddings[place].modality.kind != "label"]
    if missing and _is_probe(missing[0], facts.study):
        return [facts.dimensions[place] for place in sides]
    wanted = set(sides) - searched
    searched |= wanted
    return [facts.dimensions[place] for place in sorted(wanted)]


def _shape_of(pair: Pair, facts: Facts, scoring: Scoring) -> Shape:
    embeddings = facts.study.embeddings
    left, right = (1 if embeddings[place].modality.kind == "label" else facts.dimensions[place] for place in pair)
    return Shape(embeddings[pair[0]].dataset.rows, max(left, right), min(left, right), scoring)


def _groups(study: Study) -> list[list[Pair]]:
    """The pairs of each dataset, and those of its embeddings with labels, in the order in which these first come."""
    found: dict[tuple[str, bool], list[Pair]] = {}
    for pair in study.pairs:
        found.setdefault((study.embeddings[pair[0]].dataset.digest, _is_probe(pair, study)), []).append(pair)
    return list(found.values())


def _is_probe(pair: Pair, study: Study) -> bool:
    return any(study.embeddings[place].modality.kind == "label" for place in pair)


def _elapse(work: Iterable[tuple[float, float]], workers: int) -> float:
    """Seconds that some workers need for all of it, each piece of work being (all its seconds, its longest step)."""
    pieces = list(work)
    return max(sum(seconds for seconds, _ in pieces) / workers, max((longest for _, longest in pieces), default=0.0))
