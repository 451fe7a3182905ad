"""One thing is made ahead of its use, and no more: in order, with its errors, and with no thread left behind."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedder.adapters.fake import FakeAdapter
from embedder.ahead import make_ahead
from embedder.pipeline import embed_part
from embedder.samples import Sample, Source
from embedder.sources.kinds import open_source
from shared.contracts import EmbeddingSpec
from shared.errors import BadTable, LeaseLost
from shared.modalities import Modality
from shared.outcomes import Attempt
from shared.settings import Settings
from shared.store import MemoryStore


class Counter:
    """Counts up, notes by which thread, and may fail."""

    def __init__(self, stop: int, fails_at: int | None = None) -> None:
        self._stop, self._fails_at = stop, fails_at
        self.made, self.threads = 0, set[int]()

    def __iter__(self) -> Iterator[int]:
        for number in range(self._stop):
            self.threads.add(threading.get_ident())
            if number == self._fails_at:
                raise BadTable(f"no number {number}")
            self.made = number + 1
            yield number


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("ahead")]


@given(st.lists(st.one_of(st.none(), st.integers(), st.just(()), st.just(False)), max_size=20))
def test_items_come_as_they_are_and_in_order(items: list[Any]) -> None:
    assert list(make_ahead(iter(items))) == items
    assert threads() == []


def test_one_is_made_ahead_in_another_thread_and_no_more() -> None:
    counter = Counter(6)
    for number in make_ahead(iter(counter)):
        assert counter.made <= number + 2
    assert len(counter.threads) == 1
    assert threading.get_ident() not in counter.threads


@given(st.integers(0, 5))
def test_an_error_comes_when_its_turn_comes(place: int) -> None:
    numbers = make_ahead(iter(Counter(6, fails_at=place)))
    assert [next(numbers) for _ in range(place)] == list(range(place))
    with pytest.raises(BadTable, match=f"no number {place}"):
        next(numbers)
    assert threads() == []


def test_who_leaves_early_leaves_no_thread() -> None:
    counter = Counter(1_000)
    with closing(make_ahead(iter(counter))) as numbers:
        assert [next(numbers) for _ in range(4)] == [0, 1, 2, 3]
        assert len(threads()) == 1
    assert threads() == []
    assert counter.made <= 5


def test_what_is_made_ahead_is_told_of_as_the_callers() -> None:
    whose = ContextVar("whose", default="nobody's")
    token = whose.set("mine")
    try:
        assert list(make_ahead(whose.get() for _ in range(2))) == ["mine", "mine"]
    finally:
        whose.reset(token)


class WatchedSource:
    """A source that notes how far it was read."""

    def __init__(self, source: Source) -> None:
        self._source, self.given = source, 0

    @property
    def rows(self) -> int:
        return self._source.rows

    def read(self, modality: Modality, start: int, stop: int) -> Iterator[Sample]:
        for sample in self._source.read(modality, start, stop):
            self.given += 1
            yield sample


def test_a_part_is_read_one_batch_ahead_and_given_up_without_a_thread(
    write_table: Callable[..., Path],
    image: Callable[..., Any],
    specify: Callable[..., EmbeddingSpec],
    settings: Settings,
) -> None:
    spec = specify(write_table([image(seed) for seed in range(12)]))
    spec = spec.model_copy(update={"model": spec.model.model_copy(update={"part_rows": 12})})
    source = WatchedSource(open_source(spec.dataset, settings))
    told: list[tuple[int, int]] = []

    def lose_lease(rows: int) -> None:
        told.append((rows, source.given))
        if rows == 6:
            raise LeaseLost("another has it")

    store = MemoryStore()
    with pytest.raises(LeaseLost):
        embed_part(
            [spec],
            0,
            source=source,
            adapter=FakeAdapter("fake-small"),
            store=store,
            attempt=Attempt(name="one", worker="test"),
            batch=2,
            on_rows=lose_lease,
        )
    assert [rows for rows, _ in told] == [2, 4, 6]
    assert all(given <= rows + 2 for rows, given in told)
    assert threads() == []
    assert list(store.keys("embeddings/")) == []
