"""Which pairs of a study are ready to be scored. Pure: whether an embedding is done is asked of the caller."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

from shared.contracts import EmbeddingSpec, ScoreSpec, Study

IsDone = Callable[[EmbeddingSpec], bool]


def completed_by(study: Study, embedding_digest: str, is_done: IsDone) -> tuple[ScoreSpec, ...]:
    """The scores of `study` that can be made, of those that need this embedding; in the order of its pairs.

    Empty when the study does not want the embedding. Asks `is_done` once of this embedding and once of each it is
    paired with, and builds only the pairs that are ready: what it costs does not grow with the study's other pairs,
    but for reading the study once.
    """
    pairs = _pairs_by_embedding(_ById(study)).get(embedding_digest, ())
    answers: dict[int, bool] = {}

    def done(index: int) -> bool:
        if index not in answers:
            answers[index] = is_done(study.embeddings[index])
        return answers[index]

    return tuple(study.score(a, b) for a, b in pairs if done(a) and done(b))


class _ById:
    """A study that is remembered by its id: its metric versions are a dict, which has no hash."""

    def __init__(self, study: Study) -> None:
        self.study, self._id = study, study.id

    def __hash__(self) -> int:
        return hash(self._id)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _ById) and other._id == self._id


@lru_cache(maxsize=32)
def _pairs_by_embedding(known: _ById) -> Mapping[str, Sequence[tuple[int, int]]]:
    digests = [spec.digest for spec in known.study.embeddings]
    found: dict[str, list[tuple[int, int]]] = {}
    for a, b in known.study.pairs:
        for digest in {digests[a], digests[b]}:
            found.setdefault(digest, []).append((a, b))
    return found
