"""Diffusion models: tiny ones of the real classes, saved by their own library's pipelines, loaded as from the hub."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image as Picture

from embedder.adapters.loading import load_adapter
from embedder.catalogue.models import find_model
from embedder.resolve import resolve_model
from shared.contracts import Dtype, ModelRef
from shared.errors import BadInput, CheckpointUnavailable, UnknownName
from shared.settings import Settings

if TYPE_CHECKING:
    from embedder.adapters.diffusion import DiffusionAdapter

diffusers = pytest.importorskip("diffusers", reason="the extra diffusion is not installed")
pytest.importorskip("sentencepiece", reason="the extra diffusion is not installed")

Floats = npt.NDArray[np.float32]
NAMES = ("stable-diffusion-2.1", "deepfloyd-if-m", "dit-xl-2")
SIDE = 8  # of what the denoisers take; the autoencoder halves a picture once
UNET = MappingProxyType(
    {"sample_size": SIDE, "block_out_channels": (8, 8, 16, 16), "layers_per_block": 1, "norm_num_groups": 4}
)


def autoencoder() -> Any:
    return diffusers.AutoencoderKL(
        block_out_channels=(8, 8),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        layers_per_block=1,
        norm_num_groups=4,
        latent_channels=4,
        sample_size=16,
    )


def save_stable_diffusion(folder: Path) -> None:
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    network = diffusers.UNet2DConditionModel(
        **UNET,
        in_channels=4,
        out_channels=4,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D", "DownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "UpBlock2D", "UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=16,
        attention_head_dim=4,
    )
    words = {"!": 0, "</w>": 1, "<|startoftext|>": 2, "<|endoftext|>": 3}
    text = CLIPTextConfig(
        vocab_size=4, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
        max_position_embeddings=77, bos_token_id=2, eos_token_id=3,
    )  # fmt: skip
    diffusers.StableDiffusionPipeline(
        vae=autoencoder(),
        text_encoder=CLIPTextModel(text),
        tokenizer=CLIPTokenizer(vocab=words, merges=[], model_max_length=77),
        unet=network,
        scheduler=diffusers.PNDMScheduler(
            beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", skip_prk_steps=True, steps_offset=1
        ),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(folder)


def save_if(folder: Path) -> None:
    from transformers import T5Config, T5EncoderModel

    network = diffusers.UNet2DConditionModel(
        **UNET,
        in_channels=3,
        out_channels=6,
        down_block_types=("ResnetDownsampleBlock2D", *("SimpleCrossAttnDownBlock2D",) * 3),
        mid_block_type="UNetMidBlock2DSimpleCrossAttn",
        up_block_types=(*("SimpleCrossAttnUpBlock2D",) * 3, "ResnetUpsampleBlock2D"),
        cross_attention_dim=16,
        encoder_hid_dim=16,
        encoder_hid_dim_type="text_proj",
        addition_embed_type="text",
        addition_embed_type_num_heads=4,
        attention_head_dim=4,
        resnet_time_scale_shift="scale_shift",
    )
    text = T5EncoderModel(T5Config(vocab_size=40, d_model=16, d_kv=4, d_ff=16, num_layers=1, num_heads=2))
    diffusers.IFPipeline(
        tokenizer=None,
        text_encoder=text,
        unet=network,
        scheduler=diffusers.DDPMScheduler(beta_schedule="squaredcos_cap_v2", variance_type="learned_range"),
        safety_checker=None,
        feature_extractor=None,
        watermarker=None,
        requires_safety_checker=False,
    ).save_pretrained(folder)
    save_sentencepiece(folder / "tokenizer")


def save_sentencepiece(folder: Path) -> None:
    """A tokenizer in the form that T5's has in the checkpoints of IF: a model of sentencepiece, and no more."""
    import sentencepiece

    folder.mkdir()
    sentences = ["a galaxy far away", "the sky is seen by two telescopes", "stars and dust and gas"] * 20
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(sentences), model_prefix=str(folder / "spiece"), vocab_size=30, minloglevel=2,
        pad_id=0, eos_id=1, unk_id=2, bos_id=-1,
    )  # fmt: skip
    marks = {"eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
    config = {"tokenizer_class": "T5Tokenizer", "model_max_length": 512, "extra_ids": 0, **marks}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))


def save_dit(folder: Path) -> None:
    """Its weights are no safetensors, as those of the published checkpoint are not."""
    diffusers.DiTPipeline(
        transformer=diffusers.DiTTransformer2DModel(
            num_attention_heads=2, attention_head_dim=8, num_layers=28, sample_size=SIDE, num_embeds_ada_norm=10
        ),
        vae=autoencoder(),
        scheduler=diffusers.DDIMScheduler(),
    ).save_pretrained(folder, safe_serialization=False)


