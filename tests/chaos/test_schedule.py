"""The schedule: the same seed gives the same faults, every kind comes, and wounds are where they were drawn."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from chaos.faults import Kind, draw_schedule
from chaos.harms import Burst, Bursts, Harm, can_harm, wound


@given(st.integers(0, 10**9), st.integers(0, 60), st.sets(st.sampled_from(Kind), min_size=1))
def test_the_same_seed_is_the_same_schedule(seed: int, faults: int, kinds: set[Kind]) -> None:
    schedule = draw_schedule(seed, faults, kinds)
    assert schedule == draw_schedule(seed, faults, kinds)
    assert len(schedule) == faults
    assert {fault.kind for fault in schedule} <= kinds
    assert [fault.share for fault in schedule] == sorted(fault.share for fault in schedule)
    for fault in schedule:
        assert 0 <= fault.share < 1
        assert (fault.harm is None) == (fault.kind is not Kind.STORAGE)
        if fault.harm:
            assert fault.operation
            assert can_harm(fault.harm, fault.operation)


def test_another_seed_is_another_schedule() -> None:
    assert len({draw_schedule(seed, 8, list(Kind)) for seed in range(50)}) == 50


def test_a_long_run_meets_every_kind() -> None:
    schedule = draw_schedule(3, 40, list(Kind))
    assert {fault.kind for fault in schedule} == set(Kind)
    assert {fault.harm for fault in schedule if fault.harm} == set(Harm)


@given(st.sampled_from(list(Harm)), st.binary(max_size=300), st.integers(0, 9), st.integers(1, 40))
def test_a_wound_does_not_depend_on_how_the_body_comes(harm: Harm, body: bytes, seed: int, size: int) -> None:
    hurt = wound(harm, len(body), random.Random(seed))
    whole = hurt.apply(0, body)
    pieces = [hurt.apply(start, body[start : start + size]) for start in range(0, len(body), size)]
    assert b"".join(pieces) == whole
    if not body or harm not in (Harm.CUT, Harm.CORRUPT):
        assert whole == body
    elif harm is Harm.CUT:
        assert len(whole) < len(body)
        assert body.startswith(whole)
    else:
        assert len(whole) == len(body)
        assert sum(a != b for a, b in zip(whole, body, strict=True)) == min(3, len(body))


def test_a_burst_is_used_up() -> None:
    bursts, burst = Bursts(), Burst(Harm.ERROR_500, ["PUT"], 2)
    bursts.add(burst)
    assert [bursts.take(operation, "k") for operation in ("GET", "PUT", "PUT", "PUT")] == [None, burst, burst, None]
    assert burst.hits == 2
