"""The scaling figure is a real picture that says what it shows."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable

import pytest

from scorer.figures import Format, scaling_figure
from shared.contracts import EmbeddingSpec
from shared.errors import ObjectMissing
from shared.outcomes import ScoreRecord

Maker = Callable[..., EmbeddingSpec]
Recorder = Callable[..., ScoreRecord]


@pytest.fixture
def records(make_spec: Maker, make_record: Recorder) -> list[ScoreRecord]:
    """Two families of three sizes, hsc against jwst and legacysurvey."""
    return [
        make_record(
            make_spec("hsc", model=f"{family}-{size}", family=family, parameters=size),
            make_spec(other, model=f"{family}-{size}", family=family, parameters=size),
            0.05 + 0.01 * size,
        )
        for family in ("vit", "dinov2")
        for size in (5, 12, 20)
        for other in ("jwst", "legacysurvey")
    ]


def _texts(svg: bytes) -> set[str]:
    """What an SVG says: matplotlib draws letters as paths, and notes each text in a comment."""
    return {text.strip() for text in re.findall(r"<!--(.*?)-->", svg.decode(), re.DOTALL)}


def test_a_png_has_pixels(records: list[ScoreRecord]) -> None:
    data = scaling_figure(records)
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = struct.unpack(">II", data[16:24])
    assert width > 1000
    assert height > 500


@pytest.mark.parametrize(("file_format", "magic"), [("svg", b"<?xml"), ("pdf", b"%PDF"), ("png", b"\x89PNG")])
def test_the_same_records_give_the_same_bytes(records: list[ScoreRecord], file_format: Format, magic: bytes) -> None:
    data = scaling_figure(records, file_format=file_format)
    assert data.startswith(magic)
    assert scaling_figure(records[::-1], file_format=file_format) == data


def test_the_figure_names_what_it_shows(records: list[ScoreRecord]) -> None:
    texts = _texts(scaling_figure(records, file_format="svg"))
    assert "MKNN of crossmodal pairs against model size, simulated sky" in texts
    assert {"mocksky: hsc | jwst", "mocksky: hsc | legacysurvey", "dinov2", "vit", "chance"} <= texts
    assert "null, up to its threshold" in texts
    assert "k = 10, 512 objects, bars: 95 % interval over objects" in texts
    assert {"5", "12", "20"} <= texts


def test_a_real_sky_is_not_called_simulated(make_spec: Maker, make_record: Recorder) -> None:
    sides = [make_spec(modality, dataset="radio", simulated=False) for modality in ("first", "nvss")]
    texts = _texts(scaling_figure([make_record(sides[0], sides[1], 0.08)], file_format="svg"))
    assert "MKNN of crossmodal pairs against model size" in texts


def test_intramodal_pairs_stand_at_the_larger_model(make_spec: Maker, make_record: Recorder) -> None:
    sizes = [make_spec("hsc", model=f"vit-{size}", family="vit", parameters=size) for size in (86, 304, 632)]
    steps = [make_record(sizes[0], sizes[1], 0.3), make_record(sizes[1], sizes[2], 0.4)]
    texts = _texts(scaling_figure(steps, kind="intramodal", file_format="svg"))
    assert {"mocksky: hsc", "304", "632"} <= texts
    assert "86" not in texts


def test_nothing_to_draw_is_said(make_spec: Maker, make_record: Recorder) -> None:
    with pytest.raises(ObjectMissing, match="no crossmodal score with mknn"):
        scaling_figure([])
    pair = make_spec("hsc", model="a"), make_spec("hsc", model="b")
    with pytest.raises(ObjectMissing, match="no crossmodal score"):
        scaling_figure([make_record(*pair, 0.1)])


def test_a_model_without_parameters_has_no_place_on_the_axis_and_is_named(
    records: list[ScoreRecord], make_spec: Maker, make_record: Recorder
) -> None:
    plain = [make_spec(modality, model="numbers", family="numbers", parameters=0) for modality in ("hsc", "jwst")]
    record = make_record(plain[0], plain[1], 0.1)
    texts = _texts(scaling_figure([*records, record], file_format="svg"))
    assert any(text.endswith("; without parameters, left out: numbers") for text in texts)
    with pytest.raises(ObjectMissing, match="no crossmodal score with mknn of a model that has parameters"):
        scaling_figure([record])
