"""The specifications both services sign: of datasets, models, embeddings, pairs, scores and studies.

Imports pydantic only. A specification's digest covers its identity: what would change the vectors or
the numbers. Where the bytes happen to lie (`DatasetRef.location`) and hints for scheduling do not.
"""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from shared.contract import Contract, Nested
from shared.modalities import Kind, Modality
from shared.names import Name, Revision

Dtype = Literal["float32", "bfloat16", "float16"]
PairPolicy = Literal["crossmodal", "intramodal", "crosskind", "all", "probes"]
PairKind = Literal["crossmodal", "intramodal", "crosskind", "other", "probe"]
Options = dict[Name, str | int | float]


class DatasetRef(Contract):
    """A dataset at one revision: its first `rows` rows.

    source: how it is read: `parquet`, a folder of tables; `hub`, the same on the hub; or another kind, by name.
    revision: a commit, a content hash, or a simulation's version and seed; never a branch name.
    location: where the bytes are: a folder, a hub id, or a simulation's seed. Not identity.
    id_column: the column of object ids; None: the row's position within the revision and split is the id.
    """

    NOT_IDENTITY = frozenset({"location"})

    name: Name
    revision: Revision
    source: Name
    location: str
    split: Name = "train"
    id_column: str | None = None
    rows: int = Field(gt=0)
    simulated: bool = False


class ModelRef(Contract):
    """One checkpoint, pinned: all that a worker needs to load it.

    revision: the commit, or the release of a package that carries the weights; never a branch name; `as-published` of a
    model whose vectors somebody published, since nothing says of which commit they are.
    parameters: number of parameters, in millions; 0 of what computes nothing. part_rows: rows of one part, about a
    minute of work. options: what the adapter is told besides, such as a prompt, or a file within the checkpoint.
    recipe: the one it needs, in place of the modality's. knows: bands, or modalities by name, one of which a modality
    must have to be taken; none: any will do.
    """

    LATER = frozenset({"options", "recipe"})
    NOT_IDENTITY = frozenset({"parameters", "part_rows", "knows"})

    name: Name
    family: Name
    adapter: Name
    checkpoint: str = Field(min_length=1, max_length=200)
    revision: Revision
    pooling: Name
    takes: Kind = "image"
    parameters: float = Field(ge=0)
    part_rows: int = Field(default=256, gt=0)
    options: Options = {}
    recipe: Name | None = None
    knows: tuple[Name, ...] = ()

    def can_take(self, modality: Modality) -> bool:
        """Whether a modality is of its kind, and one that it knows."""
        if self.takes != modality.kind:
            return False
        return not self.knows or not {modality.name, *modality.bands}.isdisjoint(self.knows)


