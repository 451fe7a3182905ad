"""Light curves: from the struct of a table to values on an even grid of time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as some
from pydantic import ValidationError

from embedder.recipes import Dropped, Prepared, check_recipe, find_recipe
from embedder.resolve import resolve_dataset
from embedder.samples import LightCurve
from embedder.sources.kinds import open_source
from shared.errors import BadInput, MissingBand
from shared.modalities import Modality
from shared.requests import DatasetRequest, ModalityRequest
from shared.settings import Settings

NAN = math.nan


def modality(**given: Any) -> Modality:
    return Modality(name="lc", kind="light-curve", column="curve", recipe="light-curve-v1", **given)


def curve(
    time: Sequence[float], flux: Sequence[float], error: Sequence[float] | None = None, bands: str | None = None
) -> LightCurve:
    return LightCurve(
        np.array(time, np.float64),
        np.array(flux, np.float32),
        None if error is None else np.array(error, np.float32),
        None if bands is None else np.array(list(bands), np.str_),
    )


def show(observed: LightCurve, **given: Any) -> Prepared | Dropped:
    return find_recipe("light-curve-v1").prepare(observed, modality(**given))


def values(observed: LightCurve, **given: Any) -> npt.NDArray[np.float32]:
    shown = show(observed, **given)
    assert isinstance(shown, Prepared)
    assert not isinstance(shown.values, str)
    assert shown.values.dtype == np.float32
    return np.asarray(shown.values, np.float32)


def test_samples_are_averaged_in_steps_about_the_first() -> None:
    seen = curve([10.0, 10.4, 11.6, 13.9, 14.4], [1, 3, 5, 7, 9])
    # the nearest steps are 0, 0, 2, 4, 4: nothing was seen at 1 and 3
    np.testing.assert_array_equal(values(seen, cadence_days=1), [2, NAN, 5, NAN, 8])


def test_samples_that_are_even_but_for_half_a_step_stay_apart() -> None:
    jitter = np.random.default_rng(0).uniform(-0.24, 0.24, 200)  # the first sample, which sets the grid, has its own
    seen = curve((100 + np.arange(200) + jitter).tolist(), np.arange(200.0).tolist())
    np.testing.assert_array_equal(values(seen, cadence_days=1), np.arange(200))


def test_errors_weigh_the_samples_of_a_step() -> None:
    seen = curve([0, 0.1, 1, 2], [1, 4, 2, 3], error=[1, 2, 1, 5])
    np.testing.assert_allclose(values(seen, cadence_days=1), [(1 + 4 / 4) / (1 + 1 / 4), 2, 3], rtol=1e-6)


@pytest.mark.parametrize("useless", [0, -1, NAN, math.inf])
def test_a_sample_without_a_usable_error_is_left_out_and_counted(useless: float) -> None:
    shown = show(curve([0, 0.1, 1], [1, 100, 2], error=[1, useless, 1]), cadence_days=1)
    assert isinstance(shown, Prepared)
    np.testing.assert_array_equal(shown.values, [1, 2])
    assert shown.repaired == {"unusable-samples": 1}


def test_without_a_cadence_even_samples_are_taken_as_they_stand() -> None:
    seen = curve([3, 1, 2, 4], [30, 10, NAN, 40], error=[0, 0, 0, 0])  # errors weigh nothing where nothing is averaged
    shown = show(seen)
    assert isinstance(shown, Prepared)
    np.testing.assert_array_equal(shown.values, [10, NAN, 30, 40])
    assert shown.repaired == {"unusable-samples": 1}


@pytest.mark.parametrize("time", [[0, 1, 2, 3.2], [0, 1, 1, 2], [0, 0, 0], [0, 1, 2, NAN, 4]])
def test_without_a_cadence_uneven_samples_are_refused(time: list[float]) -> None:
    with pytest.raises(BadInput, match=r"days apart; expected even spacing.*give cadence_days") as caught:
        show(curve(time, list(range(len(time)))))
    assert "lc light curve" in caught.value.wrong


def test_a_tenth_of_a_gap_is_even() -> None:
    np.testing.assert_array_equal(values(curve([0, 1, 2.09, 3, 4], [1, 2, 3, 4, 5])), [1, 2, 3, 4, 5])


def test_one_band_is_followed_and_no_two_are_mixed() -> None:
    seen = curve([0, 1, 2, 3], [1, 20, 3, 40], bands="grgr")
    np.testing.assert_array_equal(values(seen, bands=("r",), cadence_days=1), [20, NAN, 40])
    assert show(seen, bands=("i",), cadence_days=1) == Dropped("no-usable-sample")
    with pytest.raises(MissingBand, match="is of 2 bands, g, r, and none is chosen; expected one band; name it under"):
        show(seen, cadence_days=1)
    np.testing.assert_array_equal(values(curve([0, 1], [1, 2], bands="gg")), [1, 2])


@pytest.mark.parametrize(
    ("seen", "reason"),
    [
        (curve([], []), "no-usable-sample"),
        (curve([0, 1], [NAN, math.inf]), "no-usable-sample"),
        (curve([NAN, math.inf], [1, 2]), "no-usable-sample"),
        (curve([0, 1], [1, 2], error=[NAN, 0]), "no-usable-sample"),
        (curve([0], [1]), "constant-light-curve"),
        (curve([0, 1, 2], [7, 7, 7]), "constant-light-curve"),
        (curve([0, 0.1], [1, 2]), "constant-light-curve"),  # one step
        (curve([0, 1e9], [1, 2]), "series-too-long"),
        (curve([0, 1e300], [1, 2]), "series-too-long"),
    ],
)
def test_what_cannot_be_shown_is_dropped_with_a_reason(seen: LightCurve, reason: str) -> None:
    assert show(seen, cadence_days=1) == Dropped(reason)


_NUMBERS = some.one_of(some.floats(-1e6, 1e6, width=32), some.sampled_from([NAN, math.inf]))
_SAMPLES = some.lists(
    some.tuples(some.floats(0, 50), _NUMBERS, some.floats(0, 4, width=32), some.sampled_from("gr")),
    min_size=1,
    max_size=30,
)


def _build(samples: Sequence[tuple[float, float, float, str]]) -> LightCurve:
    time, flux, error, bands = zip(*samples, strict=True)
    return curve(time, flux, error, "".join(bands))


@given(samples=_SAMPLES, seed=some.integers(0, 99), cadence=some.floats(0.5, 10))
def test_the_order_of_samples_changes_no_bit(
    samples: list[tuple[float, float, float, str]], seed: int, cadence: float
) -> None:
    order = np.random.default_rng(seed).permutation(len(samples))
    plain, shuffled = (
        show(_build(rows), bands=("g",), cadence_days=cadence) for rows in (samples, [samples[row] for row in order])
    )
    if isinstance(plain, Dropped):
        assert shuffled == plain
        return
    assert isinstance(shuffled, Prepared)
    np.testing.assert_array_equal(plain.values, shuffled.values)
    assert plain.repaired == shuffled.repaired


@given(samples=_SAMPLES, cadence=some.floats(0.5, 10))
def test_each_step_is_the_weighted_mean_of_its_samples(
    samples: list[tuple[float, float, float, str]], cadence: float
) -> None:
    """Step by step, sample by sample, in plain Python."""
    usable = sorted((t, f, e) for t, f, e, band in samples if band == "g" and math.isfinite(f) and e > 0)
    shown = show(_build(samples), bands=("g",), cadence_days=cadence)
    if not usable:
        assert shown == Dropped("no-usable-sample")
        return
    steps: dict[int, list[tuple[float, float]]] = {}
    for time, flux, error in usable:
        steps.setdefault(math.floor((time - usable[0][0]) / cadence + 0.5), []).append((flux, error))
    weigh = min(error for _, _, error in usable) ** 2  # nothing but a scale, against underflow
    expected = [
        sum(f * (weigh / e**2) for f, e in steps[step]) / sum(weigh / e**2 for _, e in steps[step])
        if step in steps
        else NAN
        for step in range(max(steps) + 1)
    ]
    if isinstance(shown, Dropped):
        assert shown == Dropped("constant-light-curve")
        assert np.nanmax(expected) == pytest.approx(np.nanmin(expected), rel=1e-6)
        return
    assert shown.values == pytest.approx(np.array(expected), rel=1e-5, abs=1e-3, nan_ok=True)


def test_a_light_curve_is_of_one_band_and_has_a_cadence_of_its_own() -> None:
    check_recipe(modality(bands=("g",), cadence_days=3))
    assert modality().digest != modality(cadence_days=1).digest


def test_a_request_has_the_plain_recipe() -> None:
    asked = ModalityRequest.model_validate({"kind": "light-curve", "column": "curve", "cadence_days": 2})
    assert asked.define("lc") == modality(cadence_days=2)
    with pytest.raises(ValidationError, match="Field required"):
        ModalityRequest.model_validate({"kind": "light-curve"})


def test_a_table_of_light_curves_is_read_as_it_stands(tmp_path: Path) -> None:
    rows = [
        {"time": [2.0, 1.0], "flux": [5.0, None], "flux_err": [0.1, None], "band": ["g", "r"], "comet": 1},
        {"time": [], "flux": [], "flux_err": None, "band": None, "comet": 2},
    ]
    pq.write_table(pa.table({"curve": pa.array(rows), "id": ["a", "b"]}), tmp_path / "train-00000-of-00001.parquet")
    settings = Settings.read({"SAMESKY_DATASET_ROOTS": str(tmp_path)})
    own = {"kind": "light-curve", "column": "curve", "bands": ["g"], "cadence_days": 1}
    request = {"name": "sky", "folder": str(tmp_path), "id_column": "id", "modalities": {"lc": own}}
    dataset, (lc,) = resolve_dataset(DatasetRequest.model_validate(request), settings)
    first, second = (sample.observation for sample in open_source(dataset, settings).read(lc, 0, 2))
    assert isinstance(first, LightCurve)
    assert isinstance(second, LightCurve)
    np.testing.assert_array_equal(first.time, [2, 1])
    np.testing.assert_array_equal(first.flux, np.array([5, NAN], np.float32))
    np.testing.assert_array_equal(first.error, np.array([0.1, NAN], np.float32))
    np.testing.assert_array_equal(first.bands, ["g", "r"])
    assert (first.time.dtype, first.flux.dtype) == (np.float64, np.float32)
    assert len(second.time) == 0
    assert (second.error, second.bands) == (None, None)
