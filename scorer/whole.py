"""Whole embeddings as a score needs them first: manifest, hash and object ids; and the objects that two of them share.

Imports `shared` only. What is on the shelf is believed because it is named by the SHA-256 of the manifest that is in
the store now, which names its parts by theirs: they are read, and checked, once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from scorer.pairing import Overlap, join
from scorer.shelf import Shelf, size_of_ids
from shared import keys
from shared.contracts import EmbeddingSpec
from shared.embeddings import load_object_ids, parse_manifest
from shared.errors import NotReady
from shared.outcomes import Manifest
from shared.records import read_bytes, sha256_of
from shared.store import ObjectStore

_PARSED = 16  # bytes of a manifest in memory for each byte of its JSON


class Whole(NamedTuple):
    """An embedding that is whole.

    sha256: of its manifest as stored. order: SHA-256 of its object ids in row order, the same for embeddings of the
    same objects in the same order. object_ids: gives the ids.
    """

    manifest: Manifest
    sha256: str
    order: str
    object_ids: Callable[[], tuple[str, ...]]


def read_whole(store: ObjectStore, spec: EmbeddingSpec, shelf: Shelf) -> Whole:
    """The embedding, if the store has its manifest.

    Raises NotReady when it has none, BadRecord for what is none, and what `load_object_ids` raises of its parts.
    """
    data = read_bytes(store, keys.manifest(spec))
    if data is None:
        raise NotReady(
            f"the embedding {spec.label} is not whole", "a manifest", "wait for its job, or submit its study again"
        )
    sha256 = sha256_of(data)
    just_read: list[tuple[str, ...]] = []

    def read() -> tuple[Manifest, str]:
        manifest = parse_manifest(spec, data)
        ids = load_object_ids(store, manifest)
        order = sha256_of("\n".join(ids).encode())  # no object id holds a control character
        just_read.append(shelf.keep(("ids", order), lambda: ids, size_of_ids))
        return manifest, order

    def object_ids() -> tuple[str, ...]:
        if just_read:
            return just_read[0]
        return shelf.keep(("ids", order), lambda: load_object_ids(store, manifest), size_of_ids)

    manifest, order = shelf.keep(("manifest", spec.digest, sha256), read, lambda _: _PARSED * len(data))
    return Whole(manifest, sha256, order, object_ids)


def share(left: Whole, right: Whole, *, at_least: int, shelf: Shelf) -> Overlap:
    """The objects both have. Raises TooFewObjects for fewer than `at_least`."""
    key = "overlap", left.order, right.order, at_least
    return shelf.keep(key, lambda: join(left.object_ids(), right.object_ids(), at_least=at_least), _size)


def _size(overlap: Overlap) -> int:
    return size_of_ids(overlap.object_ids) + overlap.left_rows.nbytes + overlap.right_rows.nbytes
