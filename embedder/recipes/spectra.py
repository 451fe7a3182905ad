"""Recipes of spectra: the flux density as observed, mended where it is not finite. Imports numpy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from embedder.recipes.shown import Dropped, Prepared, count_bad
from embedder.samples import Observation, Spectrum
from shared.modalities import Modality


def show_spectrum(observation: Observation, modality: Modality) -> Prepared | Dropped:
    """`spectrum-v1`: the flux density as observed, in the survey's unit; scaling is left to the model.

    Samples that are not finite are set to the median of the others and counted as `nonfinite-samples`; more than
    half of them, and the object is dropped as `mostly-nonfinite`; a flat line is dropped as `constant-spectrum`.
    """
    if not isinstance(observation, Spectrum):
        raise TypeError(f"a spectrum recipe was given {modality.name}, a {type(observation).__name__}")
    flux = observation.flux.astype(np.float32)
    finite = np.isfinite(flux)
    if 2 * np.count_nonzero(finite) < flux.size or not flux.size:
        return Dropped("mostly-nonfinite")
    flux[~finite] = np.median(flux[finite])
    if flux.min() == flux.max():
        return Dropped("constant-spectrum")
    return Prepared(flux, count_bad("nonfinite-samples", finite))


def give_spectrum(observation: Observation, modality: Modality) -> Prepared | Dropped:
    """`spectrum-flux-v1`: as `spectrum-v1`, with wavelengths, mask and inverse variance, for models that take them too.

    A sample that was mended, or whose inverse variance is not finite, has an inverse variance of nought.
    """
    shown = show_spectrum(observation, modality)
    if isinstance(shown, Dropped) or not isinstance(observation, Spectrum):
        return shown
    known = np.isfinite(observation.flux) & np.isfinite(observation.ivar)
    ivar = np.where(known, observation.ivar, np.float32(0))
    return Prepared(replace(observation, flux=np.asarray(shown.values), ivar=ivar), shown.repaired)
