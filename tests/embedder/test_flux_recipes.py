"""The recipes that give fluxes as they are, and the models that need them in place of the modality's own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from embedder.adapters.base import ModelInput, as_array
from embedder.adapters.loading import load_adapter
from embedder.catalogue.models import find_model, known_models
from embedder.pipeline import embed_part, finish, prepare_objects
from embedder.recipes import Dropped, Prepared, Values, find_recipe
from embedder.resolve import resolve_dataset, resolve_model
from embedder.samples import Floats, Image, Sample, Spectrum
from embedder.sources.kinds import open_source
from shared.contracts import EmbeddingSpec, ModelRef
from shared.embeddings import load_vectors
from shared.errors import BadInput
from shared.modalities import Modality
from shared.outcomes import Attempt
from shared.settings import Settings
from shared.store import MemoryStore

BANDS = ("hsc-g", "hsc-r", "hsc-i", "hsc-z", "hsc-y")


def picture(seed: int = 0) -> Image:
    return Image(BANDS, np.random.default_rng(seed).normal(1, 1, (5, 20, 24)).astype(np.float32), 0.168)


def spectrum(samples: int = 50) -> Spectrum:
    random = np.random.default_rng(3)
    flux, ivar = (random.uniform(0.5, 2, samples).astype(np.float32) for _ in range(2))
    return Spectrum(flux, ivar, np.linspace(3600, 9824, samples, dtype=np.float32), np.ones(samples, bool))


def give(observation: Any, modality: Modality, recipe: str) -> Prepared | Dropped:
    return find_recipe(recipe).prepare(observation, modality)


def test_fluxes_are_given_as_they_are_in_every_band_and_whole(hsc: Modality) -> None:
    image = picture()
    shown = give(image, hsc, "flux-v1")  # hsc shows three bands of a small patch
    assert isinstance(shown, Prepared)
    assert isinstance(shown.values, Image)
    assert shown.values.bands == BANDS
    assert shown.values.flux.dtype == np.float32
    assert (shown.values.flux == image.flux).all()
    assert not np.shares_memory(shown.values.flux, image.flux)


def test_pixels_that_are_not_finite_are_mended_in_the_given_fluxes(hsc: Modality) -> None:
    image = picture()
    image.flux[2, :3, 0] = np.nan
    image.flux[4, 0, 0] = np.inf
    shown = give(image, hsc, "flux-v1")
    assert isinstance(shown, Prepared)
    assert isinstance(shown.values, Image)
    assert shown.repaired == {"nonfinite-pixels": 4}
    assert (shown.values.flux[2, :3, 0] == np.nanmedian(image.flux[2]).astype(np.float32)).all()
    assert np.isfinite(shown.values.flux).all()


def test_an_image_without_a_band_that_says_anything_is_dropped(hsc: Modality) -> None:
    lost, flat = picture(), picture()
    lost.flux[1, :11] = np.nan
    flat.flux[3] = 0.25
    assert give(lost, hsc, "flux-v1") == Dropped("mostly-nonfinite")
    assert give(flat, hsc, "flux-v1") == Dropped("constant-image")


def test_a_spectrum_is_given_with_all_that_is_known_of_it() -> None:
    modality = Modality(name="desi", kind="spectrum", column="spectrum", recipe="spectrum-v1")
    seen = spectrum()
    seen.flux[:2], seen.ivar[1:4] = np.nan, np.inf
    shown, plain = give(seen, modality, "spectrum-flux-v1"), give(seen, modality, "spectrum-v1")
    assert isinstance(shown, Prepared)
    assert isinstance(plain, Prepared)
    assert isinstance(shown.values, Spectrum)
    assert (shown.values.flux == plain.values).all()
    assert shown.repaired == plain.repaired == {"nonfinite-samples": 2}
    assert not shown.values.ivar[:4].any()
    assert (shown.values.ivar[4:] == seen.ivar[4:]).all()
    assert (shown.values.wavelength == seen.wavelength).all()
    seen.flux[:] = 1
    assert give(seen, modality, "spectrum-flux-v1") == Dropped("constant-spectrum")


def test_a_model_of_pictures_refuses_raw_fluxes() -> None:
    for values in (picture(), spectrum()):
        with pytest.raises(TypeError, match="a model of numbers was given a"):
            as_array(values)


def test_each_row_names_a_recipe_of_what_it_takes() -> None:
    named = [row for row in known_models().values() if row.recipe is not None]
    assert {row.family for row in named} >= {"aion", "aion-desi"}
    for row in named:
        assert row.recipe is not None
        assert find_recipe(row.recipe).kind == row.takes


class MeanFlux:
    """A model of raw fluxes: their mean in each band."""

    device, blocks = "cpu", 0

    def prepare(self, values: Values) -> ModelInput:
        assert isinstance(values, Image)
        return values.flux.mean(axis=(1, 2))

    def encode(self, batch: Sequence[ModelInput], layers: Sequence[str]) -> tuple[Floats, ...]:
        return tuple(np.stack([np.asarray(one) for one in batch]) for _ in layers)


def test_a_model_that_needs_a_recipe_is_shown_the_modality_by_it(
    write_table: Any, image: Callable[..., dict[str, Any]], ask: Any, settings: Settings, fake_model: ModelRef
) -> None:
    rows = [image(seed) for seed in range(7)]
    dataset, (hsc,) = resolve_dataset(ask(write_table(rows)), settings)
    model = fake_model.model_copy(update={"recipe": "flux-v1"})
    spec = EmbeddingSpec(dataset=dataset, modality=hsc, model=model)
    plain = spec.model_copy(update={"model": fake_model})
    assert (spec.recipe, plain.recipe) == ("flux-v1", "arcsinh-image-v1")
    assert spec.digest != plain.digest
    store, source = MemoryStore(), open_source(dataset, settings)
    attempt = Attempt(name="a" * 32, worker="here")
    for index in range(spec.parts()):
        embed_part(
            [spec],
            index,
            source=source,
            adapter=MeanFlux(),
            store=store,
            attempt=attempt,
            batch=3,
            on_rows=lambda _: None,
        )
    manifest = finish(spec, store)
    assert manifest is not None
    expected = [np.mean(row["flux"], axis=(1, 2)) for row in rows]
    assert np.abs(load_vectors(store, manifest).matrix - expected).max() < 1e-6


def test_without_a_recipe_of_its_own_a_model_sees_the_modality_s(hsc: Modality) -> None:
    sample = Sample("g0", 0, Image(BANDS, np.random.default_rng(0).random((5, 60, 60), np.float32), 0.168))
    ((_, given),) = prepare_objects([sample], hsc, MeanFlux(), Counter(), Counter(), recipe="flux-v1")
    assert np.asarray(given).shape == (5,)
    with pytest.raises(AssertionError):
        list(prepare_objects([sample], hsc, MeanFlux(), Counter(), Counter()))


def test_an_image_smaller_than_its_sisters_is_said_with_object_and_row(
    hsc: Modality, fake_model: ModelRef, settings: Settings
) -> None:
    random = np.random.default_rng(0)
    sides = (60, 60, 9)
    mixed = [Sample(f"g{row}", row, Image(BANDS, random.random((5, side, side), np.float32), 0.168))
             for row, side in enumerate(sides)]  # fmt: skip
    given = prepare_objects(mixed, hsc, load_adapter(fake_model, settings), Counter(), Counter())
    with pytest.raises(BadInput, match=r"object 'g2', row 2 of the dataset: a field of .*; the image has 9;"):
        list(given)


def test_what_a_row_needs_and_knows_reaches_the_model(settings: Settings) -> None:
    (settings.hub_dir / "models" / "polymathic-ai" / "aion-base").mkdir(parents=True)  # type: ignore[operator]
    for name in ("aion-base", "aion-desi-base"):
        row = find_model(name)
        model = resolve_model(row, settings)
        assert (model.recipe, model.knows, model.options) == (row.recipe, row.knows, row.options)
