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
ENDINGS = "endings/"
NEIGHBOURS = "neighbours/"
JOINS = "joins/"
SCORE_ENDING = ".json"
"""Of the keys under SCORES, that of records."""
MANIFEST_ENDING = "/manifest.json"
"""Of the keys under EMBEDDINGS, that of manifests."""
ARCHIVE_INDEX = "archive.json"
"""In an archive of a study, and nowhere in a store: what the archive holds."""


def embedding_prefix(spec: EmbeddingSpec) -> str:
    """All of one embedding: its manifest and its attempts."""
    return f"{EMBEDDINGS}{spec.dataset.name}/{spec.modality.name}/{spec.model.name}/{spec.layer}/{spec.digest}/"


def manifest(spec: EmbeddingSpec) -> str:
    """The manifest: present if and only if the embedding is whole."""
    return embedding_prefix(spec) + "manifest.json"


def attempts_prefix(spec: EmbeddingSpec) -> str:
    """All parts that any attempt has stored."""
    return embedding_prefix(spec) + "attempts/"


def part(spec: EmbeddingSpec, attempt: str, index: int) -> str:
    """The vectors of one part, written by one attempt."""
    return f"{attempts_prefix(spec)}{check_name(attempt)}/part-{index:05d}.parquet"


def part_receipt(spec: EmbeddingSpec, attempt: str, index: int) -> str:
    """The receipt of one part, written after its vectors."""
    return f"{attempts_prefix(spec)}{check_name(attempt)}/part-{index:05d}.json"


def receipt_beside(part_key: str) -> str:
    """The key of the receipt of the part at `part_key`."""
    return part_key.removesuffix(".parquet") + ".json"


def receipt_index(key: str) -> int | None:
    """The index of the part whose receipt is at `key`; None when `key` is of something else."""
    found = re.search(r"/part-(\d{5,})\.json$", key)
    return int(found[1]) if found else None


def neighbours(embedding_digest: str, id_set_digest: str, k: int) -> str:
    """The cached (n, k) neighbour table of one embedding, restricted to a set of objects."""
    return f"{neighbours_prefix(embedding_digest, id_set_digest, k)}table.parquet"


def neighbours_prefix(embedding_digest: str, id_set_digest: str, k: int) -> str:
    """The table of `neighbours`, and all that is stored while a large search makes it."""
    return f"{NEIGHBOURS}{check_digest(embedding_digest)}/{check_digest(id_set_digest)}/k{k}/"


def search_prefix(neighbours_prefix: str) -> str:
    """All that is stored of large searches for one table, until it is there."""
    return f"{neighbours_prefix}search/"


def search_record(neighbours_prefix: str) -> str:
    """The record of the large search for one table: how it is cut."""
    return f"{search_prefix(neighbours_prefix)}search.json"


def search_places(neighbours_prefix: str, search: str) -> str:
    """Where the objects of the search with this digest stand in the embedding."""
    return f"{search_prefix(neighbours_prefix)}{check_digest(search)}/places.parquet"


def search_piece(neighbours_prefix: str, search: str, attempt: str, name: str) -> str:
    """What one attempt at one step of a large search found."""
    inside = f"{search_prefix(neighbours_prefix)}{check_digest(search)}/"
    return f"{inside}{check_name(attempt)}/{check_name(name)}.parquet"


def piece_of(key: str) -> tuple[str, str] | None:
    """Digest of the search, and name of the step, of the piece at `key`; None when `key` is of something else."""
    found = re.search(r"/search/([0-9a-f]{32})/[^/]+/([^/]+)\.parquet$", key)
    return (found[1], found[2]) if found else None


def neighbours_prefix_of(key: str) -> str | None:
    """The prefix of the table, of which `key` is, or is of the search for it; None when `key` is of something else."""
    found = re.match(rf"{NEIGHBOURS}[0-9a-f]{{32}}/[0-9a-f]{{32}}/k\d+/(?=table\.parquet$|search/)", key)
    return found[0] if found else None


def embedding_of_prefix(neighbours_prefix: str) -> str:
    """The digest of the embedding whose tables have this prefix."""
    return neighbours_prefix.split("/")[1]


def search_of(key: str) -> str | None:
    """The digest of the search that the places or the piece at `key` are of; None when `key` is of something else."""
    found = re.search(r"/search/([0-9a-f]{32})/", key)
    return found[1] if found else None


def is_neighbours(key: str) -> bool:
    """Whether a key under NEIGHBOURS is a table's, and not of a search for one."""
    return embedding_of_neighbours(key) is not None


def join(pair: PairSpec) -> str:
    """Which objects the embeddings of a pair share, where there are so many that a search for neighbours is large."""
    return f"{JOINS}{pair.left.dataset.name}/{pair.left.digest}/{pair.right.digest}.json"


def joined(key: str) -> tuple[str, str] | None:
    """The digests of both embeddings whose join is at `key`; None when `key` is of something else."""
    found = re.fullmatch(rf"{JOINS}[^/]+/([0-9a-f]{{32}})/([0-9a-f]{{32}})\.json", key)
    return (found[1], found[2]) if found else None


