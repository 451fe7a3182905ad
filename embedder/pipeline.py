"""How one embedding comes to be: read, prepare, encode, write; part by part, then the manifest.

Read this file from top to bottom. Everything it needs is handed in, so it knows no device, no hub and no queue.
"""

from __future__ import annotations

import logging
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice

import numpy as np

from embedder.adapters.base import Adapter, ModelInput, find_block
from embedder.ahead import make_ahead
from embedder.recipes import Dropped, find_recipe
from embedder.samples import Floats, Sample, Source
from shared.contracts import EmbeddingSpec
from shared.embeddings import (
    commit_manifest,
    discard_damaged,
    list_parts,
    read_manifest,
    read_receipt,
    read_receipts,
    store_part,
)
from shared.errors import (
    AlteredPart,
    BadInput,
    BadTable,
    CheckpointUnavailable,
    MissingPart,
    NotFinite,
    StoreUnavailable,
    UnknownName,
    ZeroVector,
)
from shared.modalities import Modality
from shared.outcomes import Attempt, Manifest, Part
from shared.packages import package_versions
from shared.store import ObjectStore
from shared.vectors import Vectors

_log = logging.getLogger(__name__)
OnRows = Callable[[int], None]
PACKAGES = (
    "astropt", "astropy", "chronos-forecasting", "datasets", "diffusers", "efficientnet-lite-pytorch",
    "huggingface-hub", "kcorrect", "numpy", "pillow", "polymathic-aion", "pyarrow", "safetensors", "samesky", "scipy",
    "tokenizers", "torch", "transformers",
)  # fmt: skip
_CHANGED = "the data may have changed while they were read: submit the study again"


def embed_part(
    specs: Sequence[EmbeddingSpec],
    index: int,
    *,
    source: Source,
    adapter: Adapter,
    store: ObjectStore,
    attempt: Attempt,
    batch: int,
    on_rows: OnRows,
    before_store: Callable[[], None] = lambda: None,
) -> dict[str, Part]:
    """Embed the objects of one part in one pass, and store their vectors; the parts by layer.

    specs: the job whose step this is, and others that differ from it in the layer alone. What is stored already is
    only returned. The others come along while the first is to be made, which is what this step answers for: one whose
    block is not there, whose vectors are wrong, or that the store does not take is left out, and its own step will say
    why. Vectors of all layers are held until the rows are through: of 40 layers, 128 objects and 1536 numbers, 30 MiB.
    batch: objects in one forward pass. on_rows: told, after each batch, how many rows of the part are done.
    before_store: asked when all is computed; what it raises keeps the part out of the store. Raises a BadInput
    naming what is wrong with an object, or with the rows the source gives; NotFinite or ZeroVector naming an
    object; CheckpointUnavailable for a block that is not there; or a Retryable.
    """
    lead = specs[0]
    parts = {spec.layer: stored for spec in specs if (stored := read_receipt(store, spec, index))}
    if lead.layer in parts:
        return parts
    began = time.perf_counter()
    made = _Made([lead, *(spec for spec in specs[1:] if spec.layer not in parts and _has(adapter, spec))])
    with closing(make_ahead(_prepare_batches(lead, index, source, adapter, batch))) as batches:
        for prepared in batches:
            made.add(prepared, adapter)
            on_rows(prepared.rows)
    before_store()
    made.seconds = time.perf_counter() - began
    return parts | dict(_store_layers(made, store, attempt, index, adapter.device))


@dataclass(slots=True)
class _Batch:
    """Some consecutive objects of a part, ready for the model. rows: of the part, up to the last of these objects."""

    rows: int = 0
    object_ids: list[str] = field(default_factory=list)
    inputs: list[ModelInput] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)
    repaired: Counter[str] = field(default_factory=Counter)


def _prepare_batches(spec: EmbeddingSpec, index: int, source: Source, adapter: Adapter, batch: int) -> Iterator[_Batch]:
    """Read and prepare the objects of one part. Raises BadTable when the source does not give just its rows."""
    start, stop = spec.part_range(index)
    samples = source.read(spec.modality, start, stop)
    expected = start
    while group := list(islice(samples, batch)):
        expected = check_rows(group, expected, spec)
        made = _Batch(expected - start)
        for object_id, given in prepare_objects(
            group, spec.modality, adapter, made.dropped, made.repaired, recipe=spec.recipe
        ):
            made.object_ids.append(object_id)
            made.inputs.append(given)
        yield made
    if expected != stop:
        raise BadTable(f"{spec.label}: the source ended before row {expected}", f"rows up to {stop}", _CHANGED)


def _has(adapter: Adapter, spec: EmbeddingSpec) -> bool:
    try:
        find_block(spec.layer, adapter.blocks)
    except (CheckpointUnavailable, UnknownName) as error:
        _log.warning("%s is left to its own step: %s", spec.label, error)
        return False
    return True


