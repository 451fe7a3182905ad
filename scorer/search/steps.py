"""The steps of a large search, each done alone, in any order, by any worker, and as often as it is asked for.

Imports FAISS, through the neighbour search. A piece lies under its attempt's own key, so none is ever replaced; one
that is damaged is removed when it is read, and made again. What is found follows from the search, not from who does it.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence

import numpy as np
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from scorer.comparison import Neighbours
from scorer.neighbour_cache import Origin, write_table
from scorer.neighbours import SEARCH_VERSION, Found, nearest_among
from scorer.search.grid import Step
from scorer.search.merging import merge
from scorer.search.pieces import read_piece, write_piece
from scorer.search.places import Places, Rows, read_places
from scorer.search.records import Search, done_steps, read_search
from scorer.streams import open_stream
from shared import keys
from shared.embeddings import read_manifest_with_hash
from shared.errors import NotReady
from shared.outcomes import Manifest
from shared.records import read_bytes, sha256_of
from shared.store import ObjectStore

_log = logging.getLogger(__name__)


def do_step(
    search: Search,
    step: Step,
    *,
    store: ObjectStore,
    attempt: str,
    before_commit: Callable[[], None] = lambda: None,
    threads: int = 1,
) -> bool:
    """Do one step of a search, and store what it finds; whether there was anything to do.

    There is nothing when it is done, or when the search is planned otherwise by now.

    attempt: a name that no other start has. before_commit: asked when all is computed; what it raises keeps it out of
    the store. threads: for FAISS and BLAS; 0 means all cores. Raises NotReady when what the step needs is not there, or
    was not what it should be and was removed; and what the store has lost or altered of the embedding.
    """
    if store.exists(_table_key(search)) or read_search(store, search.prefix) != search:
        return False
    done = done_steps(search, store.keys(keys.search_prefix(search.prefix)))
    if step in done or Step(step.query) in done:
        return False
    manifest, places = _read_manifest(store, search), _read_places(store, search)
    with threadpool_limits(limits=threads or os.cpu_count() or 1):
        match step:
            case Step(None, _):
                _make_table(store, search, places, before_commit)
                return True
            case Step(int() as query, None):
                found = _merge(store, search, query)
            case Step(int() as query, int() as candidates):
                found = _tile(store, search, manifest, places, (query, candidates))
    before_commit()
    store.put(keys.search_piece(search.prefix, search.digest, attempt, step.name), write_piece(search, step, found))
    if step.candidates is None:
        _discard(store, search, search.grid.tiles(query))
    return True


def lots_of(search: Search) -> Rows:
    """The lots `(n,)` by which ties are settled, by row of the sorted ids: as for a search in one step."""
    return open_stream("ties", 0, search.embedding.digest, search.id_set).permutation(search.objects)


def _tile(store: ObjectStore, search: Search, manifest: Manifest, places: Places, blocks: tuple[int, int]) -> Found:
    """The best for one block of queries among one block of candidates, in rows of the sorted ids."""
    queries, ours = places.read(store, manifest, search.grid.rows(blocks[0]))
    if blocks[0] == blocks[1]:
        candidates, theirs, own = queries, ours, np.arange(len(ours))
    else:
        candidates, theirs = places.read(store, manifest, search.grid.rows(blocks[1]))
        own = np.full(len(ours), -1)
    found = nearest_among(queries.matrix, candidates.matrix, search.k, lot=lots_of(search)[theirs], own=own)
    there = len(theirs) - (blocks[0] == blocks[1])  # of each query: a small block has fewer than k
    return Found(found.similarities[:, :there], theirs[found.rows[:, :there]])


def _merge(store: ObjectStore, search: Search, query: int) -> Found:
    """The best for one block of queries among all, from its tiles."""
    lots, stored = lots_of(search), _pieces(store, search)
    first, *others = search.grid.tiles(query)
    best = _read_piece(store, search, first, stored)
    for tile in others:
        best = merge(best, _read_piece(store, search, tile, stored), search.k, lots)
    return best


def _make_table(store: ObjectStore, search: Search, places: Places, before_commit: Callable[[], None]) -> None:
    table, stored = np.empty((search.objects, search.k), dtype=np.int32), _pieces(store, search)
    for query in range(search.grid.blocks):
        table[places.order[search.grid.rows(query)]] = _read_piece(store, search, Step(query), stored).rows
    origin = Origin(
        embedding=search.embedding.digest,
        manifest=search.manifest,
        object_ids=tuple(places.object_ids.to_pylist()),
        k=search.k,
        search_version=search.search_version,
    )
    data = write_table(Neighbours(origin.object_ids, table), origin)
    before_commit()
    store.put(_table_key(search), data)
    for key in list(store.keys(keys.search_prefix(search.prefix))):
        store.delete(key)


def _read_manifest(store: ObjectStore, search: Search) -> Manifest:
    found = read_manifest_with_hash(store, search.embedding)
    if found is None or found[1] != search.manifest or search.search_version != SEARCH_VERSION:
        raise _again(store, search, f"{search.label} were to be found in an embedding that is not there now")
    return found[0]


def _read_places(store: ObjectStore, search: Search) -> Places:
    data = read_bytes(store, keys.search_places(search.prefix, search.digest))
    if data is None or sha256_of(data) != search.places:
        raise _again(store, search, f"the places of {search.label} are not those that were written")
    return read_places(data)


def _again(store: ObjectStore, search: Search, wrong: str) -> NotReady:
    """The error of a search that cannot go on, and is planned again."""
    store.delete(keys.search_record(search.prefix))
    return NotReady(wrong, "", "the search is planned again")


def _pieces(store: ObjectStore, search: Search) -> dict[str, str]:
    """The key of each piece by the name of its step: of several attempts, the last."""
    stored = ((keys.piece_of(key), key) for key in store.keys(keys.search_prefix(search.prefix)))
    return {piece[1]: key for piece, key in stored if piece and piece[0] == search.digest}


def _read_piece(store: ObjectStore, search: Search, step: Step, stored: dict[str, str]) -> Found:
    key = stored.get(step.name)
    data = read_bytes(store, key) if key else None
    if key is None or data is None:
        raise NotReady(f"{step.label} of {search.label} is not there", "a step that is done", "it is made again")
    try:
        return read_piece(data, search, step)
    except ValueError as error:
        _log.warning("%s will be made again: %s", key, error)
        store.delete(key)
        raise NotReady(f"{key} cannot be believed: {error}", "what was written", "it is made again") from error


def _discard(store: ObjectStore, search: Search, steps: Sequence[Step]) -> None:
    names = {step.name for step in steps}
    for key in list(store.keys(keys.search_prefix(search.prefix))):
        piece = keys.piece_of(key)
        if piece and piece[0] == search.digest and piece[1] in names:
            store.delete(key)


def _table_key(search: Search) -> str:
    return keys.neighbours(search.embedding.digest, search.id_set, search.k)
