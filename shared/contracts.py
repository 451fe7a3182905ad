"""The specifications both services sign: frozen, versioned, validated, and digested from their content.

Imports pydantic only. A specification's digest covers its identity: what would change the vectors or
the numbers. Where the bytes happen to lie (`DatasetRef.location`) and hints for scheduling do not.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from shared.names import Name, Printable, Revision

Kind = Literal["image", "spectrum", "text", "label"]
SourceKind = Literal["parquet", "hub", "mocksky"]
Pooling = Literal["cls", "mean", "patch-mean", "spatial-mean", "masked-mean", "last-token", "value"]
PairPolicy = Literal["crossmodal", "intramodal", "all", "probes"]
PairKind = Literal["crossmodal", "intramodal", "other", "probe"]


class Contract(BaseModel):
    """A frozen value that refuses unknown fields and knows its own digest."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    NOT_IDENTITY: ClassVar[frozenset[str]] = frozenset()
    LATER: ClassVar[frozenset[str]] = frozenset()
    """Fields that came after digests were first stored: at their default they are left out, and no digest changes."""

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy with some fields changed, its own digest, and nothing kept that was made of the old ones."""
        copy = super().model_copy(update=update, deep=deep)
        for kept in vars(copy).keys() - type(self).model_fields.keys():
            vars(copy).pop(kept)
        return copy

    def canonical(self) -> str:
        """The identity, which is the fields that decide the content, as JSON: ASCII, names in order, no spaces."""
        values = {name: getattr(self, name) for name in type(self).model_fields if name not in self.NOT_IDENTITY}
        defaults = {name: type(self).model_fields[name].default for name in self.LATER}
        return _canonical({name: value for name, value in values.items() if defaults.get(name, _NEVER) != value})

    @cached_property
    def digest(self) -> str:
        """128 bits of the SHA-256 of the identity's canonical JSON, as 32 hexadecimal digits."""
        return hashlib.sha256(self.canonical().encode()).hexdigest()[:32]

    def to_json(self) -> bytes:
        """The whole record as UTF-8 JSON; the same value always gives the same bytes."""
        return self.model_dump_json(indent=1).encode()


class Nested(Contract):
    """A contract that stands in many others, whose digests need its canonical JSON again: it is kept."""

    def canonical(self) -> str:
        """See `Contract.canonical`."""
        return self.kept_canonical

    @cached_property
    def kept_canonical(self) -> str:
        """What `canonical` gives."""
        return super().canonical()


_NEVER = object()  # no field's value


def _canonical(value: Any) -> str:
    if isinstance(value, Contract):
        return value.canonical()
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{json.dumps(key)}:{_canonical(value[key])}" for key in sorted(value)) + "}"
    if isinstance(value, tuple | list):
        return "[" + ",".join(map(_canonical, value)) + "]"
    return json.dumps(value)


class CatalogueColumn(Contract):
    """A column of numbers or words that is told in a sentence.

    title: what it is called there; empty: its name. missing: what stands for an unknown one, such as -99 or `n/a`.
    """

    name: Printable = Field(min_length=1, max_length=128)
    title: Printable = Field(default="", max_length=128)
    unit: Printable = Field(default="", max_length=64)
    missing: tuple[float | str, ...] = Field(default=(), max_length=10)


