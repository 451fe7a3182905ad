"""Gathers what is known of a study before it runs, and has it costed. Nothing is stored, and nothing is sent.

What the store has already costs nothing. A job under way counts whole, and so do objects that will be left out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from embedder.costs import dimension_of
from embedder.sources.sizes import bytes_of_rows
from services.costing import Crew, Facts, Pair, cost
from services.ledger import Ledger
from services.rates import Known, Rates, assumed_speed, estimate
from shared import keys
from shared.contracts import EmbeddingSpec, Study
from shared.modalities import GIVEN
from shared.plans import StudyPlan
from shared.settings import Settings


class Planner:
    """Plans studies of one installation."""

    def __init__(self, ledger: Ledger, settings: Settings) -> None:
        self._ledger, self._settings = ledger, settings
        self._rates = Rates(ledger)

    def plan(self, study: Study, others: Sequence[Study], crew: Crew) -> StudyPlan:
        """The plan of a study, accepted or not. others: studies whose records tell how fast this installation is.

        Raises what reading the store raises.
        """
        whole, (known, measured) = self._ledger.whole_of(study), self._rates.look([study, *others])
        speed, scored = measured or assumed_speed(crew.threads), self._scored(study, whole)
        facts = Facts(
            study=study,
            crew=crew,
            whole=whole,
            scored=scored,
            tables=self._tables(study, whole, scored),
            dimensions=_dimensions(study, known),
            rates=[known.rate(layers[0]) or estimate(layers[0], speed) for layers in study.passes],
            read=self._read(study),
            speed=speed,
            correction=self._rates.correction([study, *others]),
            products=self._settings.search_products,
        )
        return cost(facts)

    def _read(self, study: Study) -> list[int | None]:
        """Bytes of the rows of each pass in its source."""
        seen: dict[str, list[EmbeddingSpec]] = defaultdict(list)
        for layers in study.passes:
            seen[layers[0].dataset.digest].append(layers[0])
        sizes = {
            home: bytes_of_rows(specs[0].dataset, [spec.modality for spec in specs], self._settings)
            for home, specs in seen.items()
        }
        return [sizes[layers[0].dataset.digest].get(layers[0].modality.digest) for layers in study.passes]

    def _scored(self, study: Study, whole: set[str]) -> set[Pair]:
        """Those pairs that have their score. Nothing is looked for but where both embeddings are whole."""
        there = [spec.digest in whole for spec in study.embeddings]
        ready = [(a, b) for a, b in study.pairs if there[a] and there[b]]
        found = {
            keys.score_digest(key)
            for name in {study.embeddings[a].dataset.name for a, _ in ready}
            for key in self._ledger.store.keys(keys.of_dataset(keys.SCORES, name))
            if keys.is_score(key)
        }
        return {pair for pair in ready if study.score(*pair).digest in found} if found else set()

    def _tables(self, study: Study, whole: set[str], scored: set[Pair]) -> set[int]:
        """Places of embeddings of which the store has a table of as many neighbours as pairs without a score need."""
        needed = {place for pair in study.pairs if pair not in scored for place in pair}
        return {place for place in needed if study.embeddings[place].digest in whole and self._has_table(study, place)}

    def _has_table(self, study: Study, place: int) -> bool:
        found = self._ledger.store.keys(keys.neighbours_of(study.embeddings[place].digest))
        return any(keys.is_table(key, study.scoring.largest_k) for key in found)


def _dimensions(study: Study, known: Known) -> list[int]:
    """Of each embedding: as stored of the same model and layer, or else by the catalogue."""
    found: dict[tuple[str, str], int] = {}
    for spec in study.embeddings:
        if spec.modality.kind not in GIVEN and (spec.model.name, spec.layer) not in found:
            found[spec.model.name, spec.layer] = known.dimension(spec) or dimension_of(spec)
    return [
        dimension_of(spec) if spec.modality.kind in GIVEN else found[spec.model.name, spec.layer]
        for spec in study.embeddings
    ]
