"""A study's records laid out: each number stands where its pair says, once, and nothing is made up."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scorer.overviews.curves import curve_points
from scorer.overviews.layers import layer_maps, layer_rows
from scorer.overviews.matrix import Statistic, make_matrix, matrix_rows, statistic_of
from scorer.overviews.named import Named
from scorer.overviews.ordering import dataset_names, embeddings_of, in_order, layer_place
from scorer.overviews.probes import probe_rows
from shared.contracts import EmbeddingSpec, PairSpec, ScoreSpec
from shared.modalities import Modality
from shared.outcomes import ScoreRecord
from shared.planning import choose_pairs

Maker = Callable[..., EmbeddingSpec]
Recorder = Callable[..., ScoreRecord]
VIT = (("vit-base", "vit", 86.0), ("vit-large", "vit", 304.0), ("vit-huge", "vit", 632.0))
SIZES = (*VIT, ("dino-base", "dino", 86.0))


@pytest.fixture(scope="module")
def embeddings(make_spec: Maker) -> list[EmbeddingSpec]:
    """Two modalities by four models of two families."""
    return [
        make_spec(modality, model=model, family=family, parameters=parameters)
        for modality in ("jwst", "hsc")
        for model, family, parameters in SIZES
    ]


def record_all(pairs: Sequence[tuple[EmbeddingSpec, EmbeddingSpec]], make_record: Recorder) -> list[ScoreRecord]:
    return [make_record(a, b, 0.1 + place / 1000) for place, (a, b) in enumerate(pairs)]


@given(st.sets(st.tuples(st.integers(0, 7), st.integers(0, 7)).filter(lambda pair: pair[0] < pair[1]), min_size=1))
@settings(max_examples=25, deadline=None)
def test_a_matrix_holds_each_value_twice_and_nothing_else(
    embeddings: list[EmbeddingSpec], make_record: Recorder, chosen: set[tuple[int, int]]
) -> None:
    records = record_all([(embeddings[a], embeddings[b]) for a, b in sorted(chosen)], make_record)
    wanted = [ScoreSpec(pair=PairSpec(left=a, right=b)) for a, b in itertools.combinations(embeddings, 2)]
    random.Random(0).shuffle(records)
    matrix = make_matrix(wanted, records, metric="mknn", k=10)
    places = {one.embedding: place for place, one in enumerate(matrix.embeddings)}
    assert list(places) == [spec.digest for spec in in_order(embeddings)]
    filled = {(row, column) for row, column in itertools.product(range(8), repeat=2) if matrix.values[row][column]}
    assert len(filled) == 2 * len(records)
    for record in records:
        a, b = places[record.spec.pair.left.digest], places[record.spec.pair.right.digest]
        assert matrix.values[a][b] == matrix.values[b][a] == record.results[0].value
    rows = matrix_rows(records, metric="mknn", k=10)
    assert sorted(row.value for row in rows) == sorted(record.results[0].value for record in records)
    assert {row.score for row in rows} == {record.spec.digest for record in records}


def test_the_order_is_by_modality_family_and_size(embeddings: list[EmbeddingSpec]) -> None:
    scores = [ScoreSpec(pair=PairSpec(left=a, right=b)) for a, b in itertools.combinations(embeddings, 2)]
    order = [(spec.modality.name, spec.model.name) for spec in embeddings_of(scores)]
    models = ["dino-base", "vit-base", "vit-large", "vit-huge"]
    assert order == [(modality, model) for modality in ("hsc", "jwst") for model in models]


@pytest.mark.parametrize("statistic", ["value", "calibrated", "p_value"])
def test_a_matrix_shows_the_statistic_of_the_k_that_was_asked_for(
    embeddings: list[EmbeddingSpec], make_record: Recorder, statistic: Statistic
) -> None:
    record = make_record(embeddings[0], embeddings[4], 0.026, ks=(10, 5))  # at k = 5 below its threshold
    result = record.result("mknn", 5)
    assert result is not None
    matrix = make_matrix([record.spec], [record], metric="mknn", k=5, statistic=statistic)
    assert matrix.values == [[None, statistic_of(result, statistic)], [statistic_of(result, statistic), None]]
    assert statistic_of(result, statistic) != statistic_of(record.results[0], statistic)
    nothing = make_matrix([record.spec], [record], metric="cka", k=None)
    assert nothing.values == [[None, None], [None, None]]


def test_layers_are_in_the_order_of_their_numbers_and_the_final_one_is_last() -> None:
    layers = ["final", "block-10", "block-9", "block-1", "stem", "block-1-mlp"]
    assert sorted(layers, key=layer_place) == ["block-1", "block-1-mlp", "block-9", "block-10", "stem", "final"]


def test_curves_have_a_point_for_each_result_of_final_layers(
    embeddings: list[EmbeddingSpec], make_record: Recorder, make_spec: Maker
) -> None:
    pairs = [(embeddings[a], embeddings[b]) for a, b in choose_pairs(embeddings, ["crossmodal", "intramodal"])]
    deep = [make_spec(modality, model="vit-base", family="vit", layer="block-03") for modality in ("hsc", "jwst")]
    records = [make_record(a, b, 0.2, ks=(10, 5)) for a, b in [*pairs, (deep[0], deep[1])]]
    q_values = {Named(record.spec.digest, "mknn", 10): place / 10 for place, record in enumerate(records)}
    points = curve_points(reversed(records), q_values)
    assert len(points) == 2 * len(pairs)
    assert points == sorted(points, key=lambda point: point.key)
    assert {point.q_value for point in points if point.k == 10} == {place / 10 for place in range(len(pairs))}
    crossmodal = [point for point in points if point.kind == "crossmodal" and point.k == 5 and point.family == "vit"]
    assert [(point.model, point.parameters) for point in crossmodal] == [(model, size) for model, _, size in VIT]
    steps = {(point.smaller_model, point.model) for point in points if point.kind == "intramodal"}
    assert steps == {("vit-base", "vit-large"), ("vit-large", "vit-huge")}


def test_of_all_pairs_of_sizes_only_steps_to_the_next_are_on_a_curve(
    embeddings: list[EmbeddingSpec], make_record: Recorder
) -> None:
    records = record_all([(embeddings[a], embeddings[b]) for a, b in choose_pairs(embeddings, ["all"])], make_record)
    steps = choose_pairs(embeddings, ["intramodal"])
    on_curves = {point.score for point in curve_points(records) if point.kind == "intramodal"}
    wanted = {ScoreSpec(pair=PairSpec(left=embeddings[a], right=embeddings[b])).digest for a, b in steps}
    assert on_curves == wanted


def test_layer_maps_are_of_one_model_looked_at_in_several_layers(make_spec: Maker, make_record: Recorder) -> None:
    layers = ("final", "block-10", "block-2")
    sides = {
        modality: [make_spec(modality, model="vit-base", layer=layer) for layer in layers]
        for modality in ("hsc", "jwst")
    }
    across = [(a, b) for a in sides["hsc"] for b in sides["jwst"]]
    within = list(itertools.combinations(sides["hsc"], 2))
    others = [(make_spec("hsc", model="vit-large"), make_spec("jwst", model="vit-large"))]
    records = record_all([*across, *within, *others], make_record)
    maps = layer_maps(records, metric="mknn", k=10)
    assert [(one.left_modality, one.right_modality) for one in maps] == [("hsc", "hsc"), ("hsc", "jwst")]
    alone, both = maps
    assert alone.left_layers == alone.right_layers == both.left_layers == ["block-2", "block-10", "final"]
    assert [alone.values[i][i] for i in range(3)] == [None] * 3
    assert alone.values[0][2] == alone.values[2][0] is not None
    values = {
        (record.spec.pair.left.layer, record.spec.pair.right.layer): record.results[0].value for record in records[:9]
    }
    for row, left in enumerate(both.left_layers):
        assert both.values[row] == [values[left, right] for right in both.right_layers]
    rows = layer_rows(maps)
    assert len(rows) == 9 + 3
    assert {(row.left_layer, row.right_layer): row.value for row in rows if row.right_modality == "jwst"} == values
    assert layer_maps(records[-1:], metric="mknn", k=10) == []


def test_probe_rows_know_which_side_is_the_label(make_spec: Maker, make_record: Recorder) -> None:
    z = Modality(name="redshift", kind="label", column="z", recipe="label-v1", unit="km / s")
    mass = Modality(name="aa", kind="label", column="m", recipe="label-v1", classes=("low", "high"))
    side = make_spec("hsc", model="vit-base", family="vit", parameters=86.0)
    records = [
        make_record(
            side, make_spec("hsc").model_copy(update={"modality": label}), 0.4, metric="ridge-probe", ks=(None,)
        )
        for label in (z, mass)
    ]
    rows = probe_rows([*records, make_record(side, make_spec("jwst"), 0.1)])
    assert [(row.label, row.label_unit, row.classes) for row in rows] == [
        ("aa", None, 2),
        ("redshift", "km / s", None),
    ]
    assert {(row.model, row.modality, row.embedding, row.folds_std) for row in rows} == {
        ("vit-base", "hsc", side.digest, 0.01)
    }
    assert embeddings_of(record.spec for record in records) == [], "a label is no embedding to compare"


def test_cuts_of_one_dataset_are_told_apart(make_spec: Maker) -> None:
    datasets = [
        make_spec(dataset=name, rows=rows, simulated=simulated).dataset
        for name, rows, simulated in (("mocksky", 100, True), ("mocksky", 200, True), ("radio", 100, False))
    ]
    assert list(dataset_names(datasets).values()) == [
        "mocksky, 100 rows (simulated)",
        "mocksky, 200 rows (simulated)",
        "radio",
    ]


@pytest.mark.parametrize("bounded", [True, False])
def test_the_best_layers_are_calibrated_only_where_a_score_is(
    make_spec: Maker, make_record: Recorder, bounded: bool
) -> None:
    records = [
        make_record(make_spec("hsc", layer=ours), make_spec("jwst", layer=theirs), 0.3 + place / 10)
        for place, (ours, theirs) in enumerate(itertools.product(("block-02", "final"), repeat=2))
    ]
    if not bounded:
        results = [one.results[0].model_copy(update={"calibrated": None}) for one in records]
        records = [one.model_copy(update={"results": (new,)}) for one, new in zip(records, results, strict=True)]
    nulls = np.linspace(0.05, 0.25, 99)
    (found,) = layer_maps(
        records, metric="mknn", k=10, read_nulls=lambda _: {"mknn@10": nulls}, read_objects=lambda _: (("a",), {})
    )
    assert found.best is not None
    assert (found.best.left_layer, found.best.right_layer, found.best.p_value) == ("final", "final", 0.01)
    assert (found.best.calibrated is not None) is bounded


def test_the_best_layers_are_told_of_the_same_objects_only(make_spec: Maker, make_record: Recorder) -> None:
    """As many objects on both sides as are shared need no reading; as many that are others are found out."""
    nulls = np.linspace(0.05, 0.25, 99)
    pairs = [(make_spec("hsc", layer=ours), make_spec("jwst")) for ours in ("block-02", "final")]
    records = [make_record(*pair, 0.5) for pair in pairs]
    ids = {records[0].spec.digest: ("a", "b"), records[1].spec.digest: ("a", "c")}

    def best_of(found: list[ScoreRecord]) -> object:
        (one,) = layer_maps(
            found,
            metric="mknn",
            k=10,
            read_nulls=lambda _: {"mknn@10": nulls},
            read_objects=lambda record: (ids[record.spec.digest], {}),
        )
        return one.best

    assert best_of(records) is not None
    some = [record.model_copy(update={"left_objects": 600}) for record in records]
    assert best_of(some) is None
    ids[records[1].spec.digest] = ("a", "b")
    assert best_of(some) is not None
    assert best_of([some[0], some[1].model_copy(update={"objects": 500})]) is None
