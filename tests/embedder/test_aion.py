"""AION: tiny checkpoints of the package's own network and tokenisers, in the form of the public ones."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from embedder.adapters.base import Adapter
from embedder.adapters.loading import load_adapter
from embedder.catalogue.models import find_model
from embedder.recipes import Dropped
from embedder.resolve import resolve_model
from embedder.samples import Image, Spectrum
from shared.contracts import ModelRef
from shared.errors import CheckpointUnavailable, MissingBand, UnknownName
from shared.settings import Settings

IMAGES, SPECTRA = "aion-base", "aion-desi-base"
HSC, LEGACY = ("hsc-g", "hsc-r", "hsc-i", "hsc-z", "hsc-y"), ("des-g", "des-r", "des-i", "des-z")
NETWORK = {
    "domains_in": ["tok_image", "tok_image_hsc", "tok_spectrum_desi"], "domains_out": ["tok_image"], "dim": 24,
    "encoder_depth": 3, "decoder_depth": 1, "num_heads": 2, "mlp_ratio": 2.0, "qkv_bias": False, "proj_bias": False,
    "mlp_bias": False, "norm_bias": False, "act_layer": "SiLU", "gated_mlp": True, "qk_norm": True,
}  # fmt: skip
IMAGE_CODEC = {
    "quantizer_levels": [7, 5, 5, 5, 5],
    "hidden_dims": 16,
    "multisurvey_projection_dims": 6,
    "num_consecutive": 1,
}
SPECTRUM_CODEC = {
    "encoder_depths": [1, 1, 1, 1], "encoder_dims": [4, 6, 8, 16], "decoder_depths": [1, 1, 1, 1],
    "decoder_dims": [8, 6, 4, 1], "latent_channels": 16, "embedding_dim": 10,
}  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A checkpoint of random weights under its public id; skip where the package is not installed."""
    package = pytest.importorskip("aion.model", reason="the package polymathic-aion is not installed")
    from aion import modalities
    from aion.codecs.image import ImageCodec
    from aion.codecs.spectrum import SpectrumCodec

    where = tmp_path / "hub" / "models" / find_model(IMAGES).checkpoint
    torch.manual_seed(0)
    package.AION(NETWORK).save_pretrained(where)
    image_codec = ImageCodec(**IMAGE_CODEC)
    torch.nn.init.normal_(image_codec.pre_quant_proj.weight, std=2)  # or random weights make one token of everything
    image_codec.save_pretrained(where, modality=modalities.HSCImage)
    SpectrumCodec(**SPECTRUM_CODEC).save_pretrained(where, modality=modalities.DESISpectrum)
    return where


def pin(settings: Settings, name: str = IMAGES) -> ModelRef:
    return resolve_model(find_model(name), settings)


def see(seed: int, bands: tuple[str, ...] = HSC, side: int = 120) -> Image:
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side] - side / 2
    blob = np.exp(-np.hypot(x / random.uniform(5, 20), y / random.uniform(5, 20))) * random.uniform(1, 50)
    flux = random.normal(0, 0.2, (len(bands), side, side)) + blob * random.uniform(0.3, 1.5, (len(bands), 1, 1))
    return Image(bands, flux.astype(np.float32), 0.168)


def record(seed: int, samples: int = 7781) -> Spectrum:
    random = np.random.default_rng(seed)
    wavelength = np.linspace(3600, 9824, samples, dtype=np.float32)
    line = random.uniform(1, 30) * np.exp(-(((wavelength - random.uniform(4000, 9000)) / random.uniform(10, 80)) ** 2))
    flux = (random.uniform(1, 5) + line + random.normal(0, 0.3, samples)).astype(np.float32)
    return Spectrum(flux, np.full(samples, 10, np.float32), wavelength, np.ones(samples, bool))


def encode(adapter: Adapter, inputs: list[Any], layer: str = "final") -> npt.NDArray[np.float32]:
    (vectors,) = adapter.encode(inputs, [layer])
    return vectors


def test_without_the_package_it_says_how_to_install_it(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "hub" / "models" / find_model(IMAGES).checkpoint).mkdir(parents=True)
    for module in [name for name in sys.modules if name.startswith("aion.")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "aion", None)
    with pytest.raises(CheckpointUnavailable, match="the package aion, which this model needs") as caught:
        load_adapter(pin(settings), settings)
    assert caught.value.remedy == (
        "in this repository, pip install '.[aion]' -c constraints-aion.txt where the embedder runs"
    )


