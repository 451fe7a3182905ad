"""Which large searches come before a score: what the store says of them, and which of their steps are missing.

Imports no FAISS. Of pairs whose searches fit one step it asks nothing: sizes alone tell.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from scorer.search.grid import PRODUCTS, Step, is_large
from scorer.search.records import Join, Search, done_steps, read_join, read_search, sides_searched
from shared import keys
from shared.contracts import ScoreSpec
from shared.store import ObjectStore

if TYPE_CHECKING:
    from services.ledger import Whole

_REMEMBERED = 20_000
N = TypeVar("N")
R = TypeVar("R")
List = Callable[[str], Mapping[str, str]]
"""Gives the keys under a prefix, which may be remembered for a moment."""


class Look(NamedTuple):
    """What comes before a score. planned: whether its searches are planned, or it has none that is large.

    steps: those that are missing and can be done now, by search; a search without any is still waited for.
    """

    planned: bool = True
    steps: Mapping[Search, tuple[Step, ...]] = {}

    @property
    def ready(self) -> bool:
        """Whether nothing comes before the score."""
        return self.planned and not self.steps


class Searches:
    """Reads joins and searches from the store, and remembers them."""

    def __init__(self, store: ObjectStore, list_keys: List) -> None:
        self._store, self._list = store, list_keys
        self.forget()

    def forget(self) -> None:
        """Forget all that was remembered."""
        self._joins: dict[str, Join] = {}
        self._searches: dict[str, Search] = {}
        self._missing: dict[Search, tuple[Mapping[str, str], tuple[Step, ...]]] = {}

    def look(self, spec: ScoreSpec, left: Whole, right: Whole, products: int = PRODUCTS) -> Look:
        """What comes before a score of two whole embeddings. products: of one step."""
        k, wholes = spec.scoring.largest_k, {spec.pair.left.digest: left, spec.pair.right.digest: right}
        most = min(left.rows, right.rows)
        if not any(is_large(most, whole.dimension, k, products) for whole in (left, right)):
            return Look()
        sides = [side for side in sides_searched(spec) if is_large(most, wholes[side.digest].dimension, k, products)]
        join = self.join(spec, left, right) if sides else None
        if join is None:
            return Look(planned=not sides)
        steps: dict[Search, tuple[Step, ...]] = {}
        for side in sides:
            whole = wholes[side.digest]
            if is_large(join.objects, whole.dimension, k, products):
                prefix = keys.neighbours_prefix(side.digest, join.id_set, k)
                stored = self._list(prefix)
                if keys.neighbours(side.digest, join.id_set, k) in stored:
                    continue
                search = self._search(prefix, stored, whole)
                if search is None:
                    return Look(planned=False)
                steps[search] = self._missing_steps(search, stored)
        return Look(steps=steps)

    def _missing_steps(self, search: Search, stored: Mapping[str, str]) -> tuple[Step, ...]:
        """The steps that can be done now; found once for all scores that ask while the list is the same."""
        known = self._missing.get(search)
        if known is None or known[0] is not stored:
            known = stored, tuple(search.grid.missing(done_steps(search, stored)))
            _remember(self._missing, search, known)
        return known[1]

    def join(self, spec: ScoreSpec, left: Whole, right: Whole) -> Join | None:
        """What the two embeddings share, where large searches made somebody look; None for all others."""
        key = keys.join(spec.pair)
        if key not in self._list(keys.of_dataset(keys.JOINS, spec.pair.left.dataset.name)):
            return None
        found = self._joins.get(key)
        if found is None or (found.left, found.right) != (left.sha256, right.sha256):
            found = read_join(self._store, spec.pair)
            if found is None or (found.left, found.right) != (left.sha256, right.sha256):
                return None
            _remember(self._joins, key, found)
        return found

    def known(self, dataset: str) -> bool:
        """Whether any pair of a dataset has large searches, as far as somebody looked."""
        return bool(self._list(keys.of_dataset(keys.JOINS, dataset)))

    def begun(self, spec: ScoreSpec, left: Whole, right: Whole) -> list[Search] | None:
        """The searches that a score waits for, as far as they are planned; None while nobody has looked."""
        join = self.join(spec, left, right)
        if join is None:
            return None
        found: list[Search] = []
        for side in sides_searched(spec):
            prefix = keys.neighbours_prefix(side.digest, join.id_set, spec.scoring.largest_k)
            search = self._search(prefix, self._list(prefix), left if side == spec.pair.left else right)
            found += [search] if search else []
        return found

    def _search(self, prefix: str, stored: Mapping[str, str], whole: Whole) -> Search | None:
        if keys.search_record(prefix) not in stored:
            return None
        found = self._searches.get(prefix)
        if found is None or keys.search_places(prefix, found.digest) not in stored or found.manifest != whole.sha256:
            found = read_search(self._store, prefix)
            if found is None or found.manifest != whole.sha256:
                return None
            _remember(self._searches, prefix, found)
        return found


def _remember(memory: dict[N, R], name: N, value: R) -> None:
    memory[name] = value
    if len(memory) > _REMEMBERED:
        memory.pop(next(iter(memory)))