class Modality(Contract):
    """One way of seeing the objects of a dataset, and how it becomes model input.

    kind: `image`, `spectrum`; `text`, columns of a catalogue told in one sentence; `label`, one known property of the
    objects, which is held against embeddings and is none itself. column: where it stands; none for a text.
    columns: of a text. unit: of a label, as astropy writes it. classes: the words a label may be; none: it is a number.
    missing: what stands for an unknown label, such as -99 or `n/a`.
    bands: the bands shown, blue to red: three, or one shown as grey; none but for an image.
    field_arcsec: angular size of the centre patch that is shown; None shows the whole image.
    scale_arcsec: arcsec per pixel, used only where the table carries no `scale`.
    """

    LATER = frozenset({"columns", "unit", "classes", "missing"})

    name: Name
    kind: Kind
    column: str = Field(default="", max_length=128)
    recipe: Name
    bands: tuple[str, ...] = ()
    field_arcsec: float | None = Field(default=None, gt=0)
    scale_arcsec: float | None = Field(default=None, gt=0)
    columns: tuple[CatalogueColumn, ...] = Field(default=(), max_length=100)
    unit: Printable = Field(default="", max_length=64)
    classes: tuple[Printable, ...] = Field(default=(), max_length=100)
    missing: tuple[float | str, ...] = Field(default=(), max_length=10)

    @model_validator(mode="after")
    def _fields_fit_kind(self) -> Self:
        if self.kind == "text" and (self.column or not self.columns):
            raise ValueError("a text is made of `columns`, at least one, and has no `column`")
        if self.kind != "text" and (self.columns or not self.column):
            raise ValueError(f"{self.kind} data stand in one `column`")
        if len({column.name for column in self.columns}) != len(self.columns):
            raise ValueError("`columns` are told once each")
        if self.kind != "label" and (self.unit or self.classes or self.missing):
            raise ValueError("`unit`, `classes` and `missing` are for a label")
        if len(set(self.classes)) != len(self.classes) or len(self.classes) == 1:
            raise ValueError("`classes` are at least two words, each once")
        if any(word != word.strip() or not word for word in self.classes):
            raise ValueError("a class is a word without white space around it")
        if self.kind in ("text", "label") and (self.bands or self.field_arcsec or self.scale_arcsec):
            raise ValueError("`bands`, `field_arcsec` and `scale_arcsec` are for an image")
        if self.kind == "image" and len(self.bands) not in (1, 3):
            raise ValueError(f"an image is shown by one band or by three, blue to red, not {len(self.bands)}")
        return self


class DatasetRef(Contract):
    """A dataset at one revision: its first `rows` rows.

    revision: a commit, a content hash, or a simulation's version and seed; never a branch name.
    location: where the bytes are: a folder, a hub id, or a simulation's seed. Not identity.
    id_column: the column of object ids; None: the row's position within the revision and split is the id.
    """

    NOT_IDENTITY = frozenset({"location"})

    name: Name
    revision: Revision
    source: SourceKind
    location: str
    split: Name = "train"
    id_column: str | None = None
    rows: int = Field(gt=0)
    simulated: bool = False


class ModelRef(Contract):
    """One checkpoint, pinned: all that a worker needs to load it.

    revision: the commit, or the release of a package that carries the weights; never a branch name.
    parameters: number of parameters, in millions; 0 of what only gives labels. part_rows: rows of one part, about a
    minute of work.
    """

    NOT_IDENTITY = frozenset({"parameters", "part_rows"})

    name: Name
    family: Name
    adapter: Name
    checkpoint: str = Field(min_length=1, max_length=200)
    revision: Revision
    pooling: Pooling
    takes: Kind = "image"
    parameters: float = Field(ge=0)
    part_rows: int = Field(default=256, gt=0)


class EmbeddingSpec(Nested):
    """What makes one embedding: the job, and the name of its result."""

    version: Literal[1] = 1
    dataset: DatasetRef
    modality: Modality
    model: ModelRef
    layer: Name = "final"
    dtype: Literal["float32"] = "float32"

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
        return f"{self.dataset.name}/{self.modality.name}/{self.model.name}{tail}"


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
        """`crossmodal`: one model, two modalities; `intramodal`: one family, one modality; `probe`: an embedding and a
        label of its objects; else `other`.
        """
        if "label" in (self.left.modality.kind, self.right.modality.kind):
            return "probe"
        same_modality = self.left.modality.name == self.right.modality.name
        if self.left.model.name == self.right.model.name and not same_modality:
            return "crossmodal"
        return "intramodal" if same_modality and self.left.model.family == self.right.model.family else "other"

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
