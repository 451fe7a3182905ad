"""Models that are in the code: what computes nothing, and the fakes of the tests. Imports the row types only."""

from __future__ import annotations

from embedder.catalogue.rows import Family, ModelRow, Size

LABEL = ModelRow(
    name="label",
    family="label",
    size="none",
    title="What is known of an object, as it is: what probes hold embeddings against",
    adapter="label",
    origin="builtin",
    checkpoint="label",
    revision="1",
    parameters=0,
    pooling="value",
    takes="label",
    licence="Apache-2.0",
    part_rows=65536,
    listed=False,
)
_NUMBERS = ModelRow(
    name="numbers",
    family="numbers",
    size="none",
    title="The numbers of a catalogue, as they are: how far plain photometry gets",
    adapter="numbers",
    origin="builtin",
    checkpoint="numbers",
    revision="1",
    parameters=0,
    pooling="value",
    takes="numbers",
    licence="Apache-2.0",
    part_rows=65536,
)
_FAKE = Family(
    name="fake",
    title="Seeded random projection, {size}; for tests",
    adapter="fake",
    origin="builtin",
    revision="1",
    pooling="mean",
    licence="Apache-2.0",
    dtypes=("float32",),
    listed=False,
)

ROWS = (
    _NUMBERS,
    LABEL,
    *_FAKE.rows(
        Size("small", "fake-small", 0.014, 32, 2, dimension=32),
        Size("large", "fake-large", 0.055, 32, 2, dimension=128),
        Size("slow", "fake-slow", 0.056, 32, 2),
        Size("poison", "fake-poison", 0.057, 32, 2),
        Size("hung", "fake-hung", 0.058, 32, 2),
    ),
)
