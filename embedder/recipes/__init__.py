"""From fluxes and catalogue entries to model input: registered recipes, each a function of one object and its modality.

Imports numpy only. A recipe sees one object and never its batch-mates, so an embedding depends on its object
alone. An object that cannot be shown is `Dropped` with a reason, which is counted and reported; that is an
expected end, not an error.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from embedder.extensions import Registry
from embedder.recipes.entries import give_numbers, give_vector, read_label, tell_entry
from embedder.recipes.images import PERCENTILES, give_flux, show_by_image, show_by_survey, show_picture
from embedder.recipes.light_curves import show_light_curve
from embedder.recipes.shown import Dropped, Prepared, Values
from embedder.recipes.spectra import give_spectrum, show_spectrum
from embedder.samples import Observation
from shared.errors import BadStudy
from shared.modalities import Kind, Modality

__all__ = ["PERCENTILES", "RECIPES", "Dropped", "Prepared", "Recipe", "Values", "check_recipe", "find_recipe"]


@dataclass(frozen=True, slots=True)
class Recipe:
    """One way from flux to model input.

    bands: the only bands it knows, or None where any will do. of_pictures: whether it takes images that are in colours
    already, and so have no bands.
    """

    name: str
    kind: Kind
    prepare: Callable[[Observation, Modality], Prepared | Dropped]
    bands: frozenset[str] | None = None
    of_pictures: bool = False


def find_recipe(name: str) -> Recipe:
    """The recipe of that name. Raises UnknownName, with near names."""
    return RECIPES.find(name)


def check_recipe(modality: Modality) -> None:
    """Refuse a modality whose recipe is unknown, or cannot show it. Raises UnknownName or BadStudy."""
    recipe = find_recipe(modality.recipe)
    if recipe.kind != modality.kind:
        fitting = sorted(name for name in RECIPES.names() if RECIPES.find(name).kind == modality.kind)
        raise BadStudy(
            f"recipe {recipe.name} of modality {modality.name} is for {recipe.kind} data, not {modality.kind}",
            f"one of {', '.join(fitting)}",
        )
    if modality.kind == "image" and recipe.of_pictures == bool(modality.bands):
        raise BadStudy(
            f"recipe {recipe.name} of modality {modality.name} with {len(modality.bands)} bands",
            "bands for fluxes, and none for pictures that are in colours already",
            "name the bands, or take recipe picture-v1 without any",
        )
    unknown = set() if recipe.bands is None else set(modality.bands) - recipe.bands
    if unknown:
        raise BadStudy(
            f"recipe {recipe.name} of {modality.name} has no survey percentiles for {', '.join(sorted(unknown))}",
            f"bands {', '.join(sorted(recipe.bands or ()))}",
            "use recipe arcsinh-image-v1, which takes any band",
        )


RECIPES = Registry[Recipe](
    "recipe",
    {
        recipe.name: recipe
        for recipe in (
            Recipe("arcsinh-match-v1", "image", show_by_survey, frozenset(PERCENTILES)),
            Recipe("arcsinh-image-v1", "image", show_by_image),
            Recipe("flux-v1", "image", give_flux),
            Recipe("picture-v1", "image", show_picture, of_pictures=True),
            Recipe("spectrum-v1", "spectrum", show_spectrum),
            Recipe("spectrum-flux-v1", "spectrum", give_spectrum),
            Recipe("light-curve-v1", "light-curve", show_light_curve),
            Recipe("sentence-v1", "text", tell_entry),
            Recipe("numbers-v1", "numbers", give_numbers),
            Recipe("vector-v1", "vector", give_vector),
            Recipe("label-v1", "label", read_label),
        )
    },
    lambda extension: extension.recipes,
)
