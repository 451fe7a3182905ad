"""Mutual nearest matches: against every pair looked at by another formula, and the laws a match on a sphere obeys."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from scipy.spatial.transform import Rotation

from embedder.sky import matching
from embedder.sky.frames import tangent_offsets, to_vectors
from embedder.sky.matching import Fate, Matches, find_nearest, pair_up, to_arcsec

Reals = npt.NDArray[np.float64]
Sky = tuple[Reals, Reals]
RADIUS = 10.0
SECOND = 1 / 3600


def separation(ra: Reals, dec: Reals, to_ra: Reals, to_dec: Reals) -> Reals:
    """Arcsec between all pairs, `(n, m)`, by Vincenty's formula, which knows nothing of chords."""
    a, d, b, e = (np.radians(x) for x in (ra[:, None], dec[:, None], to_ra[None], to_dec[None]))
    across = np.hypot(np.cos(e) * np.sin(b - a), np.cos(d) * np.sin(e) - np.sin(d) * np.cos(e) * np.cos(b - a))
    along = np.sin(d) * np.sin(e) + np.cos(d) * np.cos(e) * np.cos(b - a)
    return np.degrees(np.arctan2(across, along)) * 3600.0


def look_at_all(left: Sky, right: Sky, radius: float) -> set[tuple[int, int]]:
    """The matches, by looking at every pair."""
    apart = separation(*left, *right)
    found = set()
    for i, row in enumerate(apart):
        j = int(row.argmin())
        if row[j] <= radius and apart[:, j].argmin() == i:
            found.add((i, j))
    return found


def match(left: Sky, right: Sky, radius: float = RADIUS, chunk: int = 7, **how: bool) -> Matches:
    """The matches as the command makes them: the larger side in chunks."""
    vectors = to_vectors(*left), to_vectors(*right)
    swap = len(vectors[0]) <= len(vectors[1])
    held, streamed = vectors if swap else vectors[::-1]

    def chunks() -> Iterator[Reals]:
        for start in range(0, len(streamed), chunk):
            yield streamed[start : start + chunk]

    of_streamed, of_held = find_nearest(chunks(), len(streamed), held, radius)
    return pair_up(*((of_held, of_streamed) if swap else (of_streamed, of_held)), **how)


def pairs(matches: Matches) -> set[tuple[int, int]]:
    return set(zip(matches.left.tolist(), matches.right.tolist(), strict=True))


CENTRES = [(0.0, 0.0), (359.9999, 30.0), (123.4, -89.9995), (0.0, 90.0), (200.0, -90.0), (40.0, 60.0)]


def crowd(seed: int, centre: tuple[float, float], n: int = 30, m: int = 40, spread: float = 20.0) -> tuple[Sky, Sky]:
    """Two surveys of the same crowded spot: half of the left objects stand on the right too, shifted by arcseconds."""
    random = np.random.default_rng(seed)
    east, north = random.normal(0, spread, (2, n + m))
    half = n // 2
    east[n : n + half] = east[:half] + random.normal(0, 2, half)
    north[n : n + half] = north[:half] + random.normal(0, 2, half)
    alpha, delta = np.radians(centre)
    axes = np.array(
        [
            [-np.sin(alpha), np.cos(alpha), 0.0],
            [-np.sin(delta) * np.cos(alpha), -np.sin(delta) * np.sin(alpha), np.cos(delta)],
            [np.cos(delta) * np.cos(alpha), np.cos(delta) * np.sin(alpha), np.sin(delta)],
        ]
    )
    tangent = np.stack([np.radians(east * SECOND), np.radians(north * SECOND), np.ones(n + m)], axis=1)
    ra, dec = to_angles(tangent @ axes)
    return (ra[:n], dec[:n]), (ra[n:], dec[n:])


def to_angles(vectors: Reals) -> Sky:
    x, y, z = vectors.T
    return np.degrees(np.arctan2(y, x)) % 360, np.degrees(np.arctan2(z, np.hypot(x, y)))


crowds = some.builds(
    crowd, some.integers(0, 10**6), some.sampled_from(CENTRES), some.integers(1, 40), some.integers(20, 60)
)


@settings(max_examples=60, deadline=None)
@given(crowds)
def test_every_pair_looked_at_gives_the_same_matches(two: tuple[Sky, Sky]) -> None:
    left, right = two
    found = match(left, right)
    assert pairs(found) == look_at_all(left, right, RADIUS)
    apart = separation(*left, *right)
    assert np.allclose(to_arcsec(found.chord), apart[found.left, found.right], rtol=0, atol=1e-6)
    near = apart <= RADIUS
    assert ((found.left_fate == Fate.ALONE) == ~near.any(axis=1)).all()
    assert ((found.right_fate == Fate.ALONE) == ~near.any(axis=0)).all()
    assert (np.flatnonzero(found.left_fate == Fate.MATCHED) == found.left).all()
    assert set(np.flatnonzero(found.right_fate == Fate.MATCHED)) == set(found.right)


