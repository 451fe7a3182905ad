"""The scores of an archive made anew from its vectors, and what they say otherwise.

Imports FAISS, through the scorer's pipeline.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from scorer.agreement import Verdict, compare_scores, tell
from scorer.pipeline import score
from scorer.records import read_score
from scorer.shelf import Shelf
from shared import keys
from shared.contracts import ScoreSpec, Study
from shared.errors import NotReady, Permanent
from shared.outcomes import Attempt
from shared.store import MemoryStore, ObjectStore

_ATTEMPT = Attempt(name="anew", worker="verification")


class _Beside(MemoryStore):
    """Embeddings are read from an archive; everything else, the scores above all, is made anew in memory."""

    def __init__(self, archive: ObjectStore) -> None:
        super().__init__()
        self._archive = archive

    def get(self, key: str) -> bytes:
        """See `ObjectStore.get`."""
        return self._archive.get(key) if key.startswith(keys.EMBEDDINGS) else super().get(key)


def disagreements(archive: ObjectStore, study: Study, *, threads: int = 0) -> Iterator[Sequence[str]]:
    """For each score of the archive, made anew from its vectors, what is different in it, in words; nothing if nothing.

    A score that is not there, or cannot be read, is passed over: it was named before. What keeps a score from being
    made again is said. Neighbour tables are kept until the end: `(n, k)` for each embedding.
    """
    store, shelf = _Beside(archive), Shelf()
    for a, b in study.pairs:
        spec = study.score(a, b)
        try:
            then = read_score(archive, spec)
        except Permanent:
            then = None
        if then is None:
            continue
        try:
            now = score(spec, store=store, threads=threads, attempt=_ATTEMPT, shelf=shelf)
        except (Permanent, NotReady) as error:
            yield [f"{spec.pair.label} cannot be scored: {error.wrong}"]
            continue
        _let_go(store, spec)
        yield tell(compare_scores(then, now), Verdict.DIFFERENT)


def _let_go(store: ObjectStore, spec: ScoreSpec) -> None:
    for key in (keys.score(spec), keys.score_objects(spec), keys.score_nulls(spec)):
        store.delete(key)
