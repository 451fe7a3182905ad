"""A sky whose truth is known: agreement rises with signal-to-noise, and is chance where there is nothing to see."""

from __future__ import annotations

from benchmarks.planted_truth import experiment
from embedder.adapters.fake import FakeAdapter


def test_agreement_rises_with_signal_to_noise_and_is_chance_for_other_objects() -> None:
    found, strangers = experiment(FakeAdapter("fake-large"), 96, "hsc", "jwst", noises=(0.25, 4, 16, 64))
    ratios, agreements = zip(*found.values(), strict=True)
    assert list(ratios) == sorted(ratios, reverse=True)
    values = [agreement.value for agreement in agreements]
    assert values == sorted(values, reverse=True)
    assert agreements[0].value > 4 * agreements[0].chance
    assert agreements[0].worth.p_value == 1 / 1000
    assert agreements[0].worth.calibrated > 0.3
    for nothing in (agreements[-1], strangers):
        assert nothing.worth.p_value > 0.05
        assert nothing.worth.calibrated == 0
        assert abs(nothing.value - nothing.chance) < 0.03
