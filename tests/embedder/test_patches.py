"""Patches of a picture along AstroPT's spiral, against its published order and a straight-line computation."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedder.adapters.patches import cut_patches, spiral_order

# What `GalaxyImageDataset.spiralise` of astropt 2.0.9 makes of 0, 1, 2, ...
SPIRALS = {
    2: [2, 3, 1, 0],
    3: [4, 3, 6, 7, 8, 5, 2, 1, 0],
    6: [
        20, 21, 15, 14, 13, 19, 25, 26, 27, 28, 22, 16, 10, 9, 8, 7, 6, 12,
        18, 24, 30, 31, 32, 33, 34, 35, 29, 23, 17, 11, 5, 4, 3, 2, 1, 0,
    ],
}  # fmt: skip


@pytest.mark.parametrize("side", SPIRALS)
def test_the_spiral_is_that_of_the_package(side: int) -> None:
    assert spiral_order(side).tolist() == SPIRALS[side]


@given(side=st.integers(1, 12))
def test_a_spiral_steps_to_a_neighbour_and_visits_each_patch_once(side: int) -> None:
    order = spiral_order(side)
    assert sorted(order) == list(range(side * side))
    steps = np.abs(np.diff(order // side)) + np.abs(np.diff(order % side))
    assert (steps == 1).all()
    assert order[-1] == 0


def patch_by_hand(picture: npt.NDArray[np.uint8], place: int, side: int) -> list[float]:
    """One patch, pixel by pixel: the x of the picture runs slowest."""
    across = len(picture) // side
    left, top = place // across * side, place % across * side
    pixels = [float(picture[top + y, left + x, c]) for x in range(side) for y in range(side) for c in range(3)]
    mean = sum(pixels) / len(pixels)
    deviation = (sum((pixel - mean) ** 2 for pixel in pixels) / (len(pixels) - 1)) ** 0.5
    return [(pixel - mean) / (deviation + 1e-8) for pixel in pixels]


def test_patches_are_cut_ordered_and_standardised_as_published(pictures: list[npt.NDArray[np.uint8]]) -> None:
    for side in (16, 32, 48):
        patches = cut_patches(pictures[0], side)
        across = 96 // side
        assert patches.shape == (across * across, side * side * 3)
        assert patches.dtype == np.float32
        expected = [patch_by_hand(pictures[0], int(place), side) for place in spiral_order(across)]
        assert np.abs(patches - expected).max() < 1e-5


@given(gain=st.integers(1, 3), offset=st.integers(0, 60))
def test_brightness_and_contrast_of_a_patch_are_not_seen(gain: int, offset: int) -> None:
    dim = np.random.default_rng(gain + offset).integers(0, 60, (32, 32, 3), dtype=np.uint8)
    brighter = (dim * gain + offset).astype(np.uint8)
    assert np.abs(cut_patches(dim, 16) - cut_patches(brighter, 16)).max() < 1e-5


def test_a_patch_of_one_value_is_nought() -> None:
    assert not cut_patches(np.full((32, 32, 3), 77, np.uint8), 16).any()