SAVE: Mapping[str, Callable[[Path], None]] = MappingProxyType(
    dict(zip(NAMES, (save_stable_diffusion, save_if, save_dit), strict=True))
)


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that stands in for the hub, with a tiny checkpoint of each kind."""
    folder = tmp_path_factory.mktemp("hub")
    for name, save in SAVE.items():
        torch.manual_seed(0)
        save(folder / "models" / find_model(name).checkpoint)
    return folder


def settings_of(hub: Path) -> Settings:
    return Settings.read({"SAMESKY_HUB_DIR": str(hub), "SAMESKY_DEVICE": "cpu", "SAMESKY_THREADS": "1"})


def pin(name: str, hub: Path, **changed: Any) -> ModelRef:
    return resolve_model(find_model(name), settings_of(hub)).model_copy(update=changed)


def load(model: ModelRef, hub: Path, dtype: Dtype = "float32") -> DiffusionAdapter:
    from embedder.adapters.diffusion import DiffusionAdapter

    adapter = load_adapter(model, settings_of(hub), dtype)
    assert isinstance(adapter, DiffusionAdapter)
    return adapter


@pytest.fixture(scope="module", params=NAMES)
def adapter(request: pytest.FixtureRequest, hub: Path) -> DiffusionAdapter:
    """Each kind of model in turn, loaded as a worker loads it."""
    return load(pin(request.param, hub), hub)


def encode(adapter: DiffusionAdapter, pictures: list[npt.NDArray[np.uint8]], layer: str = "final") -> Floats:
    (vectors,) = adapter.encode([adapter.prepare(picture) for picture in pictures], [layer])
    return vectors


def test_a_vector_depends_on_its_picture_alone(
    adapter: DiffusionAdapter, pictures: list[npt.NDArray[np.uint8]]
) -> None:
    together = encode(adapter, pictures)
    size = np.abs(together).max()
    assert together.dtype == np.float32
    assert np.abs(np.concatenate([encode(adapter, [one]) for one in pictures]) - together).max() / size < 1e-5
    assert np.abs(encode(adapter, pictures[::-1])[::-1] - together).max() / size < 1e-5
    assert (encode(adapter, pictures) == together).all()
    distances = np.linalg.norm(together[:, None] - together[None], axis=2)[~np.eye(7, dtype=bool)]
    assert distances.min() / size > 1e-3


def straight_on(name: str, folder: Path, picture: npt.NDArray[np.uint8], timestep: int, block: int) -> Floats:
    """The vector as the library's own parts give it, one after the other."""
    vae_side, channels = (2 * SIDE, 4) if name != "deepfloyd-if-m" else (SIDE, 3)
    resized = Picture.fromarray(picture).resize((vae_side, vae_side), Picture.Resampling.BICUBIC)
    x = torch.tensor(np.asarray(resized), dtype=torch.float32).permute(2, 0, 1)[None] / 127.5 - 1
    noise = torch.tensor(np.random.RandomState(0).standard_normal((1, channels, SIDE, SIDE)), dtype=torch.float32)
    seen: list[torch.Tensor] = []

    def see(module: Any, given: Any, states: Any) -> None:
        seen.append(states[0] if isinstance(states, tuple) else states)

    with torch.inference_mode():
        if channels == 4:
            vae = diffusers.AutoencoderKL.from_pretrained(folder, subfolder="vae")
            x = vae.encode(x).latent_dist.mean * vae.config.scaling_factor
        scheduler = diffusers.DDPMScheduler.from_pretrained(folder, subfolder="scheduler")
        noisy = scheduler.add_noise(x, noise, torch.tensor([timestep]))
        if name == "dit-xl-2":
            network = diffusers.DiTTransformer2DModel.from_pretrained(folder, subfolder="transformer")
            network.transformer_blocks[block].register_forward_hook(see)
            network(noisy, torch.tensor([timestep]), class_labels=torch.tensor([10]))
            return seen[0].mean(dim=1).numpy()
        network = diffusers.UNet2DConditionModel.from_pretrained(folder, subfolder="unet")
        [*network.down_blocks, network.mid_block, *network.up_blocks][block].register_forward_hook(see)
        network(noisy, timestep, encoder_hidden_states=empty_prompt(name, folder))
        return seen[0].mean(dim=(2, 3)).numpy()