def _store_layers(
    made: _Made, store: ObjectStore, attempt: Attempt, index: int, device: str
) -> Iterator[tuple[str, Part]]:
    """Store a part of each layer, and give its receipt. The seconds of the pass are shared out among them."""
    packages = package_versions(*PACKAGES)
    for spec in made.specs:
        try:
            part = store_part(
                store,
                spec,
                attempt,
                index,
                made.vectors(spec),
                dropped=made.dropped,
                repaired=made.repaired,
                seconds=made.seconds / len(made.specs),
                at=datetime.now(UTC).isoformat(timespec="milliseconds"),
                device=device,
                packages=packages,
            )
        except StoreUnavailable as error:
            if spec is made.specs[0]:
                raise
            _log.warning("%s and what comes after it are left to their own steps: %s", spec.label, error)
            return
        yield spec.layer, part


@dataclass(slots=True)
class _Made:
    """What is made of one part. specs: the layers that are made, the step's own first. matrices: batch by batch."""

    specs: list[EmbeddingSpec]
    matrices: dict[str, list[Floats]] = field(default_factory=lambda: defaultdict(list))
    object_ids: list[str] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)
    repaired: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    def add(self, batch: _Batch, adapter: Adapter) -> None:
        """Encode a batch, unless none of it can be shown; what is wrong with another layer than the first ends that."""
        self.dropped.update(batch.dropped)
        self.repaired.update(batch.repaired)
        ids = batch.object_ids
        if not ids:
            return
        found = adapter.encode(batch.inputs, [spec.layer for spec in self.specs])
        for spec, matrix in zip(tuple(self.specs), found, strict=True):
            try:
                self.matrices[spec.layer].append(check_vectors(ids, matrix, spec))
            except (NotFinite, ZeroVector) as error:
                if spec is self.specs[0]:
                    raise
                _log.warning("left to its own step: %s", error)
                self.specs.remove(spec)
        self.object_ids += ids

    def vectors(self, spec: EmbeddingSpec) -> Vectors:
        """All vectors of one layer; of none, the length is unknown, and 1 stands for it."""
        matrices = self.matrices[spec.layer]
        matrix = np.concatenate(matrices) if matrices else np.empty((0, 1), np.float32)
        return Vectors(tuple(self.object_ids), matrix)


def finish(
    spec: EmbeddingSpec, store: ObjectStore, *, before_commit: Callable[[], None] = lambda: None
) -> Manifest | None:
    """Declare the embedding whole once every part is stored; None while some are missing. The first manifest stays.

    A part that turns out damaged counts as missing from then on. before_commit: asked when every part was read back;
    what it raises keeps the manifest out of the store. Raises EmptyDataset when no object survived, and
    what `commit_manifest` raises.
    """
    manifest = read_manifest(store, spec)
    if manifest is not None:
        return manifest
    if len(list_parts(store, spec)) < spec.parts():
        return None
    parts = read_receipts(store, spec)
    if len(parts) < spec.parts():
        return None
    try:
        return commit_manifest(store, spec, parts, before_commit=before_commit)
    except (AlteredPart, MissingPart):
        discard_damaged(store, spec, parts.values())
        return None


def prepare_objects(
    samples: Iterable[Sample],
    modality: Modality,
    adapter: Adapter,
    dropped: Counter[str],
    repaired: Counter[str],
    *,
    recipe: str = "",
) -> Iterator[tuple[str, ModelInput]]:
    """Yield object id and model input of each object that can be shown; count the dropped and the repaired.

    recipe: the one by which they are shown; the modality's unless given. Raises a BadInput that names the object.
    """
    show = find_recipe(recipe or modality.recipe).prepare
    for sample in samples:
        with _named(sample):
            shown = show(sample.observation, modality)
            taken = shown if isinstance(shown, Dropped) else adapter.prepare(shown.values)
        if isinstance(shown, Dropped):
            dropped[shown.reason] += 1
            continue
        if isinstance(taken, Dropped):
            dropped[taken.reason] += 1
            continue
        repaired.update(shown.repaired)
        yield sample.object_id, taken


@contextmanager
def _named(sample: Sample) -> Iterator[None]:
    """Say of what cannot be shown which object it is: an image too small for the patch, among larger ones."""
    try:
        yield
    except BadInput as error:
        where = f"object {sample.object_id!r}, row {sample.row} of the dataset"
        raise type(error)(f"{where}: {error.wrong}", error.expected, error.remedy) from error


def check_rows(group: Sequence[Sample], expected: int, spec: EmbeddingSpec) -> int:
    """The row after `group`; raises BadTable unless it holds each row once, in order, from `expected` on."""
    for row, sample in enumerate(group, expected):
        if sample.row != row:
            raise BadTable(f"{spec.label}: the source gave row {sample.row}", f"row {row}", _CHANGED)
    return expected + len(group)


def check_vectors(object_ids: Sequence[str], matrix: Floats, spec: EmbeddingSpec) -> Floats:
    """Return `matrix`; refuse a vector that is not finite (NotFinite) or has no direction (ZeroVector).

    A label is a value, not a direction, and may be nought.
    """
    finite = np.isfinite(matrix).all(axis=1)
    if not finite.all():
        culprit = object_ids[int(finite.argmin())]
        raise NotFinite(f"{spec.label} gives object {culprit!r} a vector with NaN or infinity", "finite numbers")
    if spec.modality.kind == "label":
        return matrix
    directed = matrix.any(axis=1)
    if not directed.all():
        culprit = object_ids[int(directed.argmin())]
        raise ZeroVector(f"{spec.label} gives object {culprit!r} a zero vector", "a vector with a direction")
    return matrix
