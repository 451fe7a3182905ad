"""A model and a dataset for Same Sky. The api imports this module, so it holds rows and imports nothing heavy."""

from embedder.catalogue.rows import DatasetRow, ModelRow
from embedder.extensions import Extension
from shared.modalities import Modality

_BANDS = ("blue", "green", "red")

EXTENSION = Extension(
    models=(
        ModelRow(
            name="morphology",
            family="morphology",
            size="none",
            title="Rings of light, asymmetry, Gini and M20 of each colour",
            adapter="morphology",
            origin="builtin",
            checkpoint="samesky-spirals",
            revision="1",
            parameters=0,
            pooling="value",
            licence="Apache-2.0",
            part_rows=4096,
            dtypes=("float32",),
        ),
    ),
    datasets=(
        DatasetRow(
            name="spirals",
            title="Drawn spiral galaxies, sharp and blurred",
            source="spirals",
            revision="v1",
            modalities=tuple(
                Modality(name=name, kind="image", column=name, recipe="arcsinh-image-v1", bands=_BANDS)
                for name in ("sharp", "blurred")
            ),
            labels={"pitch": "deg"},
            rows=200,
            most_rows=100_000,
            simulated=True,
            licence="Apache-2.0",
        ),
    ),
    adapters={"morphology": "samesky_spirals.morphology:load"},
    sources={"spirals": "samesky_spirals.drawing:SPIRALS"},
)
