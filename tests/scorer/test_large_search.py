"""A search in many steps gives the table of a search in one, bit for bit, however it is cut and whoever does it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scorer.neighbour_cache import Origin, write_table
from scorer.neighbours import SEARCH_VERSION, nearest
from scorer.pairing import id_set_digest
from scorer.pipeline import score
from scorer.search.grid import STEP_BYTES, TABLE, Grid, Step, cut, is_large, step_bytes
from scorer.search.merging import merge
from scorer.search.planning import plan_searches
from scorer.search.records import Search, done_steps, read_join, read_search, sides_searched
from scorer.search.steps import do_step
from scorer.streams import open_stream
from shared import keys
from shared.contracts import DatasetRef, EmbeddingSpec, ModelRef, PairSpec, ScoreSpec, Scoring
from shared.embeddings import commit_manifest, read_manifest_with_hash, store_part
from shared.errors import AlteredPart, DegenerateEmbedding, LeaseLost, NotReady, Permanent, TooFewObjects, ZeroVector
from shared.modalities import Modality
from shared.outcomes import Attempt
from shared.store import MemoryStore
from shared.vectors import Vectors

GIB = 1 << 30


def make_pair(rows: tuple[int, int], k: int = 3, part_rows: int = 5) -> ScoreSpec:
    """A pair of fake embeddings of one dataset, of so many rows each at most."""
    dataset = DatasetRef(name="sky", revision="1", source="mocksky", location="0", rows=max(rows), simulated=True)
    model = ModelRef(
        name="fake", family="fake", adapter="fake", checkpoint="f", revision="1", pooling="mean", part_rows=part_rows,
        parameters=1,
    )  # fmt: skip
    left, right = (
        EmbeddingSpec(dataset=dataset, modality=Modality(name=n, kind="image", column=n, recipe="r"), model=model)
        for n in ("hsc", "jwst")
    )
    scoring = Scoring(k=k, permutations=99, resamples=99)
    return ScoreSpec(pair=PairSpec(left=left, right=right), scoring=scoring, metric_versions={"mknn": 1})


def keep(store: MemoryStore, spec: EmbeddingSpec, ids: list[str], matrix: np.ndarray, name: str = "a1") -> None:
    """Store an embedding; what it lacks of the dataset's rows was dropped."""
    parts = {}
    for index in range(spec.parts()):
        start, stop = spec.part_range(index)
        own = ids[start:stop]
        lacking = {"left-out": stop - start - len(own)} if len(own) < stop - start else {}
        parts[index] = store_part(
            store, spec, Attempt(name=name, worker="w"), index, Vectors(tuple(own), matrix[start:stop]),
            dropped=lacking, repaired={}, seconds=0, at="2026-01-01T00:00:00.000+00:00", device="cpu", packages={},
        )  # fmt: skip
    commit_manifest(store, spec, parts)


def shuffled_pair(store: MemoryStore, rng: np.random.Generator, n: int, k: int, dimension: int = 3) -> ScoreSpec:
    """A pair whose sides hold mostly the same objects, each in an order of its own; with duplicates, and many ties."""
    lacking = [int(rng.integers(0, 4)), int(rng.integers(0, 4))]
    spec = make_pair((n + lacking[0], n + lacking[1]), k)
    for side, (own, more) in zip((spec.pair.left, spec.pair.right), enumerate(lacking), strict=True):
        ids = [f"g{row}" for row in range(n)] + [f"only {own}-{row}" for row in range(more)]
        matrix = rng.integers(-1, 3, (len(ids), dimension)).astype(np.float32)
        matrix[:, -1] = rng.integers(1, 3, len(ids))
        keep(store, side, [ids[row] for row in rng.permutation(len(ids))], matrix)
    return spec


def table_in_one_step(store: MemoryStore, spec: EmbeddingSpec, ids: tuple[str, ...], k: int) -> bytes:
    """The table as a score makes it where the search fits one step."""
    from scorer.neighbour_cache import ignore_table
    from scorer.sides import StoredSide
    from shared.embeddings import load_object_ids

    found = read_manifest_with_hash(store, spec)
    assert found
    places = {object_id: row for row, object_id in enumerate(load_object_ids(store, found[0]))}
    rows = np.array([places[object_id] for object_id in ids])
    side = StoredSide(store, found[0], found[1], ids, rows, k, ignore_table)
    lots = open_stream("ties", 0, spec.digest, id_set_digest(ids))
    return write_table(nearest(side.vectors(), k, lots), Origin(spec.digest, found[1], ids, k, SEARCH_VERSION))


