"""How vision models are given pictures: whose processor prepares them, and how a batch is run.

Most models take a picture as it is. What some need besides is an option of their row, registered here by name:

* `frames: 16` shows the picture to a model of videos, as so many frames, all the same (V-JEPA 2, arXiv 2506.09985).
* `masking: off` gives a masked autoencoder all patches, in their order, where by itself it would drop three quarters of
  them, others each time (MAE, arXiv 2111.06377).
* `resize: float` resizes without rounding to whole grey levels, as the processor of DINOv3 does (arXiv 2508.10104).

transformers 5.23 has the processors of V-JEPA 2 and DINOv3 on top of torchvision only. They are done here without it,
by the numbers of the checkpoint's own file, so that a vector does not depend on what else is installed. Beside
torchvision 0.28, DINOv3's pixels are the same, V-JEPA 2's but for fewer than one in a hundred, which Pillow rounds to
the next grey level.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal, NamedTuple, Self

import numpy as np
import numpy.typing as npt
import torch
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import EntryNotFoundError
from PIL import Image as Picture
from pydantic import BaseModel, Field, ValidationError
from transformers import AutoImageProcessor, BitImageProcessorPil

from embedder.adapters.base import as_array
from embedder.recipes import Values
from shared.contracts import ModelRef
from shared.errors import BadInput, UnknownName

Run = Callable[[Any, torch.Tensor], torch.Tensor]
"""A network and its input `(n, 3, y, x)` to its last states: `(n, token, d)`, or `(n, d, y, x)` of convolutions."""
_FEWEST_FRAMES, _MOST_FRAMES = 2, 64  # V-JEPA 2 takes frames two by two, and was trained on 64


def to_pixels(processor: Any, values: Values) -> npt.NDArray[np.float32]:
    """`(3, y, x)` of a picture, by a model's own processor."""
    picture = Picture.fromarray(as_array(values))
    pixels: npt.NDArray[np.float32] = processor(picture, return_tensors="np")["pixel_values"][0]
    return pixels


class Showing(NamedTuple):
    """How a model is shown pictures: the class that reads its processor, given `reading`, and the forward pass."""

    processor: Any
    reading: Mapping[str, Any]
    run: Run


def choose_showing(model: ModelRef) -> Showing:
    """How the model is shown pictures, by its options. Raises UnknownName and BadInput for an option that is none."""
    showing = Showing(AutoImageProcessor, {"backend": "pil"}, _run_plain)
    for name, value in sorted(model.options.items()):
        if name not in _OPTIONS:
            raise UnknownName.of("option of a vision model", name, _OPTIONS)
        showing = _OPTIONS[name](showing, value)
    return showing


def _run_plain(network: Any, pixels: torch.Tensor) -> torch.Tensor:
    states: torch.Tensor = network(pixel_values=pixels).last_hidden_state
    return states


def _run_frames(network: Any, pixels: torch.Tensor, frames: int) -> torch.Tensor:
    # A view, (n, frames, 3, y, x): the frames share their memory. The predictor foretells frames, and is left out.
    video = pixels[:, None].expand(-1, frames, -1, -1, -1)
    states: torch.Tensor = network(pixel_values_videos=video, skip_predictor=True).last_hidden_state
    return states


def _run_unmasked(network: Any, pixels: torch.Tensor) -> torch.Tensor:
    # A share of nought keeps every patch, but leaves them shuffled by random noise: noise that rises keeps their order.
    network.config.mask_ratio = 0.0
    rising = torch.arange(network.embeddings.patch_embeddings.num_patches, device=pixels.device)
    noise = rising.float().expand(len(pixels), -1)
    states: torch.Tensor = network(pixel_values=pixels, noise=noise).last_hidden_state
    return states


def _show_frames(showing: Showing, value: object) -> Showing:
    if type(value) is not int or not _FEWEST_FRAMES <= value <= _MOST_FRAMES:
        raise BadInput(f"the option frames is {value!r}", f"a whole number from {_FEWEST_FRAMES} to {_MOST_FRAMES}")
    return showing._replace(processor=FrameProcessor, reading={}, run=partial(_run_frames, frames=value))


def _switch_masking_off(showing: Showing, value: object) -> Showing:
    if value != "off":
        raise BadInput(f"the option masking is {value!r}", "off, or no such option")
    return showing._replace(run=_run_unmasked)


