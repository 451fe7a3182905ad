"""A remembered listing: how old it may be, what it never lacks, and how often the store is asked."""

from __future__ import annotations

import threading
from bisect import bisect_right

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.listing import Listing
from shared.errors import StoreUnavailable

MANY = {f"scores/sky/{number:03d}.json": "1" for number in range(100)}
Steps = st.lists(st.tuples(st.sampled_from(["wait", "change", "tell", "ask"]), st.floats(0.01, 3)), max_size=30)


class World:
    """A store's keys over time, and a clock that goes on only when it is told to, or while the store is listed."""

    def __init__(self, tags: dict[str, str], takes: float = 0.0) -> None:
        self.now, self.takes, self.asked, self.fails = 0.0, takes, 0, False
        self.times, self.states = [0.0], [tags]

    def change(self, tags: dict[str, str]) -> None:
        self.now += 1e-6
        self.times.append(self.now)
        self.states.append(tags)

    def list_all(self) -> list[tuple[str, str]]:
        if self.fails:
            raise StoreUnavailable("no answer")
        self.asked += 1
        found = list(self.states[-1].items())
        self.now += self.takes
        return found

    def between(self, then: float) -> list[dict[str, str]]:
        """All that was there since `then`."""
        return self.states[max(0, bisect_right(self.times, then) - 1) :]


@given(Steps, st.sampled_from([0.0, 0.05, 0.3]))
def test_a_listing_is_not_older_than_is_said_and_lacks_nothing_that_was_told(
    steps: list[tuple[str, float]], takes: float
) -> None:
    world = World(MANY, takes)
    listing, told = Listing(world.list_all, lambda: world.now), 0.0
    for number, (step, seconds) in enumerate(steps):
        if step == "wait":
            world.now += seconds
        elif step == "change":
            world.change({**world.states[-1], f"scores/sky/{number:03d}.json": f"2 {number}"})
        elif step == "tell":
            told = world.now
        else:
            oldest = max(told, world.now - max(2.0, 20 * takes))
            assert listing.get(told).tags in world.between(oldest)


@given(st.lists(st.sampled_from(["change", "ask"]), max_size=20))
def test_few_keys_are_listed_every_time(steps: list[str]) -> None:
    world = World({}, takes=0.3)
    listing = Listing(world.list_all, lambda: world.now)
    for number, step in enumerate(steps):
        if step == "change":
            world.change({f"a/{number}": "1"})
        else:
            assert listing.get().tags == world.states[-1]


def test_many_keys_are_listed_once_while_they_are_fresh() -> None:
    world = World(MANY)
    listing = Listing(world.list_all, lambda: world.now)
    for _ in range(50):
        listing.get()
        world.now += 0.01
    assert world.asked == 1
    world.now += 60
    listing.get()
    assert world.asked == 2
    listing.forget()
    world.now += 0.01
    listing.get()
    assert world.asked == 3


def test_those_who_ask_at_once_share_a_listing() -> None:
    asked, many = threading.Barrier(20), list(MANY.items())
    number = 0

    def list_all() -> list[tuple[str, str]]:
        nonlocal number
        number += 1
        return many

    listing, found = Listing(list_all), list[int]()

    def ask() -> None:
        asked.wait()
        found.append(len(listing.get().keys))

    threads = [threading.Thread(target=ask) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (number, found) == (1, [len(MANY)] * 20)


def test_a_store_that_fails_is_told_of_once_the_last_listing_is_too_old() -> None:
    world = World(MANY)
    listing = Listing(world.list_all, lambda: world.now)
    listing.get()
    world.fails = True
    world.now += 1.5
    assert listing.get().tags == MANY
    world.now += 1
    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            listing.get()
    world.fails = False
    assert listing.get().tags == MANY


@given(st.sets(st.text("ab/-.0", min_size=1, max_size=5)), st.text("ab/-", max_size=3), st.text("ab/", max_size=3))
def test_the_keys_under_a_prefix_are_those_that_start_with_it(keys: set[str], prefix: str, after: str) -> None:
    tags = dict.fromkeys(sorted(keys), "1")
    listed = Listing(tags.items).get()
    found = [listed.keys[place] for place in listed.under(prefix, after)]
    assert found == [key for key in sorted(keys) if key.startswith(prefix) and key >= after]


def test_a_fingerprint_is_of_what_is_under_its_prefix_alone() -> None:
    def prints(**tags: str) -> tuple[str, str]:
        listed = Listing(lambda: [(f"{name[0]}/{name[1]}", tag) for name, tag in tags.items()]).get()
        return listed.fingerprint("a/"), listed.fingerprint("b/")

    ours, theirs = prints(ax="1", bx="1")
    assert prints(ax="2", bx="1") == (prints(ax="2")[0], theirs)
    assert prints(ax="2", bx="1")[0] != ours
    assert prints(ax="1", ay="1", bx="1")[0] != ours
    assert prints(ax="1", bx="2")[0] == ours
