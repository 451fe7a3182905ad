"""Edges shared by two graphs, and cycles through both, are those of plain loops over sets."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scorer.neighbourhoods import shared_edges as edges_module
from scorer.neighbourhoods.edge_pairs import edge_pairs
from scorer.neighbourhoods.shared_edges import count_shared_edges, cycles, identity, shared_edges

Table = npt.NDArray[np.int32]


@st.composite
def two_tables(draw: st.DrawFn) -> tuple[Table, Table, npt.NDArray[np.int64]]:
    """Two graphs, with hubs, and a relabelling."""
    stream, n = np.random.default_rng(draw(st.integers(0, 2**32 - 1))), draw(st.integers(2, 24))
    k, hubs = draw(st.integers(1, n - 1)), draw(st.floats(0, 5))
    tables = []
    for _ in range(2):
        liking = stream.random((n, n)) + hubs * stream.random(n)
        np.fill_diagonal(liking, -np.inf)
        tables.append(np.argsort(-liking, axis=1)[:, :k].astype(np.int32))
    return tables[0], tables[1], draw(st.sampled_from([identity(n), stream.permutation(n)]))


def _plain_edges(left: Table, right: Table, p: npt.NDArray[np.int64]) -> list[tuple[int, int, int, int]]:
    return sorted(
        (i, int(p[i]), r, s)
        for i in range(len(left))
        for r, j in enumerate(left[i])
        for s, end in enumerate(right[p[i]])
        if p[j] == end
    )


def _check(left: Table, right: Table, p: npt.NDArray[np.int64]) -> None:
    first, again = shared_edges(left, right, [p, p])
    assert sorted(zip(*(part.tolist() for part in first), strict=True)) == _plain_edges(left, right, p)
    assert all(np.array_equal(one, other) for one, other in zip(first, again, strict=True))
    ((starts, ends),) = cycles(left, right, [p])
    plain = sorted((i, int(p[j])) for i in range(len(left)) for j in left[i] if p[i] in right[p[j]])
    assert sorted(zip(starts.tolist(), ends.tolist(), strict=True)) == plain


@given(two_tables())
@settings(max_examples=80, deadline=None)
def test_they_are_those_of_plain_loops(given_: tuple[Table, Table, npt.NDArray[np.int64]]) -> None:
    _check(*given_)


@given(two_tables())
@settings(max_examples=40, deadline=None)
def test_blocks_and_wide_labels_change_nothing(given_: tuple[Table, Table, npt.NDArray[np.int64]]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(edges_module, "_BLOCK", 20)
        patch.setattr(edges_module, "_PIECE", 9)
        patch.setattr(edges_module, "_label_type", lambda n: np.int32)
        _check(*given_)


@given(two_tables(), st.integers(0, 40), st.integers(1, 3), st.sampled_from([7, 40, 1 << 17]))
@settings(max_examples=60, deadline=None)
def test_counts_alone_are_those_of_the_edges(
    given_: tuple[Table, Table, npt.NDArray[np.int64]], relabellings: int, threads: int, block: int
) -> None:
    left, right, p = given_
    stream = np.random.default_rng(relabellings)
    permutations = [p, *(stream.permutation(len(left)) for _ in range(relabellings))]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(edges_module, "_BLOCK", block)
        counts = count_shared_edges(left, right, iter(permutations), threads)
    assert counts.tolist() == [len(_plain_edges(left, right, each)) for each in permutations]
    assert count_shared_edges(left, right, [], threads).tolist() == []


@given(two_tables())
@settings(max_examples=40, deadline=None)
def test_pairs_of_edges_are_those_of_plain_loops(given_: tuple[Table, Table, npt.NDArray[np.int64]]) -> None:
    edges = [(i, int(j)) for i, row in enumerate(given_[0]) for j in row]
    starts, ends = np.array(edges).T
    found, known = edge_pairs(given_[0]), set(edges)
    from_one, to_one = starts[:, None] == starts, ends[:, None] == ends
    in_line, turned = ends[:, None] == starts, [(end, start) in known for start, end in edges]
    assert (found.same, found.turned) == (len(edges), sum(turned))
    assert (found.from_one, found.to_one) == (from_one.sum() - len(edges), to_one.sum() - len(edges))
    assert found.in_line == in_line.sum() - sum(turned)
    assert found.apart == (~(from_one | to_one | in_line | in_line.T)).sum()


def test_labels_beyond_sixteen_bits_are_told_apart() -> None:
    """The neighbour of i is i + 1 on the left and i + 65537 on the right: other objects with the same last 16 bits."""
    n = 2**16 + 10
    left = ((np.arange(n) + 1) % n).astype(np.int32)[:, None]
    right = ((np.arange(n) + 1 + 2**16) % n).astype(np.int32)[:, None]
    (none,) = shared_edges(left, right, [identity(n)])
    (every,) = shared_edges(left, left, [identity(n)])
    assert (len(none.left_objects), len(every.left_objects)) == (0, n)
    assert count_shared_edges(left, right, [identity(n)]).tolist() == [0]
    assert count_shared_edges(left, left, [identity(n)]).tolist() == [n]


def test_two_whole_stars_share_all_but_their_hearts() -> None:
    """All objects follow object 0, which follows object 1. Turned round, object 0 needs n - 1 columns of one."""
    n = 50
    star = np.zeros((n, 1), dtype=np.int32)
    star[0] = 1
    (edges,) = shared_edges(star, star, [identity(n)])
    assert len(edges.left_objects) == n
    ((starts, ends),) = cycles(star, star, [identity(n)])
    assert (sorted(starts.tolist()), sorted(ends.tolist())) == ([0, 1], [0, 1])
