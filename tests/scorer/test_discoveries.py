"""q-values against SciPy's, and the rate they promise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import false_discovery_control

from scorer.discoveries import benjamini_hochberg, benjamini_yekutieli

Floats = npt.NDArray[np.float64]
unit = st.floats(0, 1, allow_nan=False)
procedures: list[tuple[Callable[[Floats], Floats], Literal["bh", "by"]]] = [
    (benjamini_hochberg, "bh"),
    (benjamini_yekutieli, "by"),
]


@pytest.mark.parametrize(("adjust", "method"), procedures)
@given(p_values=st.lists(unit | st.sampled_from([0.001, 0.01, 0.5, 1.0]), min_size=1, max_size=60))
def test_they_are_scipys(
    adjust: Callable[[Floats], Floats], method: Literal["bh", "by"], p_values: list[float]
) -> None:
    expected = false_discovery_control(p_values, method=method)
    assert adjust(np.array(p_values)) == pytest.approx(expected, rel=1e-12, abs=1e-300)


@pytest.mark.parametrize(("adjust", "_"), procedures)
@given(p_values=st.lists(unit, min_size=2, max_size=60))
def test_order_is_kept_and_nothing_gets_smaller(
    adjust: Callable[[Floats], Floats], _: str, p_values: list[float]
) -> None:
    given_ = np.array(p_values)
    adjusted = adjust(given_)
    assert (adjusted >= given_ - 1e-15).all()
    assert (adjusted <= 1).all()
    assert (np.diff(adjusted[np.argsort(given_, kind="stable")]) >= 0).all()


@pytest.mark.parametrize("adjust", [benjamini_hochberg, benjamini_yekutieli])
def test_of_none_there_are_none(adjust: Callable[[Floats], Floats]) -> None:
    assert len(adjust(np.array([]))) == 0


@pytest.mark.parametrize("wrong", [[0.5, np.nan], [-0.1], [1.1], [[0.5]]])
def test_what_is_no_p_value_is_refused(wrong: list[float]) -> None:
    for adjust in (benjamini_hochberg, benjamini_yekutieli):
        with pytest.raises(ValueError, match="numbers from 0 to 1"):
            adjust(np.array(wrong))


def test_false_discoveries_are_as_few_as_is_said() -> None:
    """100 scores, 20 of them real. At q <= 0.1 the false share is 0.08 on average (Benjamini & Hochberg 1995)."""
    stream = np.random.default_rng(1)
    shares, found = [], []
    for _ in range(400):
        p_values = stream.random(100)
        p_values[:20] **= 6
        called = benjamini_hochberg(p_values) <= 0.1
        shares.append(called[20:].sum() / max(1, called.sum()))
        found.append(called[:20].sum())
    assert np.mean(shares) == pytest.approx(0.08, abs=4 * np.std(shares) / 20)
    assert np.mean(found) > 2
