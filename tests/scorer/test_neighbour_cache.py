"""A cached neighbour table is used when it is whole and of the same origin; otherwise it is made again."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
import pytest

from scorer.comparison import Neighbours
from scorer.neighbour_cache import Origin, find_or_make, read_table, write_table
from shared.store import MemoryStore

IDS = tuple(f"o{row:03d}" for row in range(120))
ORIGIN = Origin(embedding="ab" * 16, manifest="cd" * 32, object_ids=IDS, k=7, search_version=1)


def _table(seed: int, ids: tuple[str, ...] = IDS, k: int = 7) -> Neighbours:
    liking = np.random.default_rng(seed).random((len(ids), len(ids)))
    np.fill_diagonal(liking, -1)
    return Neighbours(ids, np.argsort(-liking, axis=1)[:, :k].astype(np.int32))


def _refuse() -> Neighbours:
    pytest.fail("the neighbours were searched again")


def test_what_is_written_is_read() -> None:
    store, table = MemoryStore(), _table(0)
    assert find_or_make(store, ORIGIN, lambda: table) is table
    found = find_or_make(store, ORIGIN, _refuse)
    np.testing.assert_array_equal(found.table, table.table)
    assert found.object_ids == IDS
    assert list(store.keys("")) == [ORIGIN.key]
    assert write_table(table, ORIGIN) == write_table(found, ORIGIN)


def test_whoever_counts_is_told_of_hits_and_misses() -> None:
    store, table = MemoryStore(), _table(0)
    told: list[bool] = []
    for damage in (None, None, b"PAR1", None):
        if damage:
            store.put(ORIGIN.key, damage)
        find_or_make(store, ORIGIN, lambda: table, told.append)
    assert told == [False, True, False, True]


@pytest.mark.parametrize(
    "other",
    [
        replace(ORIGIN, manifest="ce" * 32),
        replace(ORIGIN, embedding="ac" * 16),
        replace(ORIGIN, search_version=2),
        replace(ORIGIN, object_ids=(*IDS[:-1], "another")),
        replace(ORIGIN, k=6),
    ],
    ids=["manifest", "embedding", "version", "objects", "k"],
)
def test_a_table_of_another_origin_is_not_believed(other: Origin) -> None:
    data = write_table(_table(0), ORIGIN)
    with pytest.raises(ValueError, match=r"something else|its columns"):
        read_table(data, other)


def test_a_damaged_table_is_made_again_and_said(caplog: pytest.LogCaptureFixture) -> None:
    store, table = MemoryStore(), _table(1)
    whole = write_table(table, ORIGIN)
    for damaged in (b"", b"PAR1", whole[: len(whole) // 2], whole[:-1], b"\0" * len(whole)):
        store.put(ORIGIN.key, damaged)
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            np.testing.assert_array_equal(find_or_make(store, ORIGIN, lambda: table).table, table.table)
        assert f"{ORIGIN.key} will be made again" in caplog.text
        assert store.get(ORIGIN.key) == whole


def test_no_flipped_bit_gives_another_table() -> None:
    """Every 7th byte, one bit flipped: the table is refused, or it is the same table."""
    table = _table(2)
    whole = write_table(table, ORIGIN)
    refused = 0
    for place in range(0, len(whole), 7):
        data = bytearray(whole)
        data[place] ^= 1 << place % 8
        try:
            np.testing.assert_array_equal(read_table(bytes(data), ORIGIN).table, table.table)
        except ValueError:
            refused += 1
    assert refused > len(whole) // 14