def searches(store: MemoryStore, spec: ScoreSpec) -> list[Search]:
    """The searches of a pair that are planned."""
    found = read_join(store, spec.pair)
    assert found
    prefixes = (keys.neighbours_prefix(side.digest, found.id_set, 3) for side in (spec.pair.left, spec.pair.right))
    return [search for prefix in prefixes if (search := read_search(store, prefix))]


def missing(store: MemoryStore, search: Search) -> list[Step]:
    """The steps that can be done now."""
    return list(search.grid.missing(done_steps(search, store.keys(search.prefix))))


def finish(store: MemoryStore, search: Search, rng: np.random.Generator) -> int:
    """Do all steps of a search in any order, some of them twice; how many there were."""
    for count in range(10_000):
        if store.exists(keys.neighbours(search.embedding.digest, search.id_set, search.k)):
            return count
        steps = missing(store, search)
        step = steps[int(rng.integers(len(steps)))]
        for again in range(int(rng.integers(1, 3))):
            assert do_step(search, step, store=store, attempt=f"{count:016d}-{again}") is not bool(again)
    raise AssertionError("it does not end")


@given(st.integers(0, 2**32), st.integers(4, 20), st.integers(27, 600))
@settings(max_examples=20, deadline=None)
def test_whatever_the_grid_the_order_and_the_storage_the_bits_are_those_of_one_step(
    seed: int, n: int, products: int
) -> None:
    rng, store = np.random.default_rng(seed), MemoryStore()
    spec = shuffled_pair(store, rng, n, 3)
    found = plan_searches(spec, store=store, before_commit=lambda: None, products=products)
    assert found.objects == n
    planned = searches(store, spec)
    assert len(planned) == (2 if is_large(n, 3, 3, products) else 0)
    ids = tuple(sorted(f"g{row}" for row in range(n)))
    for search in planned:
        finish(store, search, rng)
        made = store.get(keys.neighbours(search.embedding.digest, search.id_set, 3))
        assert made == table_in_one_step(store, search.embedding, ids, 3)
    assert not [key for key in store.keys(keys.NEIGHBOURS) if not keys.is_neighbours(key)], "nothing else is left"


def test_many_vectors_of_low_rank_with_duplicates_give_the_bits_of_one_step() -> None:
    """Enough of them that one step may search in sketches, and tiles do not."""
    n, dimension, rng = 4_500, 48, np.random.default_rng(8)
    store, spec = MemoryStore(), make_pair((n, n), part_rows=700)
    ids = [f"g{row:05d}" for row in range(n)]
    for side in (spec.pair.left, spec.pair.right):
        matrix = rng.normal(size=(n, 6)) @ rng.normal(size=(6, dimension)) + 0.1 * rng.normal(size=(n, dimension))
        matrix[::9] = matrix[1::9]
        keep(store, side, [ids[row] for row in rng.permutation(n)], matrix.astype(np.float32))
    plan_searches(spec, store=store, before_commit=lambda: None, products=2_000 * 2_000 * dimension)
    search = searches(store, spec)[0]
    assert search.grid == Grid(n, 1_500)
    finish(store, search, rng)
    made = store.get(keys.neighbours(search.embedding.digest, search.id_set, 3))
    assert made == table_in_one_step(store, search.embedding, tuple(ids), 3)


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_merging_is_sorting_in_whatever_order_the_tiles_come(data: st.DataObject) -> None:
    from scorer.neighbours import Found

    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    m, n, k = (data.draw(st.integers(low, high)) for low, high in ((1, 5), (1, 30), (1, 6)))
    similarities, lot = rng.integers(0, 4, (m, n)) / 4, rng.permutation(n)
    whole = np.array([sorted(range(n), key=lambda row: (-line[row], lot[row]))[:k] for line in similarities])
    pieces = np.array_split(rng.permutation(n), data.draw(st.integers(1, n)))
    best = Found(np.empty((m, 0)), np.empty((m, 0), dtype=np.int64))
    for piece in pieces:
        order = np.array([sorted(piece, key=lambda row: (-line[row], lot[row]))[:k] for line in similarities])
        best = merge(best, Found(np.take_along_axis(similarities, order, axis=1), order), k, lot)
    np.testing.assert_array_equal(best.rows, whole)
    np.testing.assert_array_equal(best.similarities, np.take_along_axis(similarities, whole, axis=1))


