"""Embeddings in the object store: parts and receipts while a job runs, one manifest when it is whole.

Imports the contracts, keys and vectors only. Vectors are written before their receipt, and receipts before the
manifest, so what is named is there; everything named is checked by SHA-256 when it is read.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial

from shared import keys
from shared.contracts import EmbeddingSpec
from shared.errors import AlteredPart, BadRecord, Corrupt, DuplicateObjectIds, EmptyDataset, MissingPart
from shared.outcomes import Attempt, Manifest, Part, Transition
from shared.records import parse_record, read_bytes, read_record, sha256_of
from shared.states import State
from shared.store import ObjectStore
from shared.vectors import Vectors, concatenate, read_ids, read_part, write_part

_log = logging.getLogger(__name__)
_REMEDY = "`samesky retry` of the study makes again what is damaged"


def store_part(
    store: ObjectStore,
    spec: EmbeddingSpec,
    attempt: Attempt,
    index: int,
    vectors: Vectors,
    *,
    dropped: Mapping[str, int],
    repaired: Mapping[str, int],
    seconds: float,
    at: str,
    device: str,
    packages: Mapping[str, str],
) -> Part:
    """Store the vectors of part `index`, then its receipt, and return the receipt.

    attempt: a message delivered again is a new attempt. seconds: wall time the part took. at: now.
    """
    data = write_part(vectors)
    start, stop = spec.part_range(index)
    part = Part(
        index=index,
        start=start,
        stop=stop,
        key=keys.part(spec, attempt.name, index),
        rows=len(vectors),
        dimension=vectors.dimension,
        size=len(data),
        sha256=sha256_of(data),
        dropped=dict(dropped),
        repaired=dict(repaired),
        seconds=seconds,
        worker=attempt.worker,
        token=attempt.token,
        at=at,
        device=device,
        packages=dict(packages),
        history=(*attempt.history, Transition(state=State.DONE, at=at, worker=attempt.worker, step=f"part {index}")),
    )
    store.put(part.key, data)
    store.put(keys.part_receipt(spec, attempt.name, index), part.to_json())
    return part


def read_receipts(store: ObjectStore, spec: EmbeddingSpec) -> dict[int, Part]:
    """The parts that are stored, by index: of several attempts at one part, that of the highest fencing token.

    So what a stalled worker stores late does not displace its successor's. A receipt that cannot be read, or is of
    another cut of the rows, is logged and left out: its part is not stored as far as the job goes, and will be made
    again.
    """
    return dict(sorted(_latest_receipts(store, spec).items()))


def _latest_receipts(store: ObjectStore, spec: EmbeddingSpec, only: int | None = None) -> dict[int, Part]:
    found: dict[int, Part] = {}
    for key in store.keys(keys.attempts_prefix(spec)):
        index = keys.receipt_index(key)
        if index is None or only not in (None, index):
            continue
        try:
            part = read_record(store, key, Part)
        except BadRecord as error:
            _log.warning("a part will be made again: %s", error)
            continue
        if part and _is_of(part, key, spec, index) and (index not in found or part.token > found[index].token):
            found[index] = part
    return found


def read_receipt(store: ObjectStore, spec: EmbeddingSpec, index: int) -> Part | None:
    """The receipt of one part, as in `read_receipts`; None when the part is not stored."""
    return _latest_receipts(store, spec, only=index).get(index)


def list_parts(store: ObjectStore, spec: EmbeddingSpec) -> set[int]:
    """Indices of the parts that have a receipt. Only keys are read, so that asking often costs little."""
    indices = map(keys.receipt_index, store.keys(keys.attempts_prefix(spec)))
    return {index for index in indices if index is not None}


def commit_manifest(
    store: ObjectStore,
    spec: EmbeddingSpec,
    parts: Mapping[int, Part],
    *,
    before_commit: Callable[[], None] = lambda: None,
) -> Manifest:
    """Declare the embedding whole, and return the manifest that the store now holds.

    It is this call's, or that of whoever was first: the first manifest stays. Every part is read back first. parts: all
    parts of the job, by index. before_commit: asked right before the manifest is written; what it raises keeps it out.
    Raises EmptyDataset when no object survived, DuplicateObjectIds when two parts hold the same object, MissingPart,
    AlteredPart, and BadRecord when the dimensions differ.
    """
    manifest = _manifest_of(spec, tuple(parts[index] for index in sorted(parts)))
    load_object_ids(store, manifest)
    before_commit()
    key = keys.manifest(spec)
    store.put_if_absent(key, manifest.to_json())
    return parse_manifest(spec, store.get(key))


def _manifest_of(spec: EmbeddingSpec, parts: tuple[Part, ...]) -> Manifest:
    rows, dropped = sum(part.rows for part in parts), _sum(part.dropped for part in parts)
    if not rows:
        reasons = ", ".join(f"{reason}: {count}" for reason, count in dropped.items()) or "none given"
        raise EmptyDataset(
            f"no object of {spec.label} survived preparation ({reasons})",
            "at least one object",
            "look at the images or spectra of this modality, and at its recipe",
        )
    return Manifest(
        spec=spec,
        rows=rows,
        dimension=next(part.dimension for part in parts if part.rows),
        parts=tuple(part.model_copy(update={"packages": {}}) for part in parts),
        dropped=dropped,
        repaired=_sum(part.repaired for part in parts),
        packages=_side_by_side(part.packages for part in parts),
        device=", ".join(sorted({part.device for part in parts})),
        created_at=max(part.at for part in parts),
    )


def discard_damaged(store: ObjectStore, spec: EmbeddingSpec, parts: Iterable[Part]) -> int:
    """Remove what is stored of those of `parts` that are gone or altered, so that they are made again; how many."""
    damaged = _find_damaged(store, spec, parts)
    for part in damaged:
        store.delete(keys.receipt_beside(part.key))
        store.delete(part.key)
    return len(damaged)


def revoke_damaged(store: ObjectStore, spec: EmbeddingSpec) -> bool:
    """Take back the manifest of an embedding that cannot be read whole; whether it was.

    What is sound stays, so that only the damaged parts are made again. The manifest goes first, so that none names
    what is gone: who wants the embedding meanwhile finds that it is not whole, and waits.
    """
    unreadable = _is_damaged(lambda: read_manifest(store, spec))
    manifest = None if unreadable else read_manifest(store, spec)
    damaged = _find_damaged(store, spec, manifest.parts if manifest else ())
    if unreadable or damaged:
        store.delete(keys.manifest(spec))
        discard_damaged(store, spec, damaged)
    return unreadable or bool(damaged)


def _find_damaged(store: ObjectStore, spec: EmbeddingSpec, parts: Iterable[Part]) -> list[Part]:
    return [part for part in parts if _is_damaged(partial(_fetch_part, store, part, spec))]


def _is_damaged(read: Callable[[], object]) -> bool:
    """Whether what `read` reads is damaged twice: what once came altered may be sound in the store."""
    for _ in range(2):
        try:
            read()
            return False
        except Corrupt as error:
            _log.warning("it will be made again if it stays so: %s", error)
    return True


def read_manifest(store: ObjectStore, spec: EmbeddingSpec) -> Manifest | None:
    """The manifest of an embedding, or None while it is not whole.

    Raises BadRecord, naming the key, when what is stored is no manifest, or is that of another embedding.
    """
    found = read_manifest_with_hash(store, spec)
    return found[0] if found else None


def read_manifest_with_hash(store: ObjectStore, spec: EmbeddingSpec) -> tuple[Manifest, str] | None:
    """As `read_manifest`, with the SHA-256 of the stored bytes: what a score's provenance names."""
    data = read_bytes(store, keys.manifest(spec))
    return None if data is None else (parse_manifest(spec, data), sha256_of(data))


