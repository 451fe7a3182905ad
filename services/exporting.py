"""The embeddings of a study as one table, in the form in which the field publishes them.

`object_id`, and a column of vectors for each embedding, `<family>_<size>_<modality>`, as float32 lists of fixed length,
to the bit as they are stored. A table holds the objects that every embedding has: nothing in it is null. Vectors are
read part by part and written by row groups, so that memory holds a part of each embedding and one row group.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from embedder.catalogue.models import known_models
from embedder.catalogue.published import fold, name_column
from shared.contracts import EmbeddingSpec, Study
from shared.embeddings import load_object_ids, read_manifest_with_hash, read_parts
from shared.errors import BadInput, BadRecord, EmptyDataset
from shared.outcomes import Manifest
from shared.store import ObjectStore
from shared.vectors import Vectors

ID_COLUMN = "object_id"
_GROUP_NUMBERS = 1 << 24  # of a row group: 64 MiB
_PAGE_BYTES = 1 << 26


class Column(NamedTuple):
    """One embedding that goes into a table. sha256: of its manifest."""

    name: str
    manifest: Manifest
    sha256: str


class Exported(NamedTuple):
    """What a table holds. left_out: how many objects each embedding has that another one lacks, where it has some."""

    rows: int
    columns: list[str]
    left_out: dict[str, int]


def export_table(store: ObjectStore, study: Study, target: Path, *, dataset: str | None = None) -> Exported:
    """Write the embeddings of a study to `target`, whole or not at all; labels are none.

    dataset: the one to export, of a study of several. Raises BadInput for a study of several datasets of which none is
    named, an embedding that is not whole, two that would share a name, and a file that cannot be written; EmptyDataset
    when they share no object; Corrupt for what is damaged.
    """
    columns = _columns_of(store, _specs_of(study, dataset))
    ids, left_out = _common_ids(store, columns)
    aside = target.with_name(f".{target.name}.part")
    try:
        _write(store, columns, ids, aside)
        aside.replace(target)
    except OSError as error:
        raise BadInput(f"{target} cannot be written: {error.strerror or error}") from error
    finally:
        with suppress(OSError):
            aside.unlink(missing_ok=True)
    return Exported(len(ids), [column.name for column in columns], left_out)


def _specs_of(study: Study, dataset: str | None) -> list[EmbeddingSpec]:
    specs = [spec for spec in study.embeddings if spec.modality.kind != "label"]
    chosen = [spec for spec in specs if dataset in (None, spec.dataset.name)]
    names = sorted({spec.dataset.name for spec in specs})
    if len({spec.dataset.digest for spec in chosen}) != 1:
        if len({spec.dataset.name for spec in chosen}) == 1:  # at two limits, or revisions
            raise BadInput(
                f"the study reads {chosen[0].dataset.name} in several ways", "one", "export from studies of their own"
            )
        raise BadInput(
            f"the study has {dataset or 'several datasets'}: {', '.join(names)}"
            if chosen
            else f"the study has no embedding of {dataset}",
            "embeddings of one dataset, whose objects have the same ids",
            f"name one with --dataset: {', '.join(names)}",
        )
    return chosen


def _columns_of(store: ObjectStore, specs: Sequence[EmbeddingSpec]) -> list[Column]:
    columns: dict[str, Column] = {}
    for spec in specs:
        found = read_manifest_with_hash(store, spec)
        if found is None:
            raise BadInput(f"{spec.label} is not whole", "embeddings that are", "wait until the study is done")
        name = _name(spec)
        if name in columns:
            raise BadInput(
                f"{columns[name].manifest.spec.label} and {spec.label} would both be column {name}",
                "a name for each",
                "export them from studies of their own",
            )
        columns[name] = Column(name, *found)
    return list(columns.values())


def _name(spec: EmbeddingSpec) -> str:
    row = known_models().get(spec.model.name)
    if row is not None:
        return name_column(row, spec.modality.name, spec.layer)
    layer = () if spec.layer == "final" else (spec.layer,)  # a model that this release does not know
    return fold("_".join((spec.model.name, spec.modality.name, *layer)))


def _common_ids(store: ObjectStore, columns: Sequence[Column]) -> tuple[list[str], dict[str, int]]:
    """The ids that every embedding has, in the order of rows, and how many more each has."""
    order = list(load_object_ids(store, columns[0].manifest))
    common = set(order)
    for column in columns[1:]:
        common &= set(load_object_ids(store, column.manifest))
    if not common:
        raise EmptyDataset("the embeddings share no object", "at least one that all of them have")
    more = {column.name: column.manifest.rows - len(common) for column in columns}
    return [one for one in order if one in common], {name: count for name, count in more.items() if count}


def _write(store: ObjectStore, columns: Sequence[Column], ids: Sequence[str], target: Path) -> None:
    schema = _schema(columns)
    common = frozenset(ids)
    readers = [_Reader(store, column, common) for column in columns]
    at_once = max(1, _GROUP_NUMBERS // sum(column.manifest.dimension for column in columns))
    with pq.ParquetWriter(
        target,
        schema,
        use_dictionary=False,
        write_statistics=[ID_COLUMN],
        compression={ID_COLUMN: "zstd", **{f"{column.name}.list.element": "none" for column in columns}},
        data_page_size=_PAGE_BYTES,
    ) as file:
        for start in range(0, len(ids), at_once):
            rows = ids[start : start + at_once]
            arrays = [pa.array(rows, pa.string())]
            for reader, field in zip(readers, list(schema)[1:], strict=True):
                numbers = pa.array(reader.take(rows).reshape(-1))
                arrays.append(pa.FixedSizeListArray.from_arrays(numbers, type=field.type))
            file.write_table(pa.Table.from_arrays(arrays, schema=schema), row_group_size=len(rows))


class _Reader:
    """The vectors of one embedding, in the order of rows, of the objects that all of them have."""

    def __init__(self, store: ObjectStore, column: Column, common: frozenset[str]) -> None:
        self._label, self._common = column.manifest.spec.label, common
        self._parts: Iterator[Vectors] = read_parts(store, column.manifest)
        self._ids: list[str] = []
        self._rest: npt.NDArray[np.float32] = np.empty((0, column.manifest.dimension), np.float32)

    def take(self, ids: Sequence[str]) -> npt.NDArray[np.float32]:
        """The vectors of the next objects, `(n, d) float32`, which must be these: raises BadRecord if not."""
        pieces: list[npt.NDArray[np.float32]] = []
        at = 0
        while at < len(ids):
            if not self._ids:
                self._next_part()
            count = min(len(self._ids), len(ids) - at)
            if self._ids[:count] != list(ids[at : at + count]):
                raise BadRecord(f"{self._label} has its objects in another order", "that of the rows of its dataset")
            pieces.append(self._rest[:count])
            self._ids, self._rest = self._ids[count:], self._rest[count:]
            at += count
        return np.concatenate(pieces)

    def _next_part(self) -> None:
        vectors = next(self._parts)
        kept = [row for row, object_id in enumerate(vectors.object_ids) if object_id in self._common]
        self._ids = [vectors.object_ids[row] for row in kept]
        self._rest = vectors.matrix if len(kept) == len(vectors) else vectors.matrix[kept]


def _schema(columns: Sequence[Column]) -> pa.Schema:
    element = pa.field("element", pa.float32(), nullable=False)
    fields = [pa.field(column.name, pa.list_(element, column.manifest.dimension), nullable=False) for column in columns]
    told = json.dumps({column.name: _origin(column) for column in columns})
    return pa.schema([pa.field(ID_COLUMN, pa.string(), nullable=False), *fields], metadata={"samesky": told})


def _origin(column: Column) -> Mapping[str, str]:
    """Where a column's vectors come from, for whoever reads the file."""
    spec = column.manifest.spec
    return {
        "dataset": spec.dataset.name,
        "dataset_revision": spec.dataset.revision,
        "modality": spec.modality.name,
        "recipe": spec.recipe,
        "model": spec.model.name,
        "checkpoint": spec.model.checkpoint,
        "revision": spec.model.revision,
        "pooling": spec.model.pooling,
        "layer": spec.layer,
        "dtype": spec.dtype,
        "manifest": column.sha256,
    }
