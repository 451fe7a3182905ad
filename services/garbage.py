"""What the object store holds that nothing names any more, and its removal.

Garbage is: of a whole embedding, parts that its manifest does not name; of an embedding that only cancelled studies
want, all parts; of any other unfinished embedding, vectors without a receipt, once they are old; per-object values
without their score, once nobody works on it; neighbour tables of embeddings that are not whole. Results, failures
and studies are never garbage. Keys that are none of ours are left alone.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from services.board import Board
from services.leases import token_time
from services.ledger import Ledger
from shared import keys
from shared.contracts import Manifest
from shared.errors import BadRecord
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
            digest = keys.embedding_digest(prefix)
            if any(map(keys.is_manifest, inside)):
                whole.add(digest)
                found += self._of_whole(prefix, inside)
            else:
                found += inside if digest in given_up else self._of_unfinished(inside)
        found += self._objects_without_score()
        found += [key for key in self._store.keys(keys.NEIGHBOURS) if keys.embedding_of_neighbours(key) not in whole]
        return sorted(found)

    def remove(self) -> list[str]:
        """Remove all garbage; the keys that were removed."""
        found = self.find()
        for key in found:
            self._store.delete(key)
        return found

    def _by_embedding(self) -> dict[str, list[str]]:
        """The keys under each embedding's prefix."""
        gathered: dict[str, list[str]] = {}
        for key in self._store.keys(keys.EMBEDDINGS):
            prefix = keys.embedding_prefix_of(key)
            if prefix is not None:
                gathered.setdefault(prefix, []).append(key)
        return gathered

    def _of_whole(self, prefix: str, inside: list[str]) -> Iterator[str]:
        try:
            manifest = read_record(self._store, f"{prefix}manifest.json", Manifest)
        except BadRecord:
            return  # a retry takes it back; until then nobody can say what it names
        named = {part.key for part in manifest.parts} if manifest else set()
        named |= {keys.receipt_beside(key) for key in named}
        yield from (key for key in inside if not keys.is_manifest(key) and key not in named)

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

    def _objects_without_score(self) -> list[str]:
        there = list(self._store.keys(keys.SCORES))
        scored = {keys.score_digest(key) for key in there if keys.is_score(key)}
        lonely = {key: keys.score_of_objects(key) for key in there if not keys.is_score(key)}
        lonely = {key: digest for key, digest in lonely.items() if digest not in scored}
        running = self._board.running(lonely.values())
        return [key for key, digest in lonely.items() if digest not in running]