def load_vectors(store: ObjectStore, manifest: Manifest) -> Vectors:
    """All vectors of an embedding, in row order: `(manifest.rows, manifest.dimension) float32`.

    Raises MissingPart or AlteredPart, naming the key, when a part is gone or is not what the manifest says;
    BadRecord when the manifest contradicts its parts; DuplicateObjectIds when two parts hold the same object.
    """
    return concatenate(read_parts(store, manifest))


def read_parts(store: ObjectStore, manifest: Manifest, parts: Sequence[Part] | None = None) -> Iterator[Vectors]:
    """The same part by part, those of no vector left out. Raises as above, but for an object that two parts hold.

    parts: those to read, of the manifest's.
    """
    for part, data in _fetch(store, manifest.parts if parts is None else parts, manifest):
        vectors = read_part(data)
        _check_shape(manifest, part, len(vectors), vectors.dimension)
        if len(vectors):
            yield vectors


def load_object_ids(store: ObjectStore, manifest: Manifest) -> tuple[str, ...]:
    """The object ids of an embedding, in row order. Checks and errors as in `load_vectors`."""
    seen: dict[str, int] = {}
    for part, data in _fetch(store, manifest.parts, manifest):
        ids = read_ids(data)
        _check_shape(manifest, part, len(ids), part.dimension)
        for object_id in ids:
            if object_id in seen:
                raise DuplicateObjectIds(
                    f"object id {object_id!r} is in part {seen[object_id]} and in part {part.index} "
                    f"of {manifest.spec.label}",
                    "each object once",
                    "choose an id column whose values are unique",
                )
            seen[object_id] = part.index
    return tuple(seen)


