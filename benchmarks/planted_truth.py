"""MKNN against planted truth: the simulated sky with more and more noise, and beside it galaxies that are not the same.

    python -m benchmarks.planted_truth [GALAXIES] [MODEL]

Galaxies are rendered without noise once; each survey's own noise is then added, so many times as strong. What a
model makes of two surveys must agree the better the less noise there is, and by chance alone where the objects on
the other side are others, given the same ids. Everything between pixels and score is what studies use.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from rich.console import Console
from rich.table import Table

from embedder.adapters.base import Adapter
from embedder.adapters.loading import load_adapter
from embedder.catalogue.datasets import find_dataset
from embedder.catalogue.models import find_model
from embedder.pipeline import prepare_objects
from embedder.resolve import resolve_model
from embedder.samples import Floats, Image, Sample
from embedder.sources.mocksky.images import render_clean, sky_per_pixel
from embedder.sources.mocksky.population import Population
from embedder.sources.mocksky.surveys import SURVEYS, Survey
from scorer.calibration import Calibration, calibrate
from scorer.neighbourhoods.mknn import count_shared
from scorer.neighbours import nearest
from scorer.nulls import chance_of_mknn, count_relabelled
from scorer.pairing import join
from shared.settings import Settings
from shared.vectors import Vectors

NOISES = (0.25, 1.0, 4.0, 16.0, 64.0)
K, PERMUTATIONS, OTHERS = 10, 999, 100_000
_BATCH = 16


@dataclass(frozen=True, slots=True)
class Agreement:
    """MKNN of two sides of n objects, and what it is worth."""

    value: float
    chance: float
    worth: Calibration


def signal_to_noise(survey: Survey, images: Sequence[Floats], noise: float) -> float:
    """Of the brightest pixel over the empty sky's noise, in the band where that is most: median over galaxies."""
    ratios = [
        max(float(image[band].max()) / (noise * survey.bands[band].noise) for band in range(len(survey.bands)))
        for image in images
    ]
    return float(np.median(ratios))


def render_all(survey: Survey, galaxies: int, *, first: int = 0, seed: int = 0) -> list[Floats]:
    """Galaxies `first` and on of the sky of `seed`, without noise: `(band, y, x) float32` each."""
    population = Population(seed)
    return [render_clean(population.galaxy(first + number), survey) for number in range(galaxies)]


def add_noise(survey: Survey, images: Iterable[Floats], noise: float, *, seed: int = 0) -> Iterator[Sample]:
    """Samples of these images with `noise` times the survey's own noise; object i has the same id in every survey."""
    sky = np.array([sky_per_pixel(survey, band) for band in range(len(survey.bands))])[:, None, None]
    empty = noise * np.array([band.noise for band in survey.bands])[:, None, None]
    for number, image in enumerate(images):
        random = np.random.default_rng([seed, number, survey.stream])
        deviation = empty * np.sqrt(1.0 + np.maximum(image, 0.0) / sky)
        flux = (image + deviation * random.standard_normal(image.shape)).astype(np.float32)
        yield Sample(f"galaxy-{number:05d}", number, Image(survey.band_names, flux, survey.scale))


def embed(survey: Survey, samples: Iterable[Sample], adapter: Adapter) -> Vectors:
    """The vectors a model makes of what the survey's modality shows it."""
    modality = next(one for one in find_dataset("mocksky").modalities if one.name == survey.name)
    shown = iter(prepare_objects(samples, modality, adapter, Counter(), Counter()))
    ids: list[str] = []
    matrices: list[Floats] = []
    while group := list(islice(shown, _BATCH)):
        ids += [object_id for object_id, _ in group]
        matrices += adapter.encode([prepared for _, prepared in group], ["final"])
    return Vectors(tuple(ids), np.concatenate(matrices))


def compare(left: Vectors, right: Vectors) -> Agreement:
    """MKNN of the objects both sides have, against relabellings."""
    shared = join(left.object_ids, right.object_ids, at_least=K + 1)
    ours, theirs = nearest(left.take(shared.left_rows), K), nearest(right.take(shared.right_rows), K)
    n = len(shared.object_ids)
    stream = np.random.default_rng(0)
    null = count_relabelled(ours.table, theirs.table, (stream.permutation(n) for _ in range(PERMUTATIONS))) / (n * K)
    value = float(count_shared(ours, theirs).sum()) / (n * K)
    return Agreement(value, chance_of_mknn(n, K), calibrate(value, null, 0.95))


def experiment(
    adapter: Adapter, galaxies: int, left: str, right: str, noises: Sequence[float] = NOISES
) -> tuple[dict[float, tuple[float, Agreement]], Agreement]:
    """For each noise, the median signal-to-noise on the left and the agreement; and the agreement with other objects.

    The last answer is of the least noise, the right side showing other galaxies under the same ids.
    """
    ours, theirs = SURVEYS[left], SURVEYS[right]
    clean = render_all(ours, galaxies), render_all(theirs, galaxies)

    def see(survey: Survey, images: Sequence[Floats], noise: float) -> Vectors:
        return embed(survey, add_noise(survey, images, noise), adapter)

    found = {
        noise: (
            signal_to_noise(ours, clean[0], noise),
            compare(see(ours, clean[0], noise), see(theirs, clean[1], noise)),
        )
        for noise in noises
    }
    least = min(noises)
    strangers = render_all(theirs, galaxies, first=OTHERS)
    return found, compare(see(ours, clean[0], least), see(theirs, strangers, least))


def main() -> None:
    """Run the experiment with a real model, and print its table."""
    galaxies = int(sys.argv[1]) if len(sys.argv) > 1 else 512
    name = sys.argv[2] if len(sys.argv) > 2 else "efficientnet-lite0"
    settings = Settings.read()
    adapter = load_adapter(resolve_model(find_model(name), settings), settings)
    console = Console()
    for left, right in (("hsc", "jwst"), ("hsc", "legacysurvey")):
        found, strangers = experiment(adapter, galaxies, left, right)
        table = Table(
            "noise", "peak S/N", "MKNN", "chance", "threshold", "calibrated", "p",
            title=f"{left} | {right}, {galaxies} simulated galaxies, {name}, k = {K}",
        )  # fmt: skip
        for noise, (ratio, agreement) in found.items():
            table.add_row(f"{noise:g} x", f"{ratio:.3g}", *_cells(agreement))
        table.add_row("other galaxies", "", *_cells(strangers))
        console.print(table)


def _cells(agreement: Agreement) -> list[str]:
    worth = agreement.worth
    numbers = (agreement.value, agreement.chance, worth.threshold, worth.calibrated)
    return [*(f"{number:.4f}" for number in numbers), f"{worth.p_value:.3g}"]


if __name__ == "__main__":
    main()