@pytest.mark.parametrize(
    ("name", "make", "tokens"),
    [
        (IMAGES, see, {"tok_image_hsc": 576}),
        (IMAGES, lambda seed: see(seed, LEGACY), {"tok_image": 576}),
        (SPECTRA, record, {"tok_spectrum_desi": 273}),
    ],
)
def test_a_vector_is_the_object_s_own(
    name: str, make: Callable[[int], Image | Spectrum], tokens: dict[str, int], folder: Path, settings: Settings
) -> None:
    adapter = load_adapter(pin(settings, name), settings)
    inputs: list[Any] = [adapter.prepare(make(seed)) for seed in range(5)]
    assert {key: len(made) for key, made in inputs[0].items()} == tokens
    together = encode(adapter, inputs)
    assert together.shape == (5, 24)
    assert together.dtype == np.float32
    size = np.abs(together).max()
    for apart in (
        np.concatenate([encode(adapter, [one]) for one in inputs]),
        encode(adapter, inputs[::-1])[::-1],
        np.concatenate([encode(adapter, inputs[:2]), encode(adapter, inputs[2:])]),
    ):
        assert np.abs(apart - together).max() / size < 1e-5
    assert (encode(adapter, inputs) == together).all()
    distances = np.linalg.norm(together[:, None] - together[None], axis=2)[~np.eye(5, dtype=bool)]
    assert distances.min() / size > 1e-4


def test_the_final_layer_is_the_mean_of_all_encoder_tokens(folder: Path, settings: Settings) -> None:
    from aion.codecs.image import ImageCodec
    from aion.modalities import HSCImage
    from aion.model import AION
    from safetensors.torch import load_model

    adapter = load_adapter(pin(settings), settings)
    images = [see(seed) for seed in range(3)]
    network = AION.from_pretrained(str(folder)).eval()
    codec = ImageCodec(**IMAGE_CODEC).eval()
    load_model(codec, folder / "codecs" / "image" / "model.safetensors")
    flux = torch.from_numpy(np.stack([image.flux for image in images]))
    with torch.inference_mode():
        tokens = codec.encode(HSCImage(flux=flux, bands=[f"HSC-{band}" for band in "GRIZY"]))
        expected = network.encode({"tok_image_hsc": tokens}, num_encoder_tokens=576).mean(dim=1).numpy()
        cut = network.encode({"tok_image_hsc": tokens}).mean(dim=1).numpy()
    vectors = encode(adapter, [adapter.prepare(image) for image in images])
    assert np.abs(vectors - expected).max() < 1e-5
    assert np.abs(vectors - cut).max() > 1e-3  # of the first 256 tokens, which the package takes unless told


def test_all_layers_come_of_one_pass(folder: Path, settings: Settings) -> None:
    adapter = load_adapter(pin(settings), settings)
    assert adapter.blocks == 3
    inputs: list[Any] = [adapter.prepare(see(seed)) for seed in range(3)]
    first, middle, last, final = adapter.encode(inputs, ["block-00", "block-01", "block-02", "final"])
    assert (final == encode(adapter, inputs)).all()
    assert (middle == encode(adapter, inputs, "block-01")).all()
    assert len({layer.tobytes() for layer in (first, middle, last, final)}) == 4
    with pytest.raises(CheckpointUnavailable, match="has no block-03"):
        adapter.encode(inputs, ["block-03"])


def test_the_order_of_bands_and_what_lies_outside_do_not_matter(folder: Path, settings: Settings) -> None:
    adapter = load_adapter(pin(settings), settings)
    image = see(1)
    order = [3, 0, 4, 2, 1]
    turned = Image(tuple(HSC[band] for band in order), image.flux[order], image.scale)
    more = Image(("other-k", *HSC), np.concatenate([image.flux[:1] * 9, image.flux]), image.scale)
    wide = Image(HSC, np.pad(image.flux, ((0, 0), (10, 10), (20, 20)), constant_values=99), image.scale)
    (tokens,) = adapter.prepare(image).values()  # type: ignore[union-attr]
    for other in (turned, more, wide):
        (same,) = adapter.prepare(other).values()  # type: ignore[union-attr]
        assert (same == tokens).all()
    (fewer,) = adapter.prepare(Image(HSC[:2], image.flux[:2], image.scale)).values()  # type: ignore[union-attr]
    assert (fewer != tokens).any()