class EmbeddingSpec(Nested):
    """What makes one embedding: the job, and the name of its result.

    dtype: what the network computes in; vectors are kept in float32.
    """

    version: Literal[1] = 1
    dataset: DatasetRef
    modality: Modality
    model: ModelRef
    layer: Name = "final"
    dtype: Dtype = "float32"

    @property
    def recipe(self) -> str:
        """How objects are shown to the model."""
        return self.model.recipe or self.modality.recipe

    @property
    def published(self) -> bool:
        """Whether somebody published its vectors: then they are of no ladder, and no model, that is computed here."""
        return self.modality.kind == "vector"

    def parts(self) -> int:
        """Number of parts the job is cut into."""
        return -(-self.dataset.rows // self.model.part_rows)

    def part_range(self, index: int) -> tuple[int, int]:
        """First row and one past the last row of part `index`."""
        start = index * self.model.part_rows
        return start, min(start + self.model.part_rows, self.dataset.rows)

    @property
    def label(self) -> str:
        """A short name for people: `mocksky/hsc/efficientnet-lite0`."""
        tail = "" if self.layer == "final" else f"/{self.layer}"
        computed = "" if self.dtype == "float32" else f" in {self.dtype}"
        told = " as published" if self.published else ""
        return f"{self.dataset.name}/{self.modality.name}/{self.model.name}{tail}{computed}{told}"


class PairSpec(Contract):
    """Two embeddings of the same dataset; unordered: `A|B` is `B|A`."""

    version: Literal[1] = 1
    left: EmbeddingSpec
    right: EmbeddingSpec

    @model_validator(mode="before")
    @classmethod
    def _in_order(cls, data: Any) -> Any:
        if isinstance(data, dict) and "left" in data and "right" in data:
            sides = [EmbeddingSpec.model_validate(data[side]) for side in ("left", "right")]
            sides.sort(key=lambda side: (side.label, side.digest))
            return {**data, "left": sides[0], "right": sides[1]}
        return data

    @model_validator(mode="after")
    def _comparable(self) -> Self:
        ours, theirs = self.left.dataset, self.right.dataset
        if ours.digest != theirs.digest:
            raise ValueError(f"a pair is of one dataset, read one way, not of {ours.name} and {theirs.name}")
        if self.left.digest == self.right.digest:
            raise ValueError("a pair is of two embeddings, not of one with itself")
        return self

    @property
    def kind(self) -> PairKind:
        """`crossmodal`: one model, two modalities; `intramodal`: one family, one modality; `crosskind`: modalities of
        two kinds; `probe`: an embedding and a label of its objects; else `other`.

        What was computed here and what was published make a pair of one model, or of one family, only among themselves.
        """
        if "label" in (self.left.modality.kind, self.right.modality.kind):
            return "probe"
        left, right = self.left.modality, self.right.modality
        same_modality = left.name == right.name
        alike = self.left.published == self.right.published
        if self.left.model.name == self.right.model.name and alike and not same_modality:
            return "crossmodal"
        if left.seen != right.seen:
            return "crosskind"
        same_family = self.left.model.family == self.right.model.family
        return "intramodal" if same_modality and alike and same_family else "other"

    @property
    def label(self) -> str:
        """A short name for people."""
        return f"{self.left.label}|{self.right.label}"


_K = Annotated[int, Field(ge=1, le=1000)]
_SOME = Field(min_length=1, max_length=32)


def _one_or_several(given: object) -> object:
    return tuple(given) if isinstance(given, list | tuple) else (given,)


class Scoring(Nested):
    """How pairs are scored.

    metrics: of pairs of embeddings. probes: of an embedding and a label. k: numbers of neighbours counted, one or
    several; the first is shown where one is shown. permutations: relabellings drawn for the null. slow_permutations:
    the same for metrics that must be computed anew for each. resamples: bootstrap draws over objects. confidence: of
    the interval, and of the threshold that a calibrated score must pass. seed: of all that is drawn.
    """

    metrics: tuple[Name, ...] = ("mknn",)
    probes: tuple[Name, ...] = ("ridge-probe", "knn-probe", "label-agreement")
    k: Annotated[
        tuple[_K, ...], BeforeValidator(_one_or_several, json_schema_input_type=_K | Annotated[list[_K], _SOME])
    ] = Field(default=(10,), min_length=1, max_length=32)
    permutations: int = Field(default=1000, ge=99, le=100_000)
    slow_permutations: int = Field(default=199, ge=99, le=100_000)
    resamples: int = Field(default=1000, ge=99, le=100_000)
    confidence: float = Field(default=0.95, gt=0.5, lt=1)
    seed: int = Field(default=0, ge=0, le=2**63 - 1)

    @field_validator("k")
    @classmethod
    def _each_k_once(cls, k: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(dict.fromkeys(k))

    @field_validator("metrics", "probes")
    @classmethod
    def _some_metric(cls, metrics: tuple[str, ...]) -> tuple[str, ...]:
        if not metrics:
            raise ValueError("at least one metric is needed")
        return tuple(dict.fromkeys(metrics))

    @property
    def largest_k(self) -> int:
        """The neighbours that are searched for: all smaller numbers are read off their table."""
        return max(self.k)


class ScoreSpec(Contract):
    """What makes one score. metric_versions: of the metrics, when the study was accepted.

    Of a probe, `scoring.metrics` are the study's probes.
    """

    version: Literal[1] = 1
    pair: PairSpec
    scoring: Scoring = Scoring()
    metric_versions: dict[Name, int] = {}


class Study(Contract):
    """A study as accepted: every revision resolved, every job and pair expanded. Its digest is its id.

    pairs: indices into `embeddings`. metric_versions: as in `ScoreSpec`.
    """

    NOT_IDENTITY = frozenset({"title", "created_at"})

    version: Literal[1] = 1
    title: str = ""
    created_at: str
    embeddings: tuple[EmbeddingSpec, ...]
    pairs: tuple[tuple[int, int], ...]
    scoring: Scoring
    metric_versions: dict[Name, int] = {}

    @model_validator(mode="after")
    def _pairs_are_of_its_embeddings(self) -> Self:
        if not all(0 <= index < len(self.embeddings) for pair in self.pairs for index in pair):
            raise ValueError(f"pairs name embeddings by their place, 0 to {len(self.embeddings) - 1}")
        return self

    @property
    def id(self) -> str:
        """The study's id: the same request gives the same study."""
        return self.digest

    @cached_property
    def passes(self) -> tuple[tuple[EmbeddingSpec, ...], ...]:
        """Its embeddings, with those together that differ in the layer alone: one pass over the objects gives them."""
        together: dict[str, dict[str, EmbeddingSpec]] = {}
        for spec in self.embeddings:
            together.setdefault(spec.model_dump_json(exclude={"layer"}), {}).setdefault(spec.layer, spec)
        return tuple(tuple(layers.values()) for layers in together.values())

    def scores(self) -> tuple[ScoreSpec, ...]:
        """The scores wanted, in the order of `pairs`."""
        return tuple(self.score(a, b) for a, b in self.pairs)

    def score(self, a: int, b: int) -> ScoreSpec:
        """The score of the embeddings at these two indices."""
        pair = PairSpec(left=self.embeddings[a], right=self.embeddings[b])
        scoring = self.scoring_of_probes if pair.kind == "probe" else self.scoring_of_pairs
        versions = {name: self.metric_versions[name] for name in scoring.metrics if name in self.metric_versions}
        return ScoreSpec(pair=pair, scoring=scoring, metric_versions=versions)

    @cached_property
    def scoring_of_pairs(self) -> Scoring:
        """How pairs of embeddings are scored, whatever probes there are besides: another probe is no other score."""
        return self.scoring.model_copy(update={"probes": Scoring().probes})

    @cached_property
    def scoring_of_probes(self) -> Scoring:
        """How an embedding and a label are scored."""
        return self.scoring.model_copy(update={"metrics": self.scoring.probes, "probes": Scoring().probes})
