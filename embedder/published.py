"""Published vectors at the door of a study: which columns are of which models, and the embeddings that they become.

An embedding that was published is a job like any other: its parts are read by range and stored with receipts, and
scored like what is computed here. Of its model nothing is claimed but what the column's name says: neither the commit
of the checkpoint nor the pooling nor what the objects looked like to it is known. Loads no model library.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import pyarrow as pa

from embedder.adapters.given import AS_PUBLISHED
from embedder.catalogue.models import find_model
from embedder.catalogue.published import (
    Meaning,
    Recognised,
    check_each_once,
    find_near,
    known_modalities,
    recognise,
)
from embedder.catalogue.rows import ModelRow
from embedder.sources.parquet import ParquetSource
from embedder.sources.tables import find_files
from embedder.sources.vectors import holds_vectors
from shared.contracts import DatasetRef, EmbeddingSpec, ModelRef
from shared.errors import BadTable, UnknownName, one_line
from shared.published import ColumnsRequest, OtherColumn, TableColumns, VectorColumn
from shared.requests import DatasetRequest, EmbeddingRequest
from shared.settings import Settings

_PART_NUMBERS = 1 << 22
"""Of one part: 16 MiB, whatever the length of the vectors, so that some hundred columns can be read side by side."""

_MOST_SUGGESTED = 20  # columns for which near names are looked for: it takes some milliseconds each
_NO_VECTORS, _UNKNOWN = "no vectors", "the catalogue gives no such name"
_COLUMNS = "columns <family>_<size>_<modality>, as the catalogue has them"


def resolve_published(request: DatasetRequest, dataset: DatasetRef, settings: Settings) -> tuple[EmbeddingSpec, ...]:
    """The embeddings that the columns of a table are, in the order of the table; none where none were asked for.

    dataset: the table, pinned. Raises BadTable, naming file and row where there is one, for a table without a known
    column, a column that may be either of two, two of one model and modality, and one that holds no vectors;
    MissingColumn; UnknownName for a model or a layer; and what finding the files raises.
    """
    if not request.embeddings:
        return ()
    table = ParquetSource(find_files(dataset, settings), dataset.id_column)
    known = _recognise(ColumnsRequest(dataset=request), table.read_types()).known
    lengths = table.measure_vectors(list(known))
    return tuple(_specify(dataset, column, known[column], lengths[column]) for column in known)


def describe_columns(request: ColumnsRequest, dataset: DatasetRef, settings: Settings) -> TableColumns:
    """What is found in a table, and what is not known in it. dataset: the table, pinned. Raises as above."""
    table = ParquetSource(find_files(dataset, settings), dataset.id_column)
    types = table.read_types()
    found = _recognise(request, types)
    lengths = table.measure_vectors(list(found.known))
    known = [
        VectorColumn(column=column, **meaning._asdict(), dimension=lengths[column], type=str(types[column].value_type))
        for column, meaning in found.known.items()
    ]
    others = [
        OtherColumn(column=column, type=f"{types[column]!s:.120}", why=why)
        for column, why in found.unknown.items()
        if column != dataset.id_column
    ]
    return TableColumns(
        dataset=dataset.name,
        revision=dataset.revision,
        rows=dataset.rows,
        id_column=dataset.id_column,
        embeddings=known,
        others=others,
    )


def _recognise(request: ColumnsRequest, types: Mapping[str, pa.DataType]) -> Recognised:
    """What each column is, in the order of the table: as it was told, or by the catalogue."""
    asked = request.dataset.embeddings
    told = {**(asked if isinstance(asked, dict) else {}), **request.told}
    known = {column: _check(wanted) for column, wanted in told.items()}
    others = [column for column in types if column not in told]
    if isinstance(asked, dict):
        unknown = dict.fromkeys(others, "not asked for")
    else:
        found = _by_name(request, others, types)
        known, unknown = {**known, **found.known}, found.unknown
    if not known:
        raise _nothing_known(request.dataset.name, types, unknown)
    check_each_once(known)
    return Recognised({column: known[column] for column in sorted(known, key=[*types, *told].index)}, unknown)


def _by_name(request: ColumnsRequest, columns: Sequence[str], types: Mapping[str, pa.DataType]) -> Recognised:
    own = request.dataset.modalities if isinstance(request.dataset.modalities, dict) else {}
    modalities = known_modalities(request.dataset.name, [*request.modalities, *own])
    found = recognise(columns, modalities)
    strange = [column for column, why in found.unknown.items() if not why and holds_vectors(types[column])]
    near = find_near(strange[:_MOST_SUGGESTED], modalities)
    unknown = {}
    for column, why in found.unknown.items():
        offered = f"; near ones are {', '.join(near[column])}" if near.get(column) else ""
        unknown[column] = (why or _UNKNOWN + offered) if holds_vectors(types[column]) else _NO_VECTORS
    return Recognised(found.known, unknown)


def _nothing_known(dataset: str, columns: Iterable[str], unknown: Mapping[str, str]) -> BadTable:
    vectors = [column for column, why in unknown.items() if why != _NO_VECTORS]
    if not vectors:
        return BadTable(
            f"no column of {dataset} holds vectors", _COLUMNS, f"it has {one_line(', '.join(columns)):.400}"
        )
    return BadTable(
        f"no column of {dataset} is known to be of a model: of vectors it has {one_line(', '.join(vectors)):.400}",
        _COLUMNS,
        f"{one_line(vectors[0]):.140}: {unknown[vectors[0]]}; say what it is under `embeddings`, "
        "or to `samesky import`: --column for one column, --modality for a modality that is not in the catalogue",
    )


def _check(wanted: EmbeddingRequest) -> Meaning:
    row = find_model(wanted.model)
    if wanted.layer not in row.layers:
        raise UnknownName.of(f"layer of {row.name}", wanted.layer, row.layers)
    return Meaning(row.name, wanted.modality, wanted.layer)


def _specify(dataset: DatasetRef, column: str, meaning: Meaning, dimension: int) -> EmbeddingSpec:
    row = find_model(meaning.model)
    wanted = EmbeddingRequest(model=meaning.model, modality=meaning.modality, layer=meaning.layer)
    return EmbeddingSpec(
        dataset=dataset,
        modality=wanted.define(column, dimension, row.takes),
        model=_as_published(row, dimension),
        layer=meaning.layer,
    )


def _as_published(row: ModelRow, dimension: int) -> ModelRef:
    return ModelRef(
        name=row.name,
        family=row.family,
        adapter="published",
        checkpoint=row.checkpoint,
        revision=AS_PUBLISHED,
        pooling=AS_PUBLISHED,
        takes="vector",
        parameters=row.parameters,
        part_rows=max(32, 1 << ((_PART_NUMBERS // dimension).bit_length() - 1)),
    )
