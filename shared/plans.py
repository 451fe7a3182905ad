"""What a study will cost, told before any of it runs. Imports pydantic only.

core-seconds: seconds times the cores that a worker holds meanwhile. What the store has already costs nothing.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

Basis = Literal["measured", "measured on other data", "estimated", "only read", "nothing to do"]
"""How a number of seconds is known.

`measured`: the median of what this installation's records say of the same model and modality. `measured on other data`:
the same of the model, shown something else. `estimated`: from the number of operations, and how many are done in a
second. `only read`: nothing is computed of it, as of published vectors and of labels, and nobody has measured it.
"""


class PassPlan(BaseModel):
    """One pass of a model over the objects of a dataset in one modality, which gives all layers that are wanted."""

    dataset: str
    modality: str
    model: str
    dtype: str
    jobs: int = Field(description="embeddings, one for each layer")
    jobs_done: int = Field(description="of these, what the store has: it costs nothing")
    rows: int = Field(description="objects to go through; 0 when all is done")
    parts: int
    dimension: int = Field(description="numbers in a vector")
    seconds: float = Field(description="of one embedder")
    core_seconds: float
    bytes_read: int | None = Field(description="of the source; null where it is not known")
    bytes_written: int
    basis: Basis


class MetricPlan(BaseModel):
    """What one metric or probe costs, over all pairs to be scored."""

    metric: str
    seconds: float


class PairsPlan(BaseModel):
    """The pairs of a dataset's embeddings, or those of its embeddings with labels."""

    dataset: str
    what: Literal["pairs", "probes"]
    pairs: int
    pairs_done: int
    objects: int
    searches: int = Field(description="for neighbours; of pairs one for each embedding whose table the store lacks")
    seconds: float = Field(description="of one scorer")
    core_seconds: float
    longest: float = Field(description="seconds of the longest step: a pair with its searches, or a tile of one")
    search_seconds: float = Field(description="of these, for the searches")
    metrics: list[MetricPlan]
    bytes_read: int = Field(description="of the store")
    bytes_written: int
    basis: Basis


class StudyPlan(BaseModel):
    """What a study will cost. study: the id that it will have.

    rate: 10^9 operations a second, by which what was never measured is estimated; rate_from: where it is from.
    seconds_least, seconds_most: from the first step to the last score: when scoring waits for nothing, and when it
    begins with the last embedding.
    """

    study: str
    title: str
    simulated: bool
    embedders: int
    scorers: int
    threads: int = Field(description="of each worker")
    jobs: int
    jobs_done: int
    rows: int
    pairs: int
    pairs_done: int
    passes: list[PassPlan]
    scores: list[PairsPlan]
    embedding_seconds: float = Field(description="on so many embedders")
    scoring_seconds: float = Field(description="on so many scorers")
    seconds_least: float
    seconds_most: float
    core_hours: float
    bytes_read: int | None
    bytes_written: int
    rate: float
    rate_from: str
    scores_measured: int = Field(description="score records by which the laws of the metrics were corrected")
