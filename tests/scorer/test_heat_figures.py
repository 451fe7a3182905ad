"""Heat map, layer maps and calibration plot: real pictures that say what they show, the same bytes every time."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable

import pytest
from matplotlib.colors import LogNorm

from scorer.figures import calibration_figure, layers_figure, matrix_figure
from scorer.figures.heat import make_scale
from scorer.figures.style import Format, name_metric
from shared.contracts import EmbeddingSpec
from shared.errors import BadInput, ObjectMissing
from shared.outcomes import ScoreRecord
from shared.planning import choose_pairs

Maker = Callable[..., EmbeddingSpec]
Recorder = Callable[..., ScoreRecord]
Draw = Callable[..., bytes]
FIGURES: list[Draw] = [matrix_figure, layers_figure, calibration_figure]


@pytest.fixture
def records(make_spec: Maker, make_record: Recorder) -> list[ScoreRecord]:
    """Every two of two modalities by two layers of a model, and by another model's final layer."""
    sides = [
        make_spec(modality, model=model, family="vit", parameters=parameters, layer=layer)
        for modality in ("hsc", "jwst")
        for model, parameters, layer in (
            ("vit-base", 86, "final"),
            ("vit-base", 86, "block-2"),
            ("vit-huge", 632, "final"),
        )
    ]
    pairs = [(sides[a], sides[b]) for a, b in choose_pairs(sides, ["all"])]
    return [make_record(a, b, 0.01 + place / 100, ks=(10, 5)) for place, (a, b) in enumerate(pairs)]


def texts(svg: bytes) -> list[str]:
    """What an SVG says: matplotlib draws letters as paths, and notes each text in a comment."""
    return [text.strip() for text in re.findall(r"<!--(.*?)-->", svg.decode(), re.DOTALL)]


@pytest.mark.parametrize(
    ("draw", "file_format", "magic"),
    [
        (matrix_figure, "svg", b"<?xml"),
        (layers_figure, "pdf", b"%PDF"),
        (calibration_figure, "png", b"\x89PNG"),
        (calibration_figure, "svg", b"<?xml"),
    ],
)
def test_the_same_records_give_the_same_bytes(
    records: list[ScoreRecord], draw: Draw, file_format: Format, magic: bytes
) -> None:
    data = draw(records, file_format=file_format)
    assert data.startswith(magic)
    assert draw(records[::-1], file_format=file_format) == data
    assert b"<image" not in data, "an SVG loads nothing"


@pytest.mark.parametrize("draw", FIGURES)
def test_metric_and_k_are_chosen_and_told(records: list[ScoreRecord], draw: Draw) -> None:
    told = texts(draw(records, k=5, file_format="svg"))
    assert "k = 5, 512 objects" in " ".join(told)
    assert any(text.startswith("MKNN") and text.endswith("simulated sky") for text in told)
    with pytest.raises(ObjectMissing, match="cka"):
        draw(records, metric="cka")
    with pytest.raises(ObjectMissing, match="mknn"):
        draw([])


def test_a_heat_map_of_final_layers_writes_each_number_where_it_fits(records: list[ScoreRecord]) -> None:
    told = texts(matrix_figure(records, file_format="svg"))
    final = [r for r in records if r.spec.pair.left.layer == r.spec.pair.right.layer == "final"]
    for record in final:
        assert told.count(f"{record.results[0].value:.2f}"[1:]) == 2
    assert told.count("vit-base") == told.count("vit-huge") == 4
    assert told.count("hsc") == told.count("jwst") == 2
    assert "k = 10, 512 objects, final layers" in told


def test_a_heat_map_of_p_values_has_decades(records: list[ScoreRecord]) -> None:
    told = texts(matrix_figure(records, statistic="p_value", file_format="svg"))
    assert "1e-3" in told
    assert "p-value" in told
    scale = make_scale([[[0.001, None], [0.5, 1.0]]], "p_value", of=4)
    assert isinstance(scale.norm, LogNorm)
    assert (scale.ink(0.001), scale.ink(1.0)) == ("black", "white"), "small p-values are bright"


