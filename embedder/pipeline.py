"""How one embedding comes to be: read, prepare, encode, write; part by part, then the manifest.

Read this file from top to bottom. Everything it needs is handed in, so it knows no device, no hub and no queue.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import islice

import numpy as np

from embedder.adapters.base import Adapter, ModelInput
from embedder.recipes import Dropped, find_recipe
from embedder.samples import Floats, Sample, Source
from shared.contracts import EmbeddingSpec, Modality
from shared.embeddings import (
    commit_manifest,
    discard_damaged,
    list_parts,
    read_manifest,
    read_receipt,
    read_receipts,
    store_part,
)
from shared.errors import AlteredPart, BadTable, MissingPart, NotFinite, ZeroVector
from shared.outcomes import Attempt, Manifest, Part
from shared.packages import package_versions
from shared.store import ObjectStore
from shared.vectors import Vectors

OnRows = Callable[[int], None]
PACKAGES = (
    "astropy", "datasets", "efficientnet-lite-pytorch", "huggingface-hub", "kcorrect", "numpy", "pillow", "pyarrow",
    "safetensors", "samesky", "scipy", "tokenizers", "torch", "transformers",
)  # fmt: skip
_CHANGED = "the data may have changed while they were read: submit the study again"


def embed_part(
    spec: EmbeddingSpec,
    index: int,
    *,
    source: Source,
    adapter: Adapter,
    store: ObjectStore,
    attempt: Attempt,
    batch: int,
    on_rows: OnRows,
    before_store: Callable[[], None] = lambda: None,
) -> Part:
    """Embed the objects of one part, and store their vectors; a part that is already stored is only returned.

    batch: objects in one forward pass. on_rows: told, after each batch, how many rows of the part are done.
    before_store: asked when all is computed; what it raises keeps the part out of the store. Raises a BadInput
    naming what is wrong with an object, or with the rows the source gives; NotFinite or ZeroVector naming an
    object; or a Retryable.
    """
    stored = read_receipt(store, spec, index)
    if stored is not None:
        return stored
    began = time.perf_counter()
    start, stop = spec.part_range(index)
    dropped: Counter[str] = Counter()
    repaired: Counter[str] = Counter()
    object_ids: list[str] = []
    matrices: list[Floats] = [np.empty((0, adapter.dimension), np.float32)]
    samples = source.read(spec.modality, start, stop)
    expected = start
    while group := list(islice(samples, batch)):
        expected = check_rows(group, expected, spec)
        prepared = list(prepare_objects(group, spec.modality, adapter, dropped, repaired))
        if prepared:
            ids, inputs = zip(*prepared, strict=True)
            matrices.append(check_vectors(ids, adapter.encode(inputs), spec))
            object_ids += ids
        on_rows(group[-1].row + 1 - start)
    if expected != stop:
        raise BadTable(f"{spec.label}: the source ended before row {expected}", f"rows up to {stop}", _CHANGED)
    before_store()
    vectors = Vectors(tuple(object_ids), np.concatenate(matrices))
    return store_part(
        store,
        spec,
        attempt,
        index,
        vectors,
        dropped=dropped,
        repaired=repaired,
        seconds=time.perf_counter() - began,
        at=datetime.now(UTC).isoformat(timespec="milliseconds"),
        device=adapter.device,
        packages=package_versions(*PACKAGES),
    )


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
) -> Iterator[tuple[str, ModelInput]]:
    """Yield object id and model input of each object that can be shown; count the dropped and the repaired."""
    recipe = find_recipe(modality.recipe)
    for sample in samples:
        shown = recipe.prepare(sample.observation, modality)
        if isinstance(shown, Dropped):
            dropped[shown.reason] += 1
            continue
        taken = adapter.prepare(shown.values)
        if isinstance(taken, Dropped):
            dropped[taken.reason] += 1
            continue
        repaired.update(shown.repaired)
        yield sample.object_id, taken


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
