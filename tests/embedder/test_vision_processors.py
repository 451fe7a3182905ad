"""Pictures as the processors of DINOv3 and V-JEPA 2 prepare them, from the numbers of the checkpoint's own file."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import settings as tuned
from hypothesis import strategies as some
from PIL import Image as Picture

from embedder.adapters.loading import load_adapter
from embedder.adapters.vision_inputs import FloatProcessor, FrameProcessor
from embedder.catalogue.models import find_model
from embedder.resolve import resolve_model
from shared.errors import CheckpointUnavailable
from shared.settings import Settings

MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
WHOLE: dict[str, Any] = {
    "do_resize": True,
    "do_rescale": True,
    "do_normalize": True,
    "resample": 2,
    "rescale_factor": 1 / 255,
    "image_mean": MEAN.tolist(),
    "image_std": STD.tolist(),
    "size": {"height": 224, "width": 200},
}
CUT = {**WHOLE, "size": {"shortest_edge": 292}, "do_center_crop": True, "crop_size": {"height": 256, "width": 256}}
VIDEO_FILE, FILE = "video_preprocessor_config.json", "preprocessor_config.json"
Pictures = list[npt.NDArray[np.uint8]]
SaveModel = Callable[..., Path]


def process(processor: Any, folder: Path, picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    made = processor.from_pretrained(str(folder), revision="main", trust_remote_code=False)
    (pixels,) = made(Picture.fromarray(picture), return_tensors="np")["pixel_values"]
    assert pixels.dtype == np.float32
    return np.asarray(pixels)


def normalise(levels: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """`(y, x, 3)` grey levels to `(3, y, x)`."""
    scaled: npt.NDArray[np.float64] = (levels / 255 - MEAN) / STD
    return scaled.transpose(2, 0, 1)


@pytest.mark.parametrize("side", [96, 500])
def test_dinov3_resizes_without_rounding(side: int, tmp_path: Path) -> None:
    """Beside Pillow's resizing of one band of floats, which is the same triangle filter."""
    (tmp_path / FILE).write_text(json.dumps(WHOLE))
    picture = np.random.default_rng(side).integers(0, 256, (side, side, 3), dtype=np.uint8)
    bands = [
        np.asarray(
            Picture.fromarray(picture[..., band].astype(np.float32)).resize((200, 224), Picture.Resampling.BILINEAR)
        )
        for band in range(3)
    ]
    pixels = process(FloatProcessor, tmp_path, picture)
    assert pixels.shape == (3, 224, 200)
    assert np.abs(pixels - normalise(np.stack(bands, axis=-1))).max() < 1e-4
    whole = np.asarray(Picture.fromarray(picture).resize((200, 224), Picture.Resampling.BILINEAR))
    assert np.abs(pixels - normalise(whole)).max() > 0.4 / 255 / 0.229  # what rounding to whole levels would do


@given(level=some.integers(0, 255))
@tuned(max_examples=12, deadline=None)
def test_an_even_picture_stays_even(level: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("even")
    (folder / FILE).write_text(json.dumps(WHOLE))
    (folder / VIDEO_FILE).write_text(json.dumps(CUT))
    picture = np.full((96, 96, 3), level, np.uint8)
    expected = ((level / 255 - MEAN) / STD)[:, None, None]
    assert np.abs(process(FloatProcessor, folder, picture) - expected).max() < 1e-5
    assert np.abs(process(FrameProcessor, folder, picture) - expected).max() < 1e-5


@pytest.mark.parametrize("file", [VIDEO_FILE, FILE])
def test_a_frame_of_vjepa2_is_cut_from_the_centre(file: str, tmp_path: Path) -> None:
    (tmp_path / file).write_text(json.dumps(CUT))
    picture = np.random.default_rng(1).integers(0, 256, (96, 96, 3), dtype=np.uint8)
    resized = np.asarray(Picture.fromarray(picture).resize((292, 292), Picture.Resampling.BILINEAR))
    pixels = process(FrameProcessor, tmp_path, picture)
    assert pixels.shape == (3, 256, 256)
    assert np.abs(pixels - normalise(resized[18:-18, 18:-18])).max() < 1e-5


FAULTS: list[tuple[str, Callable[[dict[str, Any]], Any], str]] = [
    *((f"no {name}", lambda numbers, name=name: numbers.pop(name), f"{name}: Field required") for name in WHOLE),
    ("no resizing", lambda numbers: numbers.update(do_resize=False), "do_resize: Input should be True"),
    ("another filter", lambda numbers: numbers.update(resample=3), "resample: Input should be 2"),
    ("two means", lambda numbers: numbers.update(image_mean=[0.5, 0.5]), "image_mean.2: Field required"),
    (
        "a deviation of nought",
        lambda numbers: numbers.update(image_std=[0.2, 0, 0.2]),
        "image_std.1: Input should be gr",
    ),
    (
        "a mean in words",
        lambda numbers: numbers.update(image_mean=["a", 0, 0]),
        "image_mean.0: Input should be a valid",
    ),
    ("a factor of nought", lambda numbers: numbers.update(rescale_factor=0), "rescale_factor: Input should be greater"),
    ("no height", lambda numbers: numbers.update(size={"width": 32}), r"size\.(height|shortest_edge): Field required"),
    (
        "a size of a planet",
        lambda numbers: numbers.update(size=dict.fromkeys(numbers["size"], 10**9)),
        "less than or eq",
    ),
    ("a size of nought", lambda numbers: numbers.update(size=dict.fromkeys(numbers["size"], 0)), "greater than 0"),
]


@pytest.mark.parametrize("name", ["dinov3-vits16", "vjepa2-large"])
def test_a_number_that_is_not_in_the_file_is_not_made_up(
    name: str, settings: Settings, save_vision_model: SaveModel
) -> None:
    folder = save_vision_model(name)
    (file,) = folder.glob("*preprocessor_config.json")
    good = file.read_text()

    def refused(text: str | None, says: str) -> None:
        file.write_text(text) if text is not None else file.unlink()
        with pytest.raises(CheckpointUnavailable, match=f"cannot be loaded: .*{says}"):
            load_adapter(resolve_model(find_model(name), settings), settings)

    for _, spoil, says in FAULTS:
        numbers = json.loads(good)
        spoil(numbers)
        refused(json.dumps(numbers), f"{file.name}: {says}" if "size" not in says and "than" not in says else says)
    refused("[]", f"{file.name}: the whole file: Input should be a valid dictionary")
    refused("{", "Expecting property name")
    refused(None, f"there is no .*{FILE}")