def _resize_in_float(showing: Showing, value: object) -> Showing:
    if value != "float":
        raise BadInput(f"the option resize is {value!r}", "float, or no such option")
    return showing._replace(processor=FloatProcessor, reading={})


_OPTIONS: Mapping[str, Callable[[Showing, object], Showing]] = MappingProxyType(
    {"frames": _show_frames, "masking": _switch_masking_off, "resize": _resize_in_float}
)


_Side = Annotated[int, Field(gt=0, le=4096)]
_Deviation = Annotated[float, Field(gt=0)]


class _Sides(BaseModel):
    height: _Side
    width: _Side


class _ShortestEdge(BaseModel):
    shortest_edge: _Side


class _Numbers(BaseModel):
    """What the two files have in common. No number has a default: what is not in the file is not made up."""

    do_resize: Literal[True]
    do_rescale: Literal[True]
    do_normalize: Literal[True]
    resample: Literal[2]  # bilinear
    rescale_factor: float = Field(gt=0)
    image_mean: tuple[float, float, float]
    image_std: tuple[_Deviation, _Deviation, _Deviation]

    @classmethod
    def read(cls, where: str, revision: str, *files: str) -> Self:
        """The numbers in the first of these files that the checkpoint has. Raises OSError and ValueError."""
        file = _find_file(where, revision, files)
        try:
            return cls.model_validate(json.loads(file.read_text(encoding="utf-8")))
        except ValidationError as error:
            fault = error.errors()[0]
            field = ".".join(str(step) for step in fault["loc"])
            raise ValueError(f"{file.name}: {field or 'the whole file'}: {fault['msg']}") from error


class _WholeNumbers(_Numbers):
    size: _Sides


class _CroppedNumbers(_Numbers):
    size: _ShortestEdge
    crop_size: _Sides
    do_center_crop: Literal[True]


class FloatProcessor:
    """Rescales, resizes in float and normalises, in this order, by the numbers of `preprocessor_config.json`."""

    def __init__(self, numbers: _WholeNumbers) -> None:
        self._factor, self._size = numbers.rescale_factor, (numbers.size.height, numbers.size.width)
        self._mean, self._std = (
            torch.tensor(three)[:, None, None] for three in (numbers.image_mean, numbers.image_std)
        )

    @classmethod
    def from_pretrained(cls, where: str, *, revision: str, trust_remote_code: bool) -> Self:
        """The processor of a hub id at a commit, or of a folder. Raises OSError, and ValueError for an unfit file."""
        del trust_remote_code
        return cls(_WholeNumbers.read(where, revision, "preprocessor_config.json"))

    def __call__(self, picture: Picture.Image, return_tensors: str) -> Mapping[str, Any]:
        """`pixel_values`, `(1, 3, y, x) float32`, as transformers' own processors give it in numpy."""
        del return_tensors
        scaled = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None] * self._factor
        resized = torch.nn.functional.interpolate(scaled, self._size, mode="bilinear", antialias=True)
        return {"pixel_values": ((resized - self._mean) / self._std).numpy()}


class FrameProcessor:
    """Prepares one frame as the processor of a video would: resized, cut to its centre, rescaled, normalised."""

    def __init__(self, numbers: _CroppedNumbers) -> None:
        self._processor = BitImageProcessorPil(**numbers.model_dump(), do_convert_rgb=False)

    @classmethod
    def from_pretrained(cls, where: str, *, revision: str, trust_remote_code: bool) -> Self:
        """The processor of a hub id at a commit, or of a folder. Raises OSError, and ValueError for an unfit file."""
        del trust_remote_code
        return cls(_CroppedNumbers.read(where, revision, "video_preprocessor_config.json", "preprocessor_config.json"))

    def __call__(self, picture: Picture.Image, return_tensors: str) -> Any:
        """`pixel_values`, `(1, 3, y, x) float32`."""
        return self._processor(picture, return_tensors=return_tensors)


def _find_file(where: str, revision: str, files: Sequence[str]) -> Path:
    folder = Path(where)
    if folder.is_dir():
        there = [folder / file for file in files if (folder / file).is_file()]
        if not there:
            raise FileNotFoundError(f"there is no {' and no '.join(files)}")
        return there[0]
    *others, last = files
    for file in others:
        try:
            return Path(hf_hub_download(where, file, revision=revision))
        except EntryNotFoundError:
            continue
    return Path(hf_hub_download(where, last, revision=revision))
