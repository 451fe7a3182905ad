"""What work leaves behind: receipts, manifests, scores, failures, and the changes of state that led there.

Imports pydantic and the specifications only. Every record is JSON in the object store, frozen and validated.
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from shared.contract import Contract
from shared.contracts import EmbeddingSpec, ScoreSpec
from shared.names import Digest, Name, Sha256
from shared.states import State


class Transition(Contract):
    """One change of state of a step, a job, a pair or a study. why: the reason, where there is one to give."""

    state: State
    at: str
    worker: str
    step: str = ""
    why: str = ""


class Attempt(Contract):
    """One start of a step. name: what no other start has. token: the fencing token of its lease; a later holder's is
    higher. history: what had happened to the step, up to this start.
    """

    name: Name
    worker: str
    token: int = Field(default=0, ge=0)
    history: tuple[Transition, ...] = ()


class Part(Contract):
    """The receipt of one stored part: rows `start` to `stop` of the dataset, less those dropped.

    dropped: objects left out, by reason. repaired: values mended, by kind. seconds: wall time; at: when it was stored.
    Every row is accounted for: it has a vector, or a reason why not. token, worker, history: of the attempt.
    """

    index: int = Field(ge=0)
    start: int = Field(ge=0)
    stop: int = Field(gt=0)
    key: str
    rows: int = Field(ge=0)
    dimension: int = Field(gt=0)
    size: int = Field(gt=0, description="bytes")
    sha256: Sha256
    dropped: dict[str, int] = {}
    repaired: dict[str, int] = {}
    seconds: float = Field(ge=0)
    worker: str
    token: int = Field(default=0, ge=0)
    at: str = ""
    device: str = ""
    packages: dict[str, str] = {}
    history: tuple[Transition, ...] = ()

    @model_validator(mode="after")
    def _every_row_accounted_for(self) -> Self:
        if self.rows + sum(self.dropped.values()) != self.stop - self.start:
            raise ValueError(
                f"{self.rows} vectors and {sum(self.dropped.values())} dropped objects do not account for rows "
                f"{self.start} to {self.stop}"
            )
        return self


class Manifest(Contract):
    """The proof that an embedding is whole: its parts with their hashes. Written last.

    It follows from its parts alone, so that whoever writes it writes the same bytes. packages, device: of all parts,
    those that differ side by side. created_at: when the last part was stored.
    """

    version: Literal[1] = 1
    spec: EmbeddingSpec
    rows: int = Field(gt=0, description="vectors, all parts together")
    dimension: int = Field(gt=0)
    parts: tuple[Part, ...]
    dropped: dict[str, int] = {}
    repaired: dict[str, int] = {}
    packages: dict[str, str] = {}
    device: str
    created_at: str

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        if [part.index for part in self.parts] != list(range(self.spec.parts())):
            raise ValueError("the manifest must name every part once, in order")
        if sum(part.rows for part in self.parts) != self.rows:
            raise ValueError("the rows of the parts do not add up to the manifest's")
        return self


class Interval(Contract):
    """An interval at `confidence`.

    method: `bootstrap`, percentiles over objects drawn with replacement; `jackknife`, value and standard error.
    """

    low: float
    high: float
    confidence: float
    method: Literal["bootstrap", "jackknife"] = "bootstrap"


class MetricResult(Contract):
    """One metric of one pair, with what it is worth.

    k: neighbours counted; None for a metric that counts none. chance: the value expected of unrelated embeddings.
    null_mean, null_std: of the value over relabellings. p_value: (1 + #{null >= value})/(permutations + 1).
    threshold: what the null stays below at the interval's confidence; calibrated: 0 at or below it, 1 for a perfect
    score (arXiv 2602.14486). standard_error: jackknife over objects. details: further numbers, by name. None is what a
    metric cannot give.
    """

    metric: Name
    metric_version: int
    k: int | None = None
    value: float
    chance: float | None = None
    null_mean: float | None = None
    null_std: float | None = None
    p_value: float | None = Field(default=None, gt=0, le=1)
    permutations: int = Field(default=0, ge=0)
    threshold: float | None = None
    calibrated: float | None = None
    interval: Interval | None = None
    standard_error: float | None = None
    details: dict[str, float] = {}

    @property
    def label(self) -> str:
        """Its name in a record: `mknn@10`, `cka`."""
        return self.metric if self.k is None else f"{self.metric}@{self.k}"


class Provenance(Contract):
    """Where a number comes from: manifests by SHA-256, packages, time."""

    left_manifest: Sha256
    right_manifest: Sha256
    packages: dict[str, str]
    seconds: float
    threads: int
    created_at: str
    worker: str


class ScoreRecord(Contract):
    """The record of one pair. left_objects, right_objects: sizes; objects: how many the two share.

    results: of each metric, and of each k where it counts neighbours. per_object: key of the Parquet table (object_id,
    and a column for each result that is a mean over objects, `mknn@10`) of per-object values, with its SHA-256.
    nulls: key of the table (result, null) of each result's values under relabelling, with its SHA-256. The relabellings
    follow from seed and objects alone, so that they are the same for all pairs of the same objects.
    """

    version: Literal[1] = 1
    spec: ScoreSpec
    left_objects: int
    right_objects: int
    objects: int
    results: tuple[MetricResult, ...]
    per_object: str
    per_object_sha256: str = Field(default="", pattern=r"^([0-9a-f]{64})?$")
    nulls: str = ""
    nulls_sha256: str = Field(default="", pattern=r"^([0-9a-f]{64})?$")
    provenance: Provenance
    history: tuple[Transition, ...] = ()

    def result(self, metric: str, k: int | None = None) -> MetricResult | None:
        """The result of this metric, at this k or else at the first one; None when the record has none."""
        found = (one for one in self.results if one.metric == metric and k in (None, one.k))
        return next(found, None)


class Failure(Contract):
    """Why a job or a pair ended without a result. It is kept, and shown. work: digest of the job or score."""

    version: Literal[1] = 1
    work: Digest
    label: str
    code: str
    wrong: str
    expected: str = ""
    remedy: str = ""
    attempts: int = Field(ge=1)
    worker: str
    at: str


class Ending(Contract):
    """How a job, pair or study ended without a result (`failed`, `cancelled`), or was asked for again (`queued`).

    subject: digest of the job or score, or the study's id. history: what had happened to it.
    """

    version: Literal[1] = 1
    subject: Digest
    label: str
    state: Literal[State.FAILED, State.CANCELLED, State.QUEUED]
    at: str
    worker: str
    failure: Failure | None = None
    history: tuple[Transition, ...] = ()
