"""What a worker keeps from pair to pair is bounded, of the right origin, and changes no score."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scorer.pipeline import score
from scorer.records import read_nulls, read_objects
from scorer.shelf import Shelf, size_of_ids
from shared import keys
from shared.contracts import EmbeddingSpec, PairSpec, ScoreSpec, Scoring
from shared.errors import AlteredPart, NotReady
from shared.outcomes import Attempt, Manifest, ScoreRecord
from shared.store import MemoryStore, ObjectStore
from shared.vectors import Vectors

Maker = Callable[..., EmbeddingSpec]
Keeper = Callable[[ObjectStore, EmbeddingSpec, Vectors], Manifest]
SCORING = Scoring(k=(6, 3), permutations=99, resamples=99, metrics=("mknn", "jaccard", "cknna"))


class Watched(MemoryStore):
    """Counts what is read, by key."""

    def __init__(self) -> None:
        super().__init__()
        self.read: list[str] = []

    def get(self, key: str) -> bytes:
        """See `ObjectStore.get`."""
        self.read.append(key)
        return super().get(key)


class Sky:
    """Embeddings of the same galaxies in a store; every third lacks some of them."""

    def __init__(self, make_spec: Maker, keep: Keeper, embeddings: int, objects: int = 64) -> None:
        self.store = Watched()
        self.specs = [make_spec(model=f"fake-{place:02d}", rows=objects) for place in range(embeddings)]
        world = np.random.default_rng(0).standard_normal((objects, 4))
        for place, spec in enumerate(self.specs):
            stream = np.random.default_rng(place + 1)
            matrix = world @ stream.standard_normal((4, 8)) + stream.standard_normal((objects, 8))
            vectors = Vectors(tuple(f"g{row:03d}" for row in range(objects)), matrix.astype(np.float32))
            if place % 3 == 2:
                vectors = vectors.take(stream.permutation(objects)[: objects - 9])
            keep(self.store, spec, vectors)
        self.told: list[bool] = []

    def pairs(self) -> Iterator[ScoreSpec]:
        """All of them."""
        for left, right in itertools.combinations(self.specs, 2):
            yield ScoreSpec(pair=PairSpec(left=left, right=right), scoring=SCORING)

    def score(self, spec: ScoreSpec, shelf: Shelf | None, threads: int = 1) -> ScoreRecord:
        """One score, whatever was scored before."""
        for key in (keys.score(spec), keys.score_objects(spec), keys.score_nulls(spec)):
            self.store.delete(key)
        attempt = Attempt(name="a1", worker="w")
        return score(spec, store=self.store, threads=threads, attempt=attempt, on_table=self.told.append, shelf=shelf)


@pytest.mark.parametrize("most_bytes", [512_000_000, 60_000], ids=["all", "few things"])
def test_a_score_is_the_same_with_whatever_is_kept(make_spec: Maker, store_embedding: Keeper, most_bytes: int) -> None:
    sky, shelf = Sky(make_spec, store_embedding, 4), Shelf(most_bytes)
    for spec in sky.pairs():
        kept = sky.score(spec, shelf, threads=2)
        kept_nulls, kept_objects = read_nulls(sky.store, kept), read_objects(sky.store, kept)
        plain = sky.score(spec, None)
        assert kept.results == plain.results
        assert (kept.objects, kept.left_objects, kept.right_objects) == (
            plain.objects, plain.left_objects, plain.right_objects,
        )  # fmt: skip
        assert (kept.nulls_sha256, kept.per_object_sha256) == (plain.nulls_sha256, plain.per_object_sha256)
        assert kept_nulls.keys() == read_nulls(sky.store, plain).keys()
        assert kept_objects[0] == read_objects(sky.store, plain)[0]
        assert 0 < shelf.bytes <= most_bytes


def test_a_study_searches_once_for_each_embedding_and_reads_no_part_again(
    make_spec: Maker, store_embedding: Keeper
) -> None:
    sky, shelf = Sky(make_spec, store_embedding, 18, objects=40), Shelf()
    sky.specs = [spec for place, spec in enumerate(sky.specs) if place % 3 != 2]  # those of all the objects
    sky.store.read.clear()
    scoring = Scoring(k=5, permutations=99, resamples=99)
    for left, right in itertools.combinations(sky.specs, 2):
        sky.score(ScoreSpec(pair=PairSpec(left=left, right=right), scoring=scoring), shelf)
    assert sky.told == [False] * len(sky.specs) == [False] * 12
    parts = [key for key in sky.store.read if key.endswith(".parquet") and key.startswith(keys.EMBEDDINGS)]
    assert all(parts.count(part) == 2 for part in set(parts))  # its ids, then its vectors
    assert len(set(parts)) == len(sky.specs)


def test_a_replaced_embedding_is_read_and_searched_anew(make_spec: Maker, store_embedding: Keeper) -> None:
    sky, shelf = Sky(make_spec, store_embedding, 2), Shelf()
    (spec,) = sky.pairs()
    first = sky.score(spec, shelf)
    side = spec.pair.left
    for key in list(sky.store.keys(keys.embedding_prefix(side))):
        sky.store.delete(key)
    with pytest.raises(NotReady):
        sky.score(spec, shelf)
    turned = np.random.default_rng(9).standard_normal((64, 8)).astype(np.float32)
    store_embedding(sky.store, side, Vectors(tuple(f"g{row:03d}" for row in range(64)), turned))
    second = sky.score(spec, shelf)
    assert second.provenance.left_manifest != first.provenance.left_manifest
    assert second.results != first.results
    assert second.results == sky.score(spec, None).results


def test_an_altered_table_in_the_store_is_refused(
    make_spec: Maker, store_embedding: Keeper, caplog: pytest.LogCaptureFixture
) -> None:
    sky = Sky(make_spec, store_embedding, 2)
    (spec,) = sky.pairs()
    expected = sky.score(spec, None).results
    for key in list(sky.store.keys(keys.NEIGHBOURS)):
        sky.store.put(key, sky.store.get(key)[:-9] + bytes(9))
    assert sky.score(spec, Shelf()).results == expected
    assert caplog.text.count("will be made again") == 2


def test_what_could_not_be_read_is_not_kept(make_spec: Maker, store_embedding: Keeper) -> None:
    sky, shelf = Sky(make_spec, store_embedding, 2), Shelf()
    (spec,) = sky.pairs()
    (part,) = (key for key in sky.store.keys(keys.embedding_prefix(spec.pair.left)) if key.endswith(".parquet"))
    whole = sky.store.get(part)
    sky.store.put(part, whole[:-1] + b"?")
    for _ in range(2):
        with pytest.raises(AlteredPart, match=part):
            sky.score(spec, shelf)
    sky.store.put(part, whole)
    assert sky.score(spec, shelf).results == sky.score(spec, None).results


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 40)), max_size=60), st.integers(0, 100))
@settings(max_examples=60, deadline=None)
def test_the_shelf_is_bounded_and_gives_what_its_key_names(uses: list[tuple[int, int]], most_bytes: int) -> None:
    shelf, sizes = Shelf(most_bytes), dict(reversed(uses))
    for key, _ in uses:
        found = shelf.keep(key, partial("made of {}".format, key), lambda _, size=sizes[key]: size)
        assert found == f"made of {key}"
        assert shelf.bytes <= most_bytes


def test_what_was_used_longest_ago_goes_first() -> None:
    shelf, made = Shelf(100), list[str]()

    def use(key: str) -> None:
        shelf.keep(key, lambda: made.append(key), lambda _: 40)

    for key in "abacbca":
        use(key)
    assert made == ["a", "b", "c", "b", "a"]
    assert shelf.bytes == 80
    shelf.keep("too large", lambda: None, lambda _: 51)
    use("c")
    assert made == ["a", "b", "c", "b", "a"]


def test_a_shelf_of_nothing_keeps_nothing() -> None:
    shelf = Shelf.of_nothing()
    assert [shelf.keep("key", lambda value=value: value, lambda _: 1) for value in (1, 2)] == [1, 2]
    assert shelf.bytes == 0
    assert size_of_ids(()) == 0
