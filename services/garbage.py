"""What the object store holds that nothing names any more, and its removal.

Garbage is: of a whole embedding, parts that its manifest does not name; of an embedding that only cancelled studies
want, all parts; of any other unfinished embedding, vectors without a receipt, once they are old; a score's values
without their record, once nobody works on it; neighbour tables of embeddings that are not whole, and what is left of
large searches whose table is there, or that nobody wants. Results, failures and studies are never garbage. Keys that
are none of ours are left alone.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from scorer.search.records import read_search
from services.board import Board
from services.failures import worker_name
from services.leases import Lease, manifest_step_id, token_time
from services.ledger import Ledger
from shared import keys
from shared.errors import BadRecord
from shared.outcomes import Manifest
from shared.records import read_record
from shared.store import ObjectStore

_OLD_SECONDS = 24 * 3600


class Garbage:
    """Finds and removes garbage. old: seconds after which vectors without a receipt are taken for abandoned."""

    def __init__(self, store: ObjectStore, ledger: Ledger, board: Board, *, old: float = _OLD_SECONDS) -> None:
        self._store, self._ledger, self._board, self._old = store, ledger, board, old

    def find(self) -> list[str]:
        """The keys of all garbage, in order. Raises BrokerUnavailable: without Redis nobody knows what is worked on."""
        self._ledger.keep_up(self._board)
        self._ledger.refresh()
        whole: set[str] = set()
        given_up = self._given_up()
        found: list[str] = []
        for prefix, inside in self._by_embedding().items():
            if any(map(keys.is_manifest, inside)):
                whole.add(keys.embedding_digest(prefix))
            found += self._of_embedding(prefix, inside, given_up)
        found += self._values_without_score()
        found += [key for key in self._store.keys(keys.JOINS) if (sides := keys.joined(key)) and not whole >= {*sides}]
        found += self._of_neighbours(list(self._store.keys(keys.NEIGHBOURS)), whole, given_up)
        return sorted(found)

    def remove(self) -> list[str]:
        """Remove all garbage; the keys that were removed, in order.

        What came into use since it was found stays: an embedding is looked at again while nobody else can declare it
        whole, and a score while nobody else can make it. What is worked on at this moment is left for another time.
        """
        found = self.find()
        given_up = self._given_up()
        by_prefix: dict[str | None, list[str]] = {}
        for key in found:
            by_prefix.setdefault(keys.embedding_prefix_of(key), []).append(key)
        removed: list[str] = []
        for key in by_prefix.pop(None, []):
            removed += self._remove_single(key)
        for prefix, inside in by_prefix.items():
            if prefix is not None:
                removed += self._remove_of_embedding(prefix, inside, given_up)
        return sorted(removed)

    def _remove_of_embedding(self, prefix: str, found: list[str], given_up: set[str]) -> list[str]:
        step = manifest_step_id(keys.embedding_digest(prefix))
        with self._board.leases.lease(step, worker_name()) as lease:
            if lease is None:
                return []
            still = set(self._of_embedding(prefix, list(self._store.keys(prefix)), given_up))
            return [key for key in found if key in still and self._delete(key, lease)]

    def _remove_single(self, key: str) -> list[str]:
        score = keys.score_of_values(key)
        if score is None:  # a neighbour table, or of a search for one, which whoever needs it makes again
            self._store.delete(key)
            return [key]
        with self._board.leases.lease(score, worker_name()) as lease:
            if lease is None or self._store.exists(keys.record_beside(key)):
                return []
            return [key] if self._delete(key, lease) else []

    def _delete(self, key: str, lease: Lease) -> bool:
        lease.check()
        self._store.delete(key)
        return True

    def _by_embedding(self) -> dict[str, list[str]]:
        """The keys under each embedding's prefix."""
        gathered: dict[str, list[str]] = {}
        for key in self._store.keys(keys.EMBEDDINGS):
            prefix = keys.embedding_prefix_of(key)
            if prefix is not None:
                gathered.setdefault(prefix, []).append(key)
        return gathered

    def _of_embedding(self, prefix: str, inside: list[str], given_up: set[str]) -> list[str]:
        parts = [key for key in inside if keys.is_of_attempt(key)]
        if any(map(keys.is_manifest, inside)):
            return list(self._of_whole(prefix, parts))
        return parts if keys.embedding_digest(prefix) in given_up else list(self._of_unfinished(parts))

    def _of_whole(self, prefix: str, parts: list[str]) -> Iterator[str]:
        try:
            manifest = read_record(self._store, f"{prefix}manifest.json", Manifest)
        except BadRecord:
            return  # a retry takes it back; until then nobody can say what it names
        if manifest is None:
            return  # a retry has just taken it back: its sound parts will be named again
        named = {part.key for part in manifest.parts}
        named |= {keys.receipt_beside(key) for key in named}
        yield from (key for key in parts if key not in named)

    def _of_unfinished(self, attempts: list[str]) -> Iterator[str]:
        receipts = {key for key in attempts if keys.receipt_index(key) is not None}
        for key in attempts:
            if key not in receipts and keys.receipt_beside(key) not in receipts and self._is_old(key):
                yield key

    def _is_old(self, key: str) -> bool:
        """Whether the attempt that wrote `key` began long ago: its name begins with its token, which is a time."""
        token = keys.attempt_of(key).partition("-")[0]
        return not token.isdecimal() or time.time() - token_time(int(token)) > self._old

    def _given_up(self) -> set[str]:
        """Digests of embeddings that only cancelled studies want."""
        cancelled: set[str] = set()
        wanted: set[str] = set()
        for study_id in self._ledger.study_ids():
            digests = {spec.digest for spec in self._ledger.study(study_id).embeddings}
            (cancelled if self._ledger.cancelled(study_id) else wanted).update(digests)
        return cancelled - wanted

    def _of_neighbours(self, stored: list[str], whole: set[str], given_up: set[str]) -> Iterator[str]:
        """Tables of embeddings that are not whole, and what is left of searches that are over or were given up."""
        by_table: dict[str, list[str]] = {}
        for key in stored:
            prefix = keys.neighbours_prefix_of(key)
            if prefix is not None:
                by_table.setdefault(prefix, []).append(key)
        for prefix, inside in by_table.items():
            embedding, of_search = keys.embedding_of_prefix(prefix), [k for k in inside if not keys.is_neighbours(k)]
            if embedding not in whole:
                yield from inside
            elif len(of_search) < len(inside) or embedding in given_up:
                yield from of_search
            elif of_search:
                search = read_search(self._store, prefix)
                yield from (key for key in of_search if keys.search_of(key) not in (None, search and search.digest))

    def _values_without_score(self) -> list[str]:
        there = list(self._store.keys(keys.SCORES))
        records = {key for key in there if keys.is_score(key)}
        lonely = {
            key: score
            for key in there
            if (score := keys.score_of_values(key)) and keys.record_beside(key) not in records
        }
        running = self._board.running(lonely.values())
        return [key for key, score in lonely.items() if score not in running]