def test_preparing_leaves_the_fluxes_as_they_are(folder: Path, settings: Settings) -> None:
    adapter, image = load_adapter(pin(settings), settings), see(2)
    image.flux[:] *= 1000  # beyond what the tokeniser clips
    before = image.flux.copy()
    adapter.prepare(image)
    assert (image.flux == before).all()


def test_what_aion_cannot_take_is_dropped_or_refused(folder: Path, settings: Settings) -> None:
    adapter = load_adapter(pin(settings), settings)
    assert adapter.prepare(see(0, side=95)) == Dropped("image-too-small")
    with pytest.raises(MissingBand, match="AION knows none of the bands f090w, f277w"):
        adapter.prepare(see(0, ("f090w", "f277w")))
    with pytest.raises(TypeError, match="takes fluxes with their bands"):
        adapter.prepare(np.zeros((96, 96, 3), np.uint8))
    with pytest.raises(TypeError, match="takes spectra with their wavelengths"):
        load_adapter(pin(settings, SPECTRA), settings).prepare(see(0))


def test_samples_without_inverse_variance_are_masked(folder: Path, settings: Settings) -> None:
    adapter, clean = load_adapter(pin(settings, SPECTRA), settings), record(1)
    clean.ivar[:100] = 0
    spiked = Spectrum(clean.flux.copy(), clean.ivar, clean.wavelength, clean.mask)
    spiked.flux[:100] = 1e6
    tokens, other = (adapter.prepare(one)["tok_spectrum_desi"] for one in (clean, spiked))  # type: ignore[index, call-overload]
    assert tokens[0] == other[0]  # the token of the normalisation


def test_half_precision_is_near(folder: Path, settings: Settings) -> None:
    full, half = (load_adapter(pin(settings), settings, dtype) for dtype in ("float32", "bfloat16"))
    inputs: list[Any] = [full.prepare(see(seed)) for seed in range(3)]
    for ours, theirs in zip(inputs, (half.prepare(see(seed)) for seed in range(3)), strict=True):
        assert (ours["tok_image_hsc"] == theirs["tok_image_hsc"]).all()  # type: ignore[index, call-overload]
    exact, rounded = encode(full, inputs), encode(half, inputs)
    assert rounded.dtype == np.float32
    assert 0 < np.abs(rounded - exact).max() / np.abs(exact).max() < 0.05


def lose_a_tensor(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    tensors = load_file(folder / "model.safetensors")
    del tensors["encoder.1.attn.proj.weight"]
    save_file(tensors, folder / "model.safetensors")


def change_a_size(folder: Path) -> None:
    config = json.loads((folder / "codecs" / "image" / "config.json").read_text())
    (folder / "codecs" / "image" / "config.json").write_text(json.dumps({**config, "hidden_dims": 32}))


def lose_the_tokeniser(folder: Path) -> None:
    (folder / "codecs" / "image" / "model.safetensors").unlink()


def spoil_the_settings(folder: Path) -> None:
    (folder / "config.json").write_text('{"dim": ')


def spoil_the_weights(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0{}      ")


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lose_a_tensor, r"encoder\.1\.attn\.proj\.weight"),
        (change_a_size, "codecs/image/ of polymathic-ai/aion-base does not fit"),
        (lose_the_tokeniser, r"has no file codecs/image/model\.safetensors"),
        (spoil_the_settings, "does not fit the package aion"),
        (spoil_the_weights, "does not fit the package aion"),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_refused(
    spoil: Callable[[Path], None], says: str, folder: Path, settings: Settings
) -> None:
    spoil(folder)
    with pytest.raises(CheckpointUnavailable, match=says):
        load_adapter(pin(settings), settings)


def test_an_unknown_survey_of_spectra_is_answered_with_near_ones(folder: Path, settings: Settings) -> None:
    model = pin(settings, SPECTRA).model_copy(update={"options": {"survey": "desy"}})
    with pytest.raises(UnknownName, match="did you mean desi"):
        load_adapter(model, settings)
