"""What large searches leave in the store: which objects a pair shares, and how a search is cut.

Imports the contracts, keys and records: the api and the reconciler read them, without FAISS. Both are believed only as
long as the embeddings are those they were made from; what cannot be read is as good as none.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Literal, TypeVar

from pydantic import Field

from scorer.metrics import counts_neighbours
from scorer.search.grid import Grid, Step
from shared import keys
from shared.contract import Contract
from shared.contracts import EmbeddingSpec, PairSpec, ScoreSpec
from shared.errors import BadRecord
from shared.names import Digest, Sha256
from shared.records import read_record
from shared.store import ObjectStore

_log = logging.getLogger(__name__)
R = TypeVar("R", bound=Contract)


class Join(Contract):
    """How many objects two embeddings share, and the digest of their ids. left, right: SHA-256 of both manifests."""

    version: Literal[1] = 1
    left: Sha256
    right: Sha256
    objects: int = Field(ge=0)
    id_set: Digest


class Search(Contract):
    """One large search: all that its steps need to know. Its digest is in the ids of its steps, and in its keys.

    manifest: SHA-256 of the embedding's. objects, id_set: as in `Join`. k: neighbours to find. search_version: of the
    search that makes it. block: rows of one block. places: SHA-256 of the object that says where the objects stand.
    """

    version: Literal[1] = 1
    embedding: EmbeddingSpec
    manifest: Sha256
    objects: int = Field(gt=1)
    id_set: Digest
    dimension: int = Field(gt=0)
    k: int = Field(gt=0)
    search_version: int
    block: int = Field(gt=0)
    places: Sha256

    @property
    def grid(self) -> Grid:
        """How it is cut."""
        return Grid(self.objects, self.block)

    @property
    def prefix(self) -> str:
        """The prefix of the table it makes."""
        return keys.neighbours_prefix(self.embedding.digest, self.id_set, self.k)

    @property
    def label(self) -> str:
        """A short name for people."""
        return f"the {self.k} neighbours in {self.embedding.label}"


def sides_searched(spec: ScoreSpec) -> tuple[EmbeddingSpec, ...]:
    """The embeddings whose neighbour tables a score needs: none for metrics that count none; never a label's."""
    if not counts_neighbours(spec.scoring.metrics):
        return ()
    return tuple(side for side in (spec.pair.left, spec.pair.right) if side.modality.kind != "label")


def read_join(store: ObjectStore, pair: PairSpec) -> Join | None:
    """The join of a pair, or None while there is none that can be read."""
    return _read(store, keys.join(pair), Join)


def read_search(store: ObjectStore, prefix: str) -> Search | None:
    """The search for the table under `prefix`, or None while there is none that can be read."""
    found = _read(store, keys.search_record(prefix), Search)
    return found if found and found.prefix == prefix else None


def _read(store: ObjectStore, key: str, model: type[R]) -> R | None:
    try:
        return read_record(store, key, model)
    except BadRecord as error:
        _log.warning("it will be made again: %s", error)
        return None


def done_steps(search: Search, stored: Iterable[str]) -> set[Step]:
    """The steps of a search that are done. stored: keys of all that is stored of it."""
    pieces = (piece for key in stored if (piece := keys.piece_of(key)) and piece[0] == search.digest)
    return {step for _, name in pieces if (step := Step.parse(name))}
