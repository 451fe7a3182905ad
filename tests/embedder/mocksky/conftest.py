"""One population and one cached sky for all tests of the simulated universe."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from embedder.samples import Image, Observation, Spectrum
from embedder.sources.mocksky import MockSky
from embedder.sources.mocksky.population import Galaxy, Population
from shared.modalities import Modality


def modality(name: str) -> Modality:
    """A modality row by that name; mocksky looks at nothing else."""
    kind = "spectrum" if name == "desi" else "image"
    bands = () if kind == "spectrum" else ("a", "b", "c")
    return Modality(name=name, kind=kind, column=name, recipe="any", bands=bands)


def fingerprint(observation: Observation) -> bytes:
    """All bytes of an observation."""
    if isinstance(observation, Image):
        return observation.flux.tobytes() + repr((observation.bands, observation.scale)).encode()
    assert isinstance(observation, Spectrum)
    return b"".join(a.tobytes() for a in (observation.flux, observation.ivar, observation.wavelength, observation.mask))


@pytest.fixture(scope="session")
def sky(tmp_path_factory: pytest.TempPathFactory) -> MockSky:
    return MockSky(seed=7, size=96, cache=Path(tmp_path_factory.mktemp("mocksky")))


@pytest.fixture(scope="session")
def galaxies() -> list[Galaxy]:
    population = Population(0)
    return [population.galaxy(number) for number in range(400)]


@pytest.fixture(scope="session")
def labels() -> dict[str, np.ndarray]:
    return dict(MockSky(seed=0, size=1000).labels(0, 1000))