def neighbours_of(embedding_digest: str) -> str:
    """All cached neighbour tables of one embedding."""
    return f"{NEIGHBOURS}{check_digest(embedding_digest)}/"


def is_table(key: str, k: int) -> bool:
    """Whether `key`, of those that `neighbours_of` names, is a table of so many neighbours."""
    return key.endswith(f"/k{k}/table.parquet")


def pair_prefix(pair: PairSpec) -> str:
    """All scores of one pair."""
    return f"{SCORES}{pair.left.dataset.name}/{pair.digest}/"


def score(spec: ScoreSpec) -> str:
    """The record of one score: present if and only if the pair is scored."""
    return f"{pair_prefix(spec.pair)}{spec.digest}.json"


def score_objects(spec: ScoreSpec) -> str:
    """Per-object values of one score, written before its record."""
    return f"{pair_prefix(spec.pair)}{spec.digest}.objects.parquet"


def score_nulls(spec: ScoreSpec) -> str:
    """What one score's metrics were under each relabelling, written before its record."""
    return f"{pair_prefix(spec.pair)}{spec.digest}.nulls.parquet"


def study(study_id: str) -> str:
    """A study as accepted."""
    return f"{STUDIES}{check_digest(study_id)}.json"


def work_endings(dataset: str) -> str:
    """How the jobs and pairs of a dataset ended without a result, and were asked for again."""
    return f"{ENDINGS}work/{check_name(dataset)}/"


def study_endings() -> str:
    """How studies ended otherwise than by their work, and were taken up again."""
    return f"{ENDINGS}studies/"


def ending(prefix: str, subject: str, number: int, state: str) -> str:
    """The `number`-th ending of a job, score or study. prefix: `work_endings` or `study_endings`."""
    return f"{prefix}{check_digest(subject)}/{number:04d}-{check_name(state)}.json"


def read_ending(key: str) -> tuple[str, int, str]:
    """Subject, number and state of the ending kept at `key`."""
    subject, _, name = key.removesuffix(".json").rpartition("/")
    number, _, state = name.partition("-")
    return subject.rpartition("/")[2], int(number), state


def is_ending(key: str) -> bool:
    """Whether a key under ENDINGS is an ending's, and not what somebody else left there."""
    return bool(
        re.fullmatch(rf"{ENDINGS}(work/[^/]+|studies)/[0-9a-f]{{32}}/\d{{4,}}-(failed|cancelled|queued)\.json", key)
    )


def embedding_prefix_of(key: str) -> str | None:
    """The prefix of the embedding that `key` belongs to; None when it belongs to none."""
    found = re.match(r"embeddings/(?:[^/]+/){4}[0-9a-f]{32}/", key)
    return found[0] if found else None


def embedding_digest(prefix: str) -> str:
    """The digest of the embedding whose prefix this is."""
    return prefix.rstrip("/").rpartition("/")[2]


def is_of_attempt(key: str) -> bool:
    """Whether a key under EMBEDDINGS is a part's, or a receipt's."""
    return bool(re.search(r"/attempts/[^/]+/part-\d{5,}\.(json|parquet)$", key))


def attempt_of(key: str) -> str:
    """The name of the attempt that wrote the part or receipt at `key`."""
    return key.split("/")[-2]


def embedding_of_neighbours(key: str) -> str | None:
    """The digest of the embedding whose neighbour table is at `key`; None when `key` is of something else."""
    found = re.fullmatch(rf"{NEIGHBOURS}([0-9a-f]{{32}})/[0-9a-f]{{32}}/k\d+/table\.parquet", key)
    return found[1] if found else None


def score_of_values(key: str) -> str | None:
    """The digest of the score whose values, per object or per relabelling, are at `key`; None for something else."""
    found = re.search(r"/([0-9a-f]{32})\.(?:objects|nulls)\.parquet$", key)
    return found[1] if found else None


def record_beside(values_key: str) -> str:
    """The key of the score whose values, per object or per relabelling, are at `values_key`."""
    return re.sub(r"\.(?:objects|nulls)\.parquet$", ".json", values_key)


def of_dataset(room: str, dataset: str | None) -> str:
    """The prefix of EMBEDDINGS, SCORES or JOINS that holds one dataset, or all of them."""
    return f"{room}{check_name(dataset)}/" if dataset else room


def study_id(key: str) -> str:
    """The id of the study kept at `key`."""
    return key.removeprefix(STUDIES).removesuffix(".json")


def is_study(key: str) -> bool:
    """Whether a key under STUDIES is a study's."""
    return re.fullmatch(r"studies/[0-9a-f]{32}\.json", key) is not None


def is_manifest(key: str) -> bool:
    """Whether a key under EMBEDDINGS is a manifest's."""
    return key.endswith(MANIFEST_ENDING)


def is_score(key: str) -> bool:
    """Whether a key under SCORES is a score record's, and not its objects'."""
    return key.endswith(SCORE_ENDING)


def score_digest(key: str) -> str:
    """The digest of the score whose record is at `key`."""
    return key.rpartition("/")[2].removesuffix(".json")