def empty_prompt(name: str, folder: Path) -> torch.Tensor:
    from transformers import CLIPTextModel, T5EncoderModel

    if name == "deepfloyd-if-m":
        tokens = torch.tensor([[1, *[0] * 76]])  # the end, and filling
        network = T5EncoderModel.from_pretrained(folder / "text_encoder")
        return network(tokens, attention_mask=(tokens > 0).long()).last_hidden_state
    tokens = torch.tensor([[2, *[3] * 76]])  # the start, the end, and filling, which is the end again
    return CLIPTextModel.from_pretrained(folder / "text_encoder")(tokens).last_hidden_state


@pytest.mark.parametrize(
    ("name", "timestep", "block"),
    [("stable-diffusion-2.1", 261, 4), ("deepfloyd-if-m", 101, 4), ("dit-xl-2", 261, 13)],
)
def test_the_row_looks_where_it_says(
    name: str, timestep: int, block: int, hub: Path, pictures: list[npt.NDArray[np.uint8]]
) -> None:
    folder = hub / "models" / find_model(name).checkpoint
    expected = straight_on(name, folder, pictures[0], timestep, block)
    found = encode(load(pin(name, hub), hub), pictures[:1])
    assert np.abs(found - expected).max() < 1e-5 * max(1, np.abs(expected).max())


def test_all_layers_come_of_one_pass(adapter: DiffusionAdapter, pictures: list[npt.NDArray[np.uint8]]) -> None:
    layers = [*(f"block-{number:02d}" for number in range(adapter.blocks)), "final"]
    inputs = [adapter.prepare(picture) for picture in pictures[:2]]
    passes: list[int] = []
    hook = adapter._denoiser.register_forward_pre_hook(lambda module, given: passes.append(len(given)))
    vectors = dict(zip(layers, adapter.encode(inputs, layers), strict=True))
    hook.remove()
    assert len(passes) == 1
    assert (vectors["final"] == vectors[adapter._final]).all()
    for layer in ("block-00", "block-08", "final"):
        assert (encode(adapter, pictures[:2], layer) == vectors[layer]).all()
    assert len({vector.tobytes() for vector in vectors.values()}) == adapter.blocks


def test_blocks_are_as_many_as_the_row_says(adapter: DiffusionAdapter, request: pytest.FixtureRequest) -> None:
    assert adapter.blocks == find_model(request.node.callspec.params["adapter"]).blocks


def test_what_comes_after_the_last_wanted_block_is_not_run(
    adapter: DiffusionAdapter, pictures: list[npt.NDArray[np.uint8]]
) -> None:
    ran: list[int] = []
    hooks = [
        block.register_forward_hook(lambda *_, number=number: ran.append(number))
        for number, block in enumerate(adapter._blocks)
    ]
    adapter.encode([adapter.prepare(pictures[0])], ["block-02", "block-01"])
    for hook in hooks:
        hook.remove()
    assert ran == [0, 1, 2]


@pytest.mark.parametrize("changed", [{"timestep": 100}, {"seed": 1}, {"block": 2}])
def test_what_the_row_is_told_is_part_of_its_key_and_of_its_vectors(
    changed: dict[str, int], hub: Path, pictures: list[npt.NDArray[np.uint8]]
) -> None:
    plain = pin("stable-diffusion-2.1", hub)
    other = plain.model_copy(update={"options": {**plain.options, **changed}})
    assert other.digest != plain.digest
    ours, theirs = (encode(load(model, hub), pictures[:2]) for model in (plain, other))
    assert ours.shape != theirs.shape or np.abs(ours - theirs).max() > 1e-4


@pytest.mark.parametrize(("name", "dtype"), [(NAMES[0], "bfloat16"), (NAMES[1], "float16"), (NAMES[2], "float16")])
def test_half_precision_comes_near(name: str, dtype: Dtype, hub: Path, pictures: list[npt.NDArray[np.uint8]]) -> None:
    plain, half = (encode(load(pin(name, hub), hub, one), pictures[:2]) for one in ("float32", dtype))
    assert half.dtype == np.float32
    assert 0 < np.abs(plain - half).max() < 0.05 * np.abs(plain).max()


WRONG: tuple[tuple[str, dict[str, Any], type[Exception], str], ...] = (
    ("no timestep", {"options": {"seed": 0, "block": 4}}, BadInput, "option timestep of .* is None; expected a whole"),
    ("half a block", {"options": {"timestep": 9, "seed": 0, "block": 0.5}}, BadInput, "option block of .* is 0.5"),
    ("a negative seed", {"options": {"timestep": 9, "seed": -1, "block": 4}}, BadInput, "option seed of .* is -1"),
    ("a misspelt option", {"options": {"timestop": 9}}, UnknownName, "did you mean timestep"),
    ("too late", {"options": {"timestep": 1000, "seed": 0, "block": 4}}, BadInput, "expected 0 to 999"),
    ("no such block", {"options": {"timestep": 9, "seed": 0, "block": 9}}, CheckpointUnavailable, "no block-09"),
    ("no such pooling", {"pooling": "spatial-max"}, UnknownName, "did you mean spatial-mean"),
)