@given(st.integers(1, 10**7), st.integers(1, 10**5), st.integers(1, 1000), st.integers(1, 10**14))
def test_a_grid_covers_every_row_once_within_its_bounds(objects: int, dimension: int, k: int, products: int) -> None:
    grid = cut(objects, dimension, k, products)
    assert grid.block * (grid.blocks - 1) < objects <= grid.block * grid.blocks
    assert grid.rows(grid.blocks - 1).stop == objects
    assert grid.block == 1 or grid.block**2 * dimension <= products
    assert grid.block == 1 or step_bytes(grid.block, dimension, k) <= STEP_BYTES


def test_a_million_objects_fit_four_gibibytes() -> None:
    """Blocks, ids and rows of all objects, lots, and an interpreter with its libraries."""
    objects, dimension = 1_000_000, 768
    for k in (10, 100, 1000):
        grid = cut(objects, dimension, k)
        of_all = objects * (64 + 3 * 8)  # ids of 32 characters, in the file and unpacked; places, order, lots
        assert step_bytes(grid.block, dimension, k) + of_all + GIB // 2 < 4 * GIB
    assert cut(objects, dimension, 10).blocks ** 2 == 256
    assert not is_large(60_000, 768, 10)


def test_steps_are_missing_until_they_are_done_and_strips_come_before_tiles() -> None:
    grid = Grid(10, 4)
    tiles = [step for query in range(3) for step in grid.tiles(query)]
    assert list(grid.missing(set())) == tiles
    assert list(grid.missing(set(tiles[3:6]))) == [Step(1), *tiles[:3], *tiles[6:]]
    assert list(grid.missing({Step(1)})) == [*tiles[:3], *tiles[6:]]
    assert list(grid.missing({Step(0), Step(1), Step(2)})) == [TABLE]
    for step in (*tiles, Step(2), TABLE):
        assert Step.parse(step.name) == step
        assert grid.holds(step)
    assert not grid.holds(Step(3))
    for name in ("", "tile-1-2", "tile-00001", "strip-00001-00002", "tile-000001-00001", "table\n"):
        assert Step.parse(name) is None


@pytest.fixture
def planned() -> tuple[MemoryStore, ScoreSpec, Search]:
    """A pair, of which both searches are planned, and the search of its left side: 3 by 3 tiles."""
    store = MemoryStore()
    spec = shuffled_pair(store, np.random.default_rng(5), 24, 3)
    plan_searches(spec, store=store, before_commit=lambda: None, products=8 * 8 * 3)
    return store, spec, searches(store, spec)[0]


Planned = tuple[MemoryStore, ScoreSpec, Search]


def do_all(store: MemoryStore, search: Search, steps: Iterator[Step] | list[Step]) -> None:
    for number, step in enumerate(steps):
        assert do_step(search, step, store=store, attempt=f"first-{number}")


def piece_keys(store: MemoryStore, search: Search) -> dict[str, str]:
    return {found[1]: key for key in store.keys(search.prefix) if (found := keys.piece_of(key))}


def test_a_piece_that_was_altered_is_refused_removed_and_made_again(planned: Planned) -> None:
    store, _, search = planned
    do_all(store, search, missing(store, search))
    pieces = piece_keys(store, search)
    assert len(pieces) == 9
    whole = store.get(pieces["tile-00001-00002"])
    other = store.get(pieces["tile-00001-00001"])
    for damaged in (b"", b"PAR1", whole[:-9], b"\0" * len(whole), other):
        store.put(pieces["tile-00001-00002"], damaged)
        with pytest.raises(NotReady, match="cannot be believed"):
            do_step(search, Step(1), store=store, attempt="second")
        assert Step(1, 2) in missing(store, search)
        assert do_step(search, Step(1, 2), store=store, attempt="first-5")
        assert store.get(pieces["tile-00001-00002"]) == whole
    assert do_step(search, Step(1), store=store, attempt="third")
    assert "tile-00001-00000" not in piece_keys(store, search), "what is merged is not kept twice"


