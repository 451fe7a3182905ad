"""Crosskind ladders: the sizes of a family against one model of another kind, in curves, figures, steps and trends."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scorer.figures import calibration_figure, scaling, scaling_figure
from scorer.overviews.curves import CurvePoint, curve_points
from scorer.overviews.differences import SizeStep, size_steps
from scorer.overviews.ladders import name_group
from scorer.trends import measure_trend
from scorer.trends.rungs import rungs_of
from shared.contracts import EmbeddingSpec
from shared.errors import ObjectMissing, TooFewSizes
from shared.modalities import CatalogueColumn, Kind, Modality
from shared.outcomes import ScoreRecord
from shared.planning import choose_pairs

Maker = Callable[..., EmbeddingSpec]
Recorder = Callable[..., ScoreRecord]
Values = Mapping[str, npt.NDArray[np.float64]]
IMAGES = (
    ("vit-base", "vit", 86.0),
    ("vit-large", "vit", 304.0),
    ("vit-huge", "vit", 632.0),
    ("dino-base", "dino", 86.0),
)
SPECTRA = (("specformer-base", "specformer", 43.0), ("aion-base", "aion", 300.0), ("aion-large", "aion", 800.0))
SPECFORMER = SPECTRA[:1]


def show(name: str, kind: Kind, made_of: Kind | None = None) -> Modality:
    if made_of is not None:
        return Modality(name=name, kind="vector", column=name, recipe="vector-v1", dimension=8, made_of=made_of)
    return Modality(name=name, kind=kind, column=name, recipe="r-v1")


def give(name: str) -> Modality:
    return Modality(name=name, kind="numbers", recipe="numbers-v1", columns=(CatalogueColumn(name="g"),))


HSC, DESI = show("hsc", "image"), show("desi", "spectrum")
HSC_PUBLISHED, DESI_PUBLISHED = show("hsc", "vector", "image"), show("desi", "vector", "spectrum")


@pytest.fixture(scope="module")
def embed(make_spec: Maker) -> Maker:
    """An embedding of a modality by a model, its family and its millions of parameters."""

    def make(modality: Modality, model: str, family: str, parameters: float, layer: str = "final") -> EmbeddingSpec:
        spec = make_spec(dataset="sky", model=model, family=family, parameters=parameters, layer=layer)
        return spec.model_copy(update={"modality": modality})

    return make


@pytest.fixture(scope="module")
def pool(embed: Maker) -> list[EmbeddingSpec]:
    """Images and spectra by every model, computed and published, and one model of no parameters."""
    shown = ((HSC, IMAGES), (HSC_PUBLISHED, IMAGES), (DESI, SPECTRA), (DESI_PUBLISHED, SPECTRA))
    made = [embed(modality, *model) for modality, models in shown for model in models]
    return [*made, embed(give("numbers"), "numbers", "numbers", 0.0)]


def record_pairs(sides: list[EmbeddingSpec], make_record: Recorder, *policies: str) -> list[ScoreRecord]:
    """A record of each pair, of a value of its own that rises with the sizes on both sides."""
    return [
        make_record(sides[a], sides[b], 0.1 + (sides[a].model.parameters + sides[b].model.parameters) / 1e4, ks=(10, 5))
        for a, b in choose_pairs(sides, policies)  # type: ignore[arg-type]
    ]


@given(chosen=st.sets(st.integers(0, 14), min_size=2))
@settings(max_examples=40, deadline=None)
def test_a_pair_stands_where_one_family_has_two_sizes_against_one_embedding(
    pool: list[EmbeddingSpec], make_record: Recorder, chosen: set[int]
) -> None:
    """Read off straight from the pairs: whatever is computed or published, no point too many and none wanting."""
    sides = [pool[place] for place in sorted(chosen)]
    records = [record for record in record_pairs(sides, make_record, "all") if record.spec.pair.kind == "crosskind"]
    sizes: dict[tuple[str, str, str, str], set[float]] = {}
    readings = []
    for record in records:
        pair = record.spec.pair
        for varies, stays in ((pair.left, pair.right), (pair.right, pair.left)):
            if varies.model.family != stays.model.family:
                ladder = (varies.modality.recipe, varies.modality.name, varies.model.family, stays.digest)
                sizes.setdefault(ladder, set()).add(varies.model.parameters)
                readings.append((ladder, record.spec.digest, varies.model.name, stays.model.name))
    expected = {reading[1:] for reading in readings if len(sizes[reading[0]]) > 1}
    points = curve_points(records)
    assert {(point.score, point.model, point.against) for point in points} == expected
    assert len({point.key for point in points}) == len(points) == 2 * len(expected), "two k"
    assert all(point.kind == "crosskind" and point.smaller_model is None for point in points)
    curves = {tuple(point.curve): set[str]() for point in points}
    for point in points:
        curves[tuple(point.curve)].add(point.model)
    assert sorted(map(len, curves.values())) == sorted(2 * [len(each) for each in sizes.values() if len(each) > 1])
    if expected:
        trend = measure_trend(rungs_of(records, "mknn")[0], metric="mknn")
        assert len(trend.ladders) * 2 == len(curves)
        assert trend.overall.signs.increases == trend.overall.signs.steps, "values rise with size on every ladder"


def test_specformer_alone_makes_no_curve(embed: Maker, make_record: Recorder) -> None:
    sides = [embed(HSC, *model) for model in IMAGES] + [embed(DESI, *model) for model in SPECFORMER]
    points = [point for point in curve_points(record_pairs(sides, make_record, "crosskind")) if point.k == 5]
    assert [(point.model, point.left_modality, point.right_modality, point.against) for point in points] == [
        (model, "hsc", "desi", "specformer-base") for model, *_ in IMAGES[:3]
    ]


def test_where_both_sides_vary_each_has_curves_of_its_own(embed: Maker, make_record: Recorder) -> None:
    sides = [embed(HSC, *model) for model in IMAGES[:2]] + [embed(DESI, *model) for model in SPECTRA[1:]]
    points = [point for point in curve_points(record_pairs(sides, make_record, "crosskind")) if point.k == 10]
    assert len({point.score for point in points}) == 4
    assert {(point.left_modality, point.model, point.against) for point in points} == {
        *(("hsc", ours[0], theirs[0]) for ours in IMAGES[:2] for theirs in SPECTRA[1:]),
        *(("desi", theirs[0], ours[0]) for ours in IMAGES[:2] for theirs in SPECTRA[1:]),
    }
    assert len({point.panel for point in points}) == 4


def test_a_family_is_not_held_against_itself(embed: Maker, make_record: Recorder) -> None:
    """The pair of a model with itself is crossmodal: on a crosskind ladder that size would be wanting."""
    aion = (*SPECTRA[1:], ("aion-xlarge", "aion", 3000.0))
    sides = [embed(modality, *model) for modality in (HSC, DESI) for model in aion]
    records = record_pairs(sides, make_record, "crosskind", "crossmodal")
    assert sorted(record.spec.pair.kind for record in records) == ["crosskind"] * 6 + ["crossmodal"] * 3
    assert {point.kind for point in curve_points(records)} == {"crossmodal"}


def test_layers_before_the_final_one_are_on_no_ladder(embed: Maker, make_record: Recorder) -> None:
    sides = [embed(HSC, *model, layer="block-02") for model in IMAGES] + [embed(DESI, *model) for model in SPECFORMER]
    records = record_pairs(sides, make_record, "all")
    assert [point for point in curve_points(records) if point.kind == "crosskind"] == []
    with pytest.raises(ObjectMissing, match="no crossmodal or crosskind score of final layers with mknn"):
        rungs_of(records, "mknn")


@pytest.mark.parametrize("policy", ["crossmodal", "intramodal"])
def test_what_was_computed_and_what_was_published_are_two_ladders(
    embed: Maker, make_record: Recorder, policy: str
) -> None:
    """Each size stands on each of them once, also where its name and modality are the same."""
    jwst, jwst_published = show("jwst", "image"), show("jwst", "vector", "image")
    computed, published = IMAGES[:3:2], IMAGES[:3]
    sides = [embed(modality, *model) for modality in (HSC, jwst) for model in computed]
    sides += [embed(modality, *model) for modality in (HSC_PUBLISHED, jwst_published) for model in published]
    records = record_pairs(sides, make_record, policy)
    points = [point for point in curve_points(records) if point.k == 10]
    models = {
        told: [point.model for point in points if point.left_published == told and point.left_modality == "hsc"]
        for told in (False, True)
    }
    first = 0 if policy == "crossmodal" else 1
    assert models == {False: [name for name, *_ in computed[first:]], True: [name for name, *_ in published[first:]]}
    if policy == "crossmodal":
        trend = measure_trend(rungs_of(records, "mknn")[0], metric="mknn")
        assert [group.name for group in trend.groups] == [
            "sky (simulated) as published: hsc | jwst",
            "sky (simulated): hsc | jwst",
        ]
        assert (trend.overall.signs.steps, trend.left_out) == (3, ())
        steps = steps_of(records)
        assert [(step.left_published, step.smaller_model, step.larger_model) for step in steps] == [
            (False, "vit-base", "vit-huge"),
            (True, "vit-base", "vit-large"),
            (True, "vit-large", "vit-huge"),
        ]


def steps_of(records: list[ScoreRecord]) -> list[SizeStep]:
    """The steps of records whose objects all have the value of their record."""

    def read(record: ScoreRecord) -> tuple[tuple[str, ...], Values]:
        ids = tuple(f"g{place}" for place in range(12))
        jitter = np.linspace(-1e-4, 1e-4, 12) * record.results[0].value
        return ids, {"mknn@10": record.results[0].value + jitter}

    return size_steps(records, read, metric="mknn", k=10)


def test_steps_are_taken_on_crosskind_ladders_too(embed: Maker, make_record: Recorder) -> None:
    sides = [embed(HSC, *model) for model in IMAGES] + [embed(DESI, *model) for model in SPECTRA]
    records = record_pairs(sides, make_record, "crosskind")
    steps = steps_of(records)
    assert len({step.key for step in steps}) == len(steps) == 3 * 2 + 4, "against each spectrum, and each image, model"
    by_score = {record.spec.digest: record.results[0].value for record in records}
    for step in steps:
        assert step.difference == pytest.approx(by_score[step.larger_score] - by_score[step.smaller_score])
        assert (step.kind, step.against is not None, step.smaller_parameters < step.larger_parameters) == (
            "crosskind", True, True,
        )  # fmt: skip
    named = {(step.left_modality, step.against, step.smaller_model, step.larger_model) for step in steps}
    assert ("hsc", "specformer-base", "vit-large", "vit-huge") in named
    assert ("desi", "dino-base", "aion-base", "aion-large") in named


def test_a_trend_pools_both_kinds_and_says_once_what_it_leaves_out(embed: Maker, make_record: Recorder) -> None:
    """As the paper does: images against images, and images against spectra by one model."""
    jwst = show("jwst", "image")
    sides = [embed(modality, *model) for modality in (HSC, jwst) for model in IMAGES]
    sides += [embed(DESI, *model) for model in SPECFORMER]
    records = record_pairs(sides, make_record, "crossmodal", "crosskind")
    trend = measure_trend(rungs_of(records, "mknn")[0], metric="mknn")
    assert [(group.name, group.signs.steps) for group in trend.groups] == [
        ("sky (simulated): hsc against desi by specformer-base", 2),
        ("sky (simulated): hsc | jwst", 2),
        ("sky (simulated): jwst against desi by specformer-base", 2),
    ]
    assert (trend.overall.signs.steps, trend.overall.signs.increases) == (6, 6)
    left_out = {(each.group, each.family) for each in trend.left_out}
    assert ("sky (simulated): hsc against desi by specformer-base", "dino") in left_out
    assert not any("by vit" in group for group, _ in left_out), "specformer has no ladder against each size"


def test_one_size_on_either_side_is_no_trend(embed: Maker, make_record: Recorder) -> None:
    records = record_pairs([embed(HSC, *IMAGES[0]), embed(DESI, *SPECTRA[0])], make_record, "crosskind")
    with pytest.raises(TooFewSizes, match=r"hsc against desi by specformer-base, vit: one size only"):
        measure_trend(rungs_of(records, "mknn")[0], metric="mknn")


def texts(svg: bytes) -> set[str]:
    """What an SVG says: matplotlib draws letters as paths, and notes each line in a comment."""
    return {line.strip() for text in re.findall(r"<!--(.*?)-->", svg.decode(), re.DOTALL) for line in text.split("\n")}


def test_the_figure_says_against_which_model(embed: Maker, make_record: Recorder) -> None:
    sides = [embed(HSC, *model) for model in IMAGES] + [embed(DESI, *model) for model in SPECFORMER]
    records = record_pairs(sides, make_record, "crosskind")
    svg = scaling_figure(records, kind="crosskind", file_format="svg")
    told = texts(svg)
    assert {"sky: hsc", "against desi by specformer-base", "86", "632", "vit"} <= told
    assert "MKNN of crosskind pairs against model size, simulated sky" in told
    assert "dino" not in told
    assert scaling_figure(records[::-1], kind="crosskind", file_format="svg") == svg
    assert "sky (simulated), crosskind pairs" in texts(calibration_figure(records, file_format="svg"))
    with pytest.raises(ObjectMissing, match="no crosskind score with mknn, of two sizes of a family against"):
        scaling_figure(records[-1:], kind="crosskind")


def test_of_many_panels_the_first_are_drawn(
    embed: Maker, make_record: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scaling, "MOST_PANELS", 2)
    sides = [embed(HSC, f"image-{place}", f"f{place}", 5.0) for place in range(4)]
    sides += [embed(DESI, *model) for model in SPECTRA[1:]]
    records = record_pairs(sides, make_record, "crosskind")
    told = texts(scaling_figure(records, kind="crosskind", file_format="svg"))
    assert "MKNN of crosskind pairs against model size, 2 of 4 panels, simulated sky" in told
    assert "against hsc by image-1" in told
    assert "against hsc by image-2" not in told


@pytest.mark.parametrize(
    ("left", "right", "named"),
    [
        (HSC, DESI, "sky: hsc against desi by specformer-base"),
        (HSC_PUBLISHED, DESI, "sky: hsc as published against desi by specformer-base"),
        (HSC, DESI_PUBLISHED, "sky: hsc against desi by specformer-base as published"),
        (HSC_PUBLISHED, DESI_PUBLISHED, "sky as published: hsc against desi by specformer-base"),
    ],
)
def test_a_group_says_which_side_was_published(
    embed: Maker, make_record: Recorder, left: Modality, right: Modality, named: str
) -> None:
    sides = [embed(left, *model) for model in IMAGES[:2]] + [embed(right, *model) for model in SPECFORMER]
    points: list[CurvePoint] = curve_points(record_pairs(sides, make_record, "crosskind"))
    assert {name_group("sky", point) for point in points} == {named}
    assert len(list(itertools.groupby(points, key=lambda point: point.panel))) == 1
