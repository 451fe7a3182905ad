"""Edges that two neighbour graphs have in common, however one of them is relabelled: what every metric here counts.

Imports numpy only. A permutation is a relabelling of a table, never a new search: p `(n,)` gives object i of the left
the place of object p[i] on the right, and the identity gives what is observed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from itertools import islice
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from scorer.comparison import Neighbours

Table = npt.NDArray[np.int32]
Rows = npt.NDArray[np.int64]
Labels = npt.NDArray[np.integer]

_BLOCK = 1 << 17  # numbers compared at a time: they fit the processor's cache
_TOGETHER = 8  # relabellings that are counted side by side: an object's labels in all of them are fetched at once
_PIECE = 1 << 22  # the same where ranks are looked up: seldom many, but where two graphs are alike it is all of them


class SharedEdges(NamedTuple):
    """Edges that both graphs have, m of them, in an order that means nothing: `(m,)` each.

    left_objects, right_objects: the object an edge starts from, as either side labels it. left_ranks, right_ranks: the
    place of its end among the neighbours of that object on either side, 0 for the nearest.
    """

    left_objects: Rows
    right_objects: Rows
    left_ranks: Rows
    right_ranks: Rows


class _Graph(NamedTuple):
    """Edges in columns: column c has those from `starts[c]` to all of `ends[:, c]`, filled up with what is no label."""

    starts: Rows
    ends: Labels


def tables_of(left: Neighbours, right: Neighbours) -> tuple[Table, Table]:
    """Both tables. Raises ValueError when they are not of the same objects in the same order, or not of the same k."""
    if left.object_ids != right.object_ids or left.k != right.k:
        raise ValueError("neighbour tables of the same objects, in the same order, with the same k are needed")
    return left.table, right.table


def identity(n: int) -> Rows:
    """The permutation that leaves n objects as they are."""
    return np.arange(n, dtype=np.int64)


def shared_edges(left: Table, right: Table, permutations: Iterable[Rows]) -> Iterator[SharedEdges]:
    """For each permutation the edges (i, j) of the left graph for which (p[i], p[j]) is an edge of the right one.

    left, right: neighbour tables `(n, k)` of the same objects.
    """
    graph = _Graph(identity(len(right)), np.ascontiguousarray(right.T).astype(_label_type(len(right))))
    ours = np.ascontiguousarray(left.T).astype(np.int64)
    return (_match(ours, graph, p) for p in permutations)


def count_shared_edges(left: Table, right: Table, permutations: Iterable[Rows], threads: int = 1) -> Rows:
    """How many edges `shared_edges` finds for each permutation, and nothing else of them: `(K,)`.

    left, right: as there. No more than 2 threads x 8 permutations are held at a time.
    """
    theirs: Labels = np.ascontiguousarray(right.T).astype(_label_type(len(right)))
    count = partial(_count_together, np.ascontiguousarray(left.T).astype(np.int64), theirs)
    waiting = iter(permutations)
    counts: list[Rows] = []
    under_way: list[Future[Rows]] = []
    with ThreadPoolExecutor(threads) as pool:
        while together := [batch for _ in range(threads) if (batch := list(islice(waiting, _TOGETHER)))]:
            begun = [pool.submit(count, batch) for batch in together]
            counts += [future.result() for future in under_way]  # while the next are counted, more are drawn
            under_way = begun
        counts += [future.result() for future in under_way]
    return np.concatenate(counts) if counts else np.zeros(0, dtype=np.int64)


def _count_together(left: Rows, right: Labels, permutations: Sequence[Rows]) -> Rows:
    """The counts of a few permutations; left, right: `(k, n)`, tables on their sides.

    In what follows a column is an object of the left in one of the relabellings.
    """
    places, count = np.stack(permutations, axis=1), len(permutations)
    labels = places.astype(right.dtype)
    width = max(1, _BLOCK // (len(left) * count))
    counts = np.zeros(count, dtype=np.int64)
    for rows in (slice(first, first + width) for first in range(0, len(places), width)):
        # no index is out of range: to clip them is faster than to make sure (numpy 2.4)
        ours = labels.take(left[:, rows], axis=0, mode="clip").reshape(len(left), -1)
        theirs = right.take(places[rows].reshape(-1), axis=1, mode="clip")
        counts += np.bincount(np.flatnonzero(_among(ours, theirs)) % count, minlength=count)
    return counts


def _among(ours: Labels, theirs: Labels) -> npt.NDArray[np.bool_]:
    """Which of theirs `(k, m)` stand in the same column of ours `(k, m)`."""
    shared: npt.NDArray[np.bool_] = ours[0] == theirs
    equal = np.empty_like(shared)
    for ends in ours[1:]:
        # no neighbour is named twice: each of theirs is one of ours at most
        np.logical_or(shared, np.equal(ends, theirs, out=equal), out=shared)
    return shared


def cycles(left: Table, right: Table, permutations: Iterable[Rows]) -> Iterator[tuple[Rows, Rows]]:
    """For each permutation the edges (i, j) of the left graph for which the right one has the way back, (p[j], p[i]).

    Gives the i as the left labels them, and the p[j]: `(m,)` each. left, right: tables as in `shared_edges`.
    """
    graph = _turn(right)
    ours = np.ascontiguousarray(left.T).astype(np.int64)
    for p in permutations:
        starts, columns, _, places = _match(ours, graph, p)
        yield starts, graph.ends[places, columns].astype(np.int64)


def _match(left: Rows, right: _Graph, p: Rows) -> SharedEdges:
    """What is shared when p relabels; of the right, columns for objects. left: `(k, n)`, a table on its side.

    All of a column is compared with all of the other: at the k in use that is faster than to look edges up.
    """
    relabelled = p.astype(right.ends.dtype).take(left)
    there = np.empty_like(p)
    there[p] = identity(len(p))
    width = max(1, _BLOCK // len(left))
    blocks = (slice(first, first + width) for first in range(0, len(right.starts), width))
    found = [
        _match_block(relabelled, there[right.starts[block]], right.ends[:, block], block.start) for block in blocks
    ]
    return found[0] if len(found) == 1 else SharedEdges(*map(np.concatenate, zip(*found, strict=True)))


def _match_block(relabelled: Labels, objects: Rows, theirs: Labels, first: int) -> SharedEdges:
    """What is shared in columns of the right, `theirs`, from `first` on, whose starts are these objects of the left."""
    ours = relabelled.take(objects, axis=1)
    places, columns = np.divmod(np.flatnonzero(_among(ours, theirs)), len(objects))
    ranks = np.empty_like(places)
    step = max(1, _PIECE // len(ours))
    for piece in (slice(start, start + step) for start in range(0, len(places), step)):
        ends = theirs[places[piece], columns[piece]]
        ranks[piece] = (ours.take(columns[piece], axis=1) == ends).argmax(axis=0)
    return SharedEdges(objects[columns], columns + first, ranks, places)


def _turn(table: Table) -> _Graph:
    """All edges of a table turned round: a hub has as many columns as it needs, and all of them are 2 n at most."""
    n, k = table.shape
    order = np.argsort(table, axis=None, kind="stable")
    degrees = np.bincount(table.reshape(-1), minlength=n)
    widths = -(-degrees // k)
    place = identity(n * k) - np.repeat(np.cumsum(degrees) - degrees, degrees)
    columns = np.repeat(np.cumsum(widths) - widths, degrees) + place // k
    labels = _label_type(n)
    ends = np.full((k, int(widths.sum())), np.iinfo(labels).max, dtype=labels)
    ends[place % k, columns] = order // k
    return _Graph(np.repeat(identity(n), widths), ends)


def _label_type(n: int) -> type[np.uint16] | type[np.int32]:
    """Of labels 0 to n - 1, and of one number more, which is none: half as wide is compared twice as fast."""
    return np.uint16 if n <= np.iinfo(np.uint16).max else np.int32
