"""The first step of large searches: which objects a pair shares, and how the search of each side is cut.

Imports FAISS, through the neighbour search.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from scorer.directions import one_direction, point_apart, zero_vector
from scorer.neighbours import SEARCH_VERSION
from scorer.pairing import id_set_digest
from scorer.search.grid import PRODUCTS, cut, is_large
from scorer.search.places import Rows, read_rows, write_places
from scorer.search.records import Join, Search, read_search, sides_searched
from scorer.shelf import Shelf
from scorer.whole import read_whole, share
from shared import keys
from shared.contracts import ScoreSpec
from shared.embeddings import read_parts
from shared.outcomes import Manifest
from shared.records import sha256_of
from shared.store import ObjectStore


class _Side(NamedTuple):
    """One embedding. rows: where the shared objects stand in it, in the order of their sorted ids."""

    manifest: Manifest
    sha256: str
    rows: Rows


def plan_searches(
    spec: ScoreSpec, *, store: ObjectStore, before_commit: Callable[[], None], products: int = PRODUCTS
) -> Join:
    """Plan those searches of a pair that are large, and store what its sides share: the join, last.

    A search that is planned, or whose table is there, is left as it is. products: of one step (`grid.cut`).
    before_commit: asked before anything is stored at a key that others read. Reads the ids of both sides, and the
    vectors of a side that is to be searched, part by part. Raises NotReady while an embedding is not whole,
    ZeroVector, DegenerateEmbedding, and what the store has lost or altered.
    """
    shelf = Shelf.of_nothing()
    left, right = (read_whole(store, side, shelf) for side in (spec.pair.left, spec.pair.right))
    overlap = share(left, right, at_least=0, shelf=shelf)
    sides = (
        _Side(left.manifest, left.sha256, overlap.left_rows),
        _Side(right.manifest, right.sha256, overlap.right_rows),
    )
    ids = overlap.object_ids
    found = Join(left=left.sha256, right=right.sha256, objects=len(ids), id_set=id_set_digest(ids))
    k, wanted = spec.scoring.largest_k, {side.digest for side in sides_searched(spec)}
    for side in sides:
        if side.manifest.spec.digest in wanted and is_large(len(ids), side.manifest.dimension, k, products):
            _plan(store, side, ids, found.id_set, k=k, products=products, before_commit=before_commit)
    before_commit()
    store.put(keys.join(spec.pair), found.to_json())
    return found


def _plan(
    store: ObjectStore,
    side: _Side,
    object_ids: tuple[str, ...],
    id_set: str,
    *,
    k: int,
    products: int,
    before_commit: Callable[[], None],
) -> None:
    embedding, dimension = side.manifest.spec, side.manifest.dimension
    prefix = keys.neighbours_prefix(embedding.digest, id_set, k)
    if store.exists(keys.neighbours(embedding.digest, id_set, k)) or _is_planned(store, prefix, side.sha256):
        return
    _check_directions(store, side, object_ids)
    places = write_places(object_ids, side.rows)
    search = Search(
        embedding=embedding,
        manifest=side.sha256,
        objects=len(object_ids),
        id_set=id_set,
        dimension=dimension,
        k=k,
        search_version=SEARCH_VERSION,
        block=cut(len(object_ids), dimension, k, products).block,
        places=sha256_of(places),
    )
    before_commit()
    store.put(keys.search_places(prefix, search.digest), places)
    store.put(keys.search_record(prefix), search.to_json())


def _is_planned(store: ObjectStore, prefix: str, manifest: str) -> bool:
    search = read_search(store, prefix)
    return (
        search is not None
        and (search.manifest, search.search_version) == (manifest, SEARCH_VERSION)
        and store.exists(keys.search_places(prefix, search.digest))
    )


def _check_directions(store: ObjectStore, side: _Side, object_ids: tuple[str, ...]) -> None:
    """Refuse what `nearest` would refuse, and an embedding of one direction: before the first of many steps."""
    row_of = np.full(side.manifest.rows, -1, dtype=np.int64)
    row_of[side.rows] = np.arange(len(side.rows))
    first = read_rows(store, side.manifest, side.rows[:1]).matrix[0]
    zeros, apart, at = list[int](), not first.any(), 0
    for part in read_parts(store, side.manifest):
        rows = row_of[at : at + len(part)]
        matrix, rows, at = part.matrix[rows >= 0], rows[rows >= 0], at + len(part)
        zeros += rows[~matrix.any(axis=1)].tolist()
        apart = apart or bool(zeros) or point_apart(first, matrix)
    if zeros:
        raise zero_vector(object_ids[min(zeros)], len(zeros))
    if not apart:
        raise one_direction(side.manifest.spec.label)