def test_a_scale_holds_negative_values_and_values_that_are_all_the_same() -> None:
    for cells, ends in (([[-0.2, 0.4]], (-0.2, 0.4)), ([[0.0, 0.0]], (0.0, 1.0)), ([[0.3, None]], (0.0, 0.3))):
        scale = make_scale([cells], "value", of=2)
        assert (scale.norm.vmin, scale.norm.vmax) == ends


def test_datasets_have_panels_of_their_own_and_say_which_is_simulated(
    records: list[ScoreRecord], make_spec: Maker, make_record: Recorder
) -> None:
    real = [make_spec(modality, dataset="radio", simulated=False) for modality in ("first", "nvss")]
    both = [*records, make_record(real[0], real[1], 0.3)]
    for draw in (matrix_figure, calibration_figure):
        told = " ".join(texts(draw(both, file_format="svg")))
        assert "partly simulated" in told
        assert "mocksky (simulated)" in told
        assert re.search(r"radio(?! \(simulated\))", told)


def test_more_embeddings_than_can_be_told_apart_are_refused(make_spec: Maker, make_record: Recorder) -> None:
    sides = [make_spec("hsc", model=f"model-{place}", parameters=place + 1.0) for place in range(202)]
    records = [make_record(a, b, 0.1) for a, b in itertools.pairwise(sides)]
    with pytest.raises(BadInput, match="202 embeddings"):
        matrix_figure(records)


def test_layer_maps_name_layers_in_order(records: list[ScoreRecord], make_spec: Maker, make_record: Recorder) -> None:
    told = texts(layers_figure(records, file_format="svg"))
    assert {"vit-base, hsc | jwst", "vit-base, hsc", "vit-base, jwst"} <= set(told)
    assert not any(text.startswith("vit-huge") for text in told)
    final = [make_record(make_spec("hsc"), make_spec("jwst"), 0.1)]
    with pytest.raises(ObjectMissing, match="several layers"):
        layers_figure(final)


def test_a_calibration_plot_names_each_pair_with_its_calibrated_score(records: list[ScoreRecord]) -> None:
    told = texts(calibration_figure(records, file_format="svg"))
    for record in records:
        calibrated = record.results[0].calibrated
        assert f"{calibrated:.3f}" in told
    assert "hsc | jwst   vit-base/block-2 | vit-base" in told
    assert "mocksky (simulated), crossmodal pairs" in told


def test_a_calibration_plot_has_a_panel_for_each_kind_of_pair(
    records: list[ScoreRecord], make_spec: Maker, make_record: Recorder
) -> None:
    image, spectrum = make_spec("hsc"), make_spec("desi", model="specformer-base", family="specformer")
    shown = {"kind": "spectrum", "bands": (), "recipe": "spectrum-v1"}
    spectrum = spectrum.model_copy(update={"modality": spectrum.modality.model_copy(update=shown)})
    told = texts(calibration_figure([*records, make_record(image, spectrum, 0.1)], file_format="svg"))
    panels = {text for text in told if text.endswith(" pairs")}
    assert panels == {
        f"mocksky (simulated), {kind} pairs" for kind in ("crossmodal", "crosskind", "intramodal", "other")
    }


def test_a_calibration_plot_of_many_pairs_names_none(make_spec: Maker, make_record: Recorder) -> None:
    sides = [make_spec("hsc", model=f"model-{place}", family=f"f{place}") for place in range(13)]
    records = [make_record(a, b, 0.02 + place / 1000) for place, (a, b) in enumerate(itertools.combinations(sides, 2))]
    told = texts(calibration_figure(records, file_format="svg"))
    assert "78 pairs" in told
    assert f"{sum(record.results[0].value > 0.025 for record in records)} above their threshold" in told
    assert not any("model-3" in text for text in told)


def test_abbreviations_are_written_in_capitals_behind_what_qualifies_them() -> None:
    names = ("mknn", "cka-rbf", "cka-debiased", "procrustes", "cycle-knn", "linear-predictivity")
    assert [name_metric(name) for name in names] == [
        "MKNN",
        "RBF CKA",
        "debiased CKA",
        "procrustes",
        "cycle KNN",
        "linear predictivity",
    ]
