"""Every key of the object store, built here and nowhere else.

Readable names in front, a digest of the whole specification behind. Names were validated when the
specification was made, so no key can leave its prefix.
"""

from __future__ import annotations

import re

from shared.contracts import EmbeddingSpec, PairSpec, ScoreSpec
from shared.names import check_digest, check_name

EMBEDDINGS = "embeddings/"
SCORES = "scores/"
STUDIES = "studies/"


def embedding_prefix(spec: EmbeddingSpec) -> str:
    """All of one embedding: its manifest, its attempts, its failure."""
    return f"{EMBEDDINGS}{spec.dataset.name}/{spec.modality.name}/{spec.model.name}/{spec.layer}/{spec.digest}/"


def manifest(spec: EmbeddingSpec) -> str:
    """The manifest: present if and only if the embedding is whole."""
    return embedding_prefix(spec) + "manifest.json"


def embedding_failure(spec: EmbeddingSpec) -> str:
    """Why the job ended without an embedding."""
    return embedding_prefix(spec) + "failure.json"


def attempts_prefix(spec: EmbeddingSpec) -> str:
    """All parts that any attempt has stored."""
    return embedding_prefix(spec) + "attempts/"


def part(spec: EmbeddingSpec, attempt: str, index: int) -> str:
    """The vectors of one part, written by one attempt."""
    return f"{attempts_prefix(spec)}{check_name(attempt)}/part-{index:05d}.parquet"


def part_receipt(spec: EmbeddingSpec, attempt: str, index: int) -> str:
    """The receipt of one part, written after its vectors."""
    return f"{attempts_prefix(spec)}{check_name(attempt)}/part-{index:05d}.json"


def receipt_index(key: str) -> int | None:
    """The index of the part whose receipt is at `key`; None when `key` is of something else."""
    found = re.search(r"/part-(\d{5,})\.json$", key)
    return int(found[1]) if found else None


def neighbours(embedding_digest: str, id_set_digest: str, k: int) -> str:
    """The cached (n, k) neighbour table of one embedding, restricted to a set of objects."""
    return f"neighbours/{check_digest(embedding_digest)}/{check_digest(id_set_digest)}/k{k}/table.parquet"


def pair_prefix(pair: PairSpec) -> str:
    """All scores of one pair."""
    return f"{SCORES}{pair.left.dataset.name}/{pair.digest}/"


def score(spec: ScoreSpec) -> str:
    """The record of one score: present if and only if the pair is scored."""
    return f"{pair_prefix(spec.pair)}{spec.digest}.json"


def score_objects(spec: ScoreSpec) -> str:
    """Per-object values of one score, written before its record."""
    return f"{pair_prefix(spec.pair)}{spec.digest}.objects.parquet"


def score_failure(spec: ScoreSpec) -> str:
    """Why the pair ended without a score."""
    return f"{pair_prefix(spec.pair)}{spec.digest}.failure.json"


def study(study_id: str) -> str:
    """A study as accepted."""
    return f"{STUDIES}{check_digest(study_id)}.json"


def of_dataset(room: str, dataset: str | None) -> str:
    """The prefix of EMBEDDINGS or SCORES that holds one dataset, or all of them."""
    return f"{room}{check_name(dataset)}/" if dataset else room


def study_id(key: str) -> str:
    """The id of the study kept at `key`."""
    return key.removeprefix(STUDIES).removesuffix(".json")


def is_manifest(key: str) -> bool:
    """Whether a key under EMBEDDINGS is a manifest's."""
    return key.endswith("/manifest.json")


def is_score(key: str) -> bool:
    """Whether a key under SCORES is a score record's, and not its objects' or a failure's."""
    return key.endswith(".json") and not key.endswith(".failure.json")