def test_no_flipped_bit_of_a_piece_gives_other_neighbours(planned: Planned) -> None:
    from scorer.search.pieces import read_piece

    store, _, search = planned
    do_all(store, search, [Step(0, 1)])
    whole = store.get(piece_keys(store, search)["tile-00000-00001"])
    found, refused = read_piece(whole, search, Step(0, 1)), 0
    for place in range(0, len(whole), 11):
        data = bytearray(whole)
        data[place] ^= 1 << place % 8
        try:
            again = read_piece(bytes(data), search, Step(0, 1))
        except ValueError:
            refused += 1
        else:
            np.testing.assert_array_equal(again.rows, found.rows)
            np.testing.assert_array_equal(again.similarities, found.similarities)
    assert refused > len(whole) // 22


def test_what_a_fenced_worker_found_stays_out_of_the_store(planned: Planned) -> None:
    store, _, search = planned

    def lost() -> None:
        raise LeaseLost("another has it")

    before = list(store.keys(""))
    for step in (Step(0, 0), Step(0, 1), Step(0, 2), Step(0), TABLE):
        with pytest.raises((LeaseLost, NotReady)):
            do_step(search, step, store=store, attempt="late", before_commit=lost)
    assert list(store.keys("")) == before
    with pytest.raises(LeaseLost):
        plan_searches(planned[1], store=store, before_commit=lost)


def test_places_that_were_altered_are_planned_again(planned: Planned) -> None:
    store, spec, search = planned
    store.put(keys.search_places(search.prefix, search.digest), b"PAR1")
    with pytest.raises(NotReady, match="the places of"):
        do_step(search, Step(0, 0), store=store, attempt="a")
    assert read_search(store, search.prefix) is None
    plan_searches(spec, store=store, before_commit=lambda: None, products=8 * 8 * 3)
    assert searches(store, spec)[0] == search
    assert finish(store, search, np.random.default_rng(0)) == 9 + 3 + 1


def test_an_embedding_that_was_made_anew_is_planned_anew(planned: Planned) -> None:
    store, spec, search = planned
    do_all(store, search, [Step(0, 0)])
    store.delete(keys.manifest(spec.pair.left))
    with pytest.raises(NotReady):
        do_step(search, Step(0, 1), store=store, attempt="a")
    ids = [f"g{row}" for row in range(24)]
    keep(store, spec.pair.left, ids, np.random.default_rng(9).normal(size=(24, 3)).astype(np.float32), "a2")
    plan_searches(spec, store=store, before_commit=lambda: None, products=8 * 8 * 3)
    again = searches(store, spec)[0]
    assert again.digest != search.digest
    assert not do_step(search, Step(0, 1), store=store, attempt="b"), "what was planned before is not gone on with"
    finish(store, again, np.random.default_rng(0))
    table = store.get(keys.neighbours(again.embedding.digest, again.id_set, 3))
    assert table == table_in_one_step(store, again.embedding, tuple(sorted(ids)), 3)
    assert not list(store.keys(keys.search_prefix(search.prefix))), "nor is anything kept of it"


def test_a_part_that_was_altered_is_told(planned: Planned) -> None:
    store, _, search = planned
    for key in list(store.keys(keys.attempts_prefix(search.embedding))):
        if key.endswith("part-00000.parquet"):
            store.put(key, store.get(key)[:-1])
    with pytest.raises(AlteredPart):
        do_all(store, search, search.grid.tiles(0))


def degenerate(kind: str) -> Callable[[np.ndarray], None]:
    def change(matrix: np.ndarray) -> None:
        if kind == "zero":
            matrix[[3, 17]] = 0
        else:
            matrix[:] = np.outer(np.arange(1, len(matrix) + 1), [1.0, 2.0, 0.5])

    return change