@pytest.mark.parametrize(("changed", "error", "said"), [case[1:] for case in WRONG], ids=[case[0] for case in WRONG])
def test_a_row_that_cannot_be_followed_is_refused(
    changed: dict[str, Any], error: type[Exception], said: str, hub: Path
) -> None:
    with pytest.raises(error, match=said):
        load(pin("stable-diffusion-2.1", hub, **changed), hub)


def test_a_layer_that_is_not_there_is_refused(adapter: DiffusionAdapter, pictures: list[npt.NDArray[np.uint8]]) -> None:
    with pytest.raises(CheckpointUnavailable, match=f"no block-{adapter.blocks:02d}: it has {adapter.blocks} blocks"):
        encode(adapter, pictures[:1], f"block-{adapter.blocks:02d}")


class Trap:
    """What a pickle may do when it is read."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.file,))


def drop_tensor(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    file = folder / "unet" / "diffusion_pytorch_model.safetensors"
    weights = load_file(file)
    weights.pop("mid_block.resnets.0.conv1.weight")
    save_file(weights, file)


def misshape_tensor(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    file = folder / "vae" / "diffusion_pytorch_model.safetensors"
    weights = load_file(file)
    weights["encoder.conv_in.weight"] = weights["encoder.conv_in.weight"][:3].clone()
    save_file(weights, file)


def rename_part(part: str, kind: str) -> Callable[[Path], None]:
    def rename(folder: Path) -> None:
        index = json.loads((folder / "model_index.json").read_text())
        index[part] = ["diffusers", kind]
        (folder / "model_index.json").write_text(json.dumps(index))

    return rename


def flow(folder: Path) -> None:
    diffusers.FlowMatchEulerDiscreteScheduler().save_pretrained(folder / "scheduler")


DAMAGE: tuple[tuple[str, Callable[[Path], Any], str], ...] = (
    ("a tensor is missing", drop_tensor, "lack or misshape 1 tensors, such as mid_block.resnets.0.conv1.weight"),
    ("a tensor has another shape", misshape_tensor, "conv_in.weight"),
    ("no index", lambda folder: (folder / "model_index.json").unlink(), "model_index.json"),
    ("no weights", lambda folder: (folder / "unet" / "diffusion_pytorch_model.safetensors").unlink(), "cannot be load"),
    ("another denoiser", rename_part("unet", "UNet3DConditionModel"), "is UNet3DConditionModel; expected one of UNet2"),
    ("another text encoder", rename_part("text_encoder", "BertModel"), "text encoder of .* is BertModel"),
    ("another autoencoder", rename_part("vae", "VQModel"), "the encoder of .* is VQModel"),
    ("no betas", flow, "has no schedule of betas"),
)


@pytest.mark.parametrize(("damage", "said"), [case[1:] for case in DAMAGE], ids=[case[0] for case in DAMAGE])
def test_a_checkpoint_that_does_not_fit_is_refused(damage: Callable[[Path], Any], said: str, tmp_path: Path) -> None:
    folder = tmp_path / "models" / find_model("stable-diffusion-2.1").checkpoint
    save_stable_diffusion(folder)
    damage(folder)
    with pytest.raises(CheckpointUnavailable, match=said):
        load(pin("stable-diffusion-2.1", tmp_path), tmp_path)


def test_a_pickle_is_not_run(tmp_path: Path) -> None:
    folder = tmp_path / "models" / find_model("dit-xl-2").checkpoint
    save_dit(folder)
    sprung = tmp_path / "sprung"
    (folder / "transformer" / "diffusion_pytorch_model.bin").write_bytes(pickle.dumps(Trap(sprung)))
    with pytest.raises(CheckpointUnavailable, match="cannot be loaded"):
        load(pin("dit-xl-2", tmp_path), tmp_path)
    torch.save({"weight": Trap(sprung)}, folder / "transformer" / "diffusion_pytorch_model.bin")
    with pytest.raises(CheckpointUnavailable, match="cannot be loaded"):
        load(pin("dit-xl-2", tmp_path), tmp_path)
    assert not sprung.exists()
    pickle.loads(pickle.dumps(Trap(sprung)))  # noqa: S301 - the trap works
    assert sprung.exists()
