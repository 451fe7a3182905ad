"""The recipe of light curves: from samples in any order to values on an even grid of time, as models of series take.

Imports numpy only.

A modality with `cadence_days` has its grid: steps of so many days, centred on the time of the object's first usable
sample; a step's value is the mean of the samples nearest to it, weighted by 1/error^2 where the table gives errors, and
NaN where there is none. So samples that were meant to be evenly spaced, and are so within half a step, stay apart.
Without `cadence_days` the samples are the grid, as they stand, one that is not finite being NaN; they must be evenly
spaced, each gap within a tenth of the median gap. Nothing is interpolated.

A series is of one band: that of the modality, or, where it names none, the only one there is.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from embedder.recipes.shown import Dropped, Prepared
from embedder.samples import LightCurve, Observation
from shared.errors import BadInput, MissingBand
from shared.modalities import Modality

Numbers = npt.NDArray[np.float64]
_UNEVEN = 0.1  # of the median gap
_MOST_STEPS = 1 << 20


def show_light_curve(observation: Observation, modality: Modality) -> Prepared | Dropped:
    """`light-curve-v1`: fluxes averaged in even steps of time, or as they stand; scaling is left to the model.

    Samples that cannot be used are left out and counted as `unusable-samples`. A curve without a usable sample is
    dropped as `no-usable-sample`, a flat one as `constant-light-curve`, one of a million steps as `series-too-long`.
    """
    if not isinstance(observation, LightCurve):
        raise TypeError(f"a recipe of light curves was given {modality.name}, a {type(observation).__name__}")
    track = follow_band(observation, modality)
    if not track.weight.any():
        return Dropped("no-usable-sample")
    laid = lay_evenly(track, modality)
    if laid is None:
        return Dropped("series-too-long")
    values = laid.astype(np.float32)
    if np.nanmin(values) == np.nanmax(values):
        return Dropped("constant-light-curve")
    return Prepared(values, {"unusable-samples": track.unusable} if track.unusable else {})


class Track(NamedTuple):
    """The samples of one band in order of time, each `(sample,) float64`.

    flux: NaN where it is not finite. weight: nought where the flux, or its error, cannot be used. timeless: the number
    of samples left out because their time is not finite.
    """

    time: Numbers
    flux: Numbers
    weight: Numbers
    timeless: int

    @property
    def unusable(self) -> int:
        """The number of samples that say nothing."""
        return int(np.count_nonzero(self.weight == 0)) + self.timeless


def follow_band(curve: LightCurve, modality: Modality) -> Track:
    """The samples of the modality's band, in order of time. Raises MissingBand when there are several."""
    chosen = np.ones(len(curve.time), bool) if curve.bands is None else _choose(curve.bands, modality)
    time, flux = curve.time[chosen].astype(np.float64), curve.flux[chosen].astype(np.float64)
    flux[~np.isfinite(flux)] = np.nan
    weight = np.ones_like(flux)
    if curve.error is not None and modality.cadence_days is not None:
        weight = _weigh(curve.error[chosen].astype(np.float64))
    weight[np.isnan(flux)] = 0
    timed = np.isfinite(time)
    # Samples of one time in a fixed order, so that the order of a table changes no bit of a sum.
    order = np.lexsort((weight[timed], flux[timed], time[timed]))
    time, flux, weight = (values[timed][order] for values in (time, flux, weight))
    return Track(time, flux, weight, timeless=int(np.count_nonzero(~timed)))


def lay_evenly(track: Track, modality: Modality) -> Numbers | None:
    """The value at each step, `(step,) float64`, NaN where there is none; None when there are too many steps to hold.

    track: with at least one usable sample. Raises BadInput for uneven samples when the modality has no cadence.
    """
    if modality.cadence_days is not None:
        return _average(track, modality.cadence_days)
    gaps = np.diff(track.time)
    typical = float(np.median(gaps)) if len(gaps) else 0.0
    if (np.abs(gaps - typical) > _UNEVEN * typical).any() or (gaps <= 0).any():
        raise BadInput(
            f"the samples of a {modality.name} light curve are {gaps.min():g} to {gaps.max():g} days apart",
            f"even spacing, each gap within {_UNEVEN:.0%} of the median gap, {typical:g} days",
            "give cadence_days in the modality: samples are then averaged in steps of so many days",
        )
    return track.flux


def _choose(bands: npt.NDArray[np.str_], modality: Modality) -> npt.NDArray[np.bool_]:
    if modality.bands:
        return np.asarray(bands == modality.bands[0], dtype=bool)
    there = np.unique(bands)
    if len(there) > 1:
        raise MissingBand(
            f"a {modality.name} light curve is of {len(there)} bands, {', '.join(there[:12])}, and none is chosen",
            "one band",
            "name it under `bands` of the modality",
        )
    return np.ones(len(bands), bool)


def _weigh(error: Numbers) -> Numbers:
    """1/error^2, the largest being 1; nought for an error that is none."""
    good = np.isfinite(error) & (error > 0)
    weight = np.zeros_like(error)
    if good.any():
        weight[good] = (error[good].min() / error[good]) ** 2
    return weight


def _average(track: Track, cadence: float) -> Numbers | None:
    usable = track.weight > 0
    time, flux, weight = track.time[usable], track.flux[usable], track.weight[usable]
    places = np.floor((time - time[0]) / cadence + 0.5)
    if places[-1] >= _MOST_STEPS:
        return None
    steps = places.astype(np.intp)
    total, parts = np.bincount(steps, weight * flux), np.bincount(steps, weight)
    values = np.full(len(total), np.nan)
    np.divide(total, parts, out=values, where=parts > 0)
    return values