@pytest.mark.parametrize(("kind", "error"), [("zero", ZeroVector), ("one direction", DegenerateEmbedding)])
def test_what_one_step_refuses_is_refused_in_the_same_words(kind: str, error: type[Permanent]) -> None:
    store, spec = MemoryStore(), make_pair((24, 24))
    rng = np.random.default_rng(4)
    for side in (spec.pair.left, spec.pair.right):
        matrix = rng.normal(size=(24, 3)).astype(np.float32)
        if side is spec.pair.right:
            degenerate(kind)(matrix)
        keep(store, side, [f"g{row:02d}" for row in rng.permutation(24)], matrix)
    with pytest.raises(error) as told:
        plan_searches(spec, store=store, before_commit=lambda: None, products=100)
    assert read_join(store, spec.pair) is None
    with pytest.raises(error) as in_one_step:
        score(spec, store=store, threads=1, attempt=Attempt(name="a", worker="w"))
    assert in_one_step.value.wrong.endswith(told.value.wrong)
    assert told.value.remedy in in_one_step.value.remedy


def test_a_pair_that_shares_too_little_is_left_to_its_score() -> None:
    store, spec = MemoryStore(), make_pair((24, 24), k=30)
    for side in (spec.pair.left, spec.pair.right):
        keep(store, side, [f"g{row:02d}" for row in range(24)], np.eye(24, dtype=np.float32))
    found = plan_searches(spec, store=store, before_commit=lambda: None, products=1)
    assert found.objects == 24
    assert searches(store, spec) == []
    with pytest.raises(TooFewObjects):
        score(spec, store=store, threads=1, attempt=Attempt(name="a", worker="w"))


class Watching(MemoryStore):
    """A store that tells of what is read."""

    def __init__(self) -> None:
        super().__init__()
        self.read: list[str] = []

    def get(self, key: str) -> bytes:
        self.read.append(key)
        return super().get(key)


def test_a_score_finds_the_tables_and_a_step_reads_only_the_parts_of_its_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    store, spec = Watching(), make_pair((40, 40))
    for number, side in enumerate((spec.pair.left, spec.pair.right)):
        matrix = np.random.default_rng(number).normal(size=(40, 4)).astype(np.float32)
        keep(store, side, [f"g{row * 7 % 40}" for row in range(40)], matrix)
    undisturbed = MemoryStore()
    for key in store.keys(""):
        undisturbed.put(key, store.get(key))
    plan_searches(spec, store=store, before_commit=lambda: None, products=10 * 10 * 4)
    for search in searches(store, spec):
        assert search.grid == Grid(40, 10)
        store.read.clear()
        do_step(search, Step(1, 3), store=store, attempt="a")
        read = sorted(key[-13:-8] for key in store.read if "/attempts/" in key)
        assert read == ["00002", "00003", "00006", "00007"]
        finish(store, search, np.random.default_rng(1))
    attempt = Attempt(name="a", worker="w")
    whole = score(spec, store=undisturbed, threads=1, attempt=attempt)
    monkeypatch.setattr("scorer.sides.load_vectors", lambda *_: pytest.fail("vectors are loaded"))
    told: list[bool] = []
    record = score(spec, store=store, threads=1, attempt=attempt, on_table=told.append)
    assert told == [True, True]
    assert record.results == whole.results
    assert store.get(keys.score_objects(spec)) == undisturbed.get(keys.score_objects(spec))


def test_only_metrics_that_count_neighbours_search_and_only_in_embeddings() -> None:
    spec = make_pair((9, 9))
    assert sides_searched(spec) == (spec.pair.left, spec.pair.right)
    for metrics, searched in ((("cka",), 0), (("cka", "mknn"), 2), (("cknna",), 2), (("ridge-probe",), 0)):
        other = spec.model_copy(update={"scoring": Scoring(metrics=metrics)})
        assert len(sides_searched(other)) == searched
    label: dict[str, Any] = spec.pair.right.model_dump()
    label["modality"] |= {"kind": "label"}
    pair = PairSpec(left=spec.pair.left, right=EmbeddingSpec.model_validate(label))
    probe = spec.model_copy(update={"pair": pair, "scoring": Scoring(metrics=("knn-probe",))})
    assert sides_searched(probe) == (spec.pair.left,)