def _fetch(store: ObjectStore, parts: Iterable[Part], manifest: Manifest) -> Iterator[tuple[Part, bytes]]:
    for part in parts:
        if not part.key.startswith(keys.attempts_prefix(manifest.spec)):
            raise BadRecord(
                f"the manifest of {manifest.spec.label} names {part.key!r:.200}", "a part of its own", _REMEDY
            )
        yield part, _fetch_part(store, part, manifest.spec)


def _fetch_part(store: ObjectStore, part: Part, spec: EmbeddingSpec) -> bytes:
    data = read_bytes(store, part.key)
    if data is None:
        raise MissingPart(f"part {part.key} of {spec.label} is not in the store", "every part that is named", _REMEDY)
    if len(data) != part.size or sha256_of(data) != part.sha256:
        raise AlteredPart(
            f"part {part.key} of {spec.label} has {len(data)} bytes of SHA-256 {sha256_of(data)}",
            f"{part.size} bytes of {part.sha256}",
            _REMEDY,
        )
    return data


def _check_shape(manifest: Manifest, part: Part, rows: int, dimension: int) -> None:
    lengths = {dimension, part.dimension} if part.rows else set()  # a part of no vector says nothing of their length
    if rows != part.rows or lengths - {manifest.dimension}:
        raise BadRecord(
            f"part {part.key} holds ({rows}, {dimension}) vectors",
            f"({part.rows}, {manifest.dimension}), as the manifest of {manifest.spec.label} says",
            _REMEDY,
        )


def parse_manifest(spec: EmbeddingSpec, data: bytes) -> Manifest:
    """The manifest of an embedding that `data` holds. Raises BadRecord as `read_manifest` does."""
    key = keys.manifest(spec)
    manifest = parse_record(key, data, Manifest)
    if manifest.spec.digest != spec.digest:
        raise BadRecord(
            f"{key} is the manifest of {manifest.spec.label} ({manifest.spec.digest})",
            f"that of {spec.label} ({spec.digest})",
            _REMEDY,
        )
    return manifest


def _is_of(part: Part, receipt_key: str, spec: EmbeddingSpec, index: int) -> bool:
    beside = part.key.rpartition(".")[0] == receipt_key.rpartition(".")[0]
    fits = index < spec.parts() and part.index == index and (part.start, part.stop) == spec.part_range(index)
    if not (beside and fits):
        _log.warning("the receipt %s is of rows %d to %d, and is left out", receipt_key, part.start, part.stop)
    return beside and fits


def _side_by_side(versions: Iterable[Mapping[str, str]]) -> dict[str, str]:
    found: dict[str, set[str]] = {}
    for each in versions:
        for package, version in each.items():
            found.setdefault(package, set()).add(version)
    return {package: ", ".join(sorted(found[package])) for package in sorted(found)}


def _sum(counts: Iterable[dict[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for count in counts:
        total.update(count)
    return dict(sorted(total.items()))