@settings(max_examples=40, deadline=None)
@given(crowds)
def test_it_does_not_matter_which_survey_is_named_first(two: tuple[Sky, Sky]) -> None:
    left, right = two
    assert pairs(match(left, right)) == {(i, j) for j, i in pairs(match(right, left))}


@settings(max_examples=40, deadline=None)
@given(crowds, some.integers(0, 10**6))
def test_a_turned_sky_has_the_same_matches(two: tuple[Sky, Sky], seed: int) -> None:
    left, right = two
    turn = Rotation.random(rng=np.random.default_rng(seed)).as_matrix()
    turned = [to_angles(to_vectors(*side) @ turn.T) for side in two]
    assert pairs(match(left, right)) == pairs(match(turned[0], turned[1]))


@settings(max_examples=40, deadline=None)
@given(crowds, some.integers(0, 10**6), some.integers(1, 50))
def test_neither_the_order_of_rows_nor_the_chunks_matter(two: tuple[Sky, Sky], seed: int, chunk: int) -> None:
    left, right = two
    rng = np.random.default_rng(seed)
    i, j = rng.permutation(len(left[0])), rng.permutation(len(right[0]))
    found = match((left[0][i], left[1][i]), (right[0][j], right[1][j]), chunk=chunk)
    assert {(int(i[a]), int(j[b])) for a, b in pairs(found)} == pairs(match(left, right))


def test_a_match_across_the_beginning_of_right_ascension_and_over_the_pole() -> None:
    left = np.array([359.9999, 0.0, 90.0]), np.array([0.0, 89.9995, -89.9995])
    right = np.array([0.0001, 180.0, 270.0]), np.array([0.0, 89.9995, -89.9995])
    found = match(left, right)
    assert pairs(found) == {(0, 0), (1, 1), (2, 2)}
    assert to_arcsec(found.chord) == pytest.approx([0.72, 3.6, 3.6], abs=1e-6)


def test_two_equally_near_are_no_match_whichever_comes_first() -> None:
    one = np.array([10.0]), np.array([0.0])
    two = np.array([10.0 - 2 * SECOND, 10.0 + 2 * SECOND]), np.array([0.0, 0.0])
    for left, right in ((one, two), (two, one)):
        for step in (1, -1):
            found = match((left[0][::step], left[1][::step]), (right[0][::step], right[1][::step]))
            assert not len(found.left)
            assert {*found.left_fate, *found.right_fate} == {Fate.TIED}


def test_the_ambiguous_are_counted_and_can_be_left_out() -> None:
    left = np.array([10.0, 50.0]), np.array([0.0, 0.0])
    right = np.array([10.0 + SECOND, 10.0 - 3 * SECOND, 50.0]), np.array([0.0, 0.0, 0.0])
    kept, dropped = match(left, right), match(left, right, drop_ambiguous=True)
    assert (pairs(kept), pairs(dropped)) == ({(0, 0), (1, 2)}, {(1, 2)})
    assert list(kept.right_fate) == [Fate.MATCHED, Fate.OUTDONE, Fate.MATCHED]
    assert list(dropped.left_fate) == [Fate.AMBIGUOUS, Fate.MATCHED]
    assert list(dropped.right_fate) == [Fate.AMBIGUOUS, Fate.OUTDONE, Fate.MATCHED]


def test_a_crowd_that_memory_should_not_hold_is_halved(monkeypatch: pytest.MonkeyPatch) -> None:
    left, right = crowd(3, (40.0, 60.0), 60, 80)
    whole = match(left, right, radius=100.0, chunk=80)
    monkeypatch.setattr(matching, "_MOST_PAIRS", 50)
    assert pairs(match(left, right, radius=100.0, chunk=80)) == pairs(whole) == look_at_all(left, right, 100.0)


@pytest.mark.parametrize("dec", [0.0, 60.0, -89.9])
def test_offsets_are_east_and_north(dec: float) -> None:
    ra, to_dec = np.array([0.0001]), np.array([dec + SECOND])
    east, north = tangent_offsets(ra, np.array([dec]), ra, to_dec)
    assert (float(east[0]), float(north[0])) == (pytest.approx(0, abs=1e-9), pytest.approx(1, abs=1e-9))
    to_ra = ra - 2 * SECOND / np.cos(np.radians(dec))
    east, north = tangent_offsets(ra, np.array([dec]), to_ra, np.array([dec]))
    assert float(east[0]) == pytest.approx(-2, abs=1e-4)
    assert abs(float(north[0])) < 0.02
