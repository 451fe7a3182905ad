"""Which pairs of a study are ready to be scored. Pure: whether an embedding is done is asked of the caller."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

from shared.contracts import EmbeddingSpec, PairSpec, ScoreSpec, Study

IsDone = Callable[[EmbeddingSpec], bool]


def completed_by(study: Study, embedding_digest: str, is_done: IsDone) -> tuple[ScoreSpec, ...]:
    """The scores of `study` that can be made, of those that need this embedding; in the order of its pairs.

    Empty when the study does not want the embedding. Asks `is_done` once of this embedding and once of each it is
    paired with, and builds only the pairs that are ready: what it costs does not grow with the study's other pairs,
    but for reading the study once.
    """
    pairs = _pairs_by_embedding(study).get(embedding_digest, ())
    answers: dict[int, bool] = {}

    def done(index: int) -> bool:
        if index not in answers:
            answers[index] = is_done(study.embeddings[index])
        return answers[index]

    return tuple(_score(study, a, b) for a, b in pairs if done(a) and done(b))


def _score(study: Study, a: int, b: int) -> ScoreSpec:
    return ScoreSpec(pair=PairSpec(left=study.embeddings[a], right=study.embeddings[b]), scoring=study.scoring)


@lru_cache(maxsize=32)
def _pairs_by_embedding(study: Study) -> Mapping[str, Sequence[tuple[int, int]]]:
    digests = [spec.digest for spec in study.embeddings]
    found: dict[str, list[tuple[int, int]]] = {}
    for a, b in study.pairs:
        for digest in {digests[a], digests[b]}:
            found.setdefault(digest, []).append((a, b))
    return found
