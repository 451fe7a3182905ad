"""Specformer's network against the published description, computed a second time in numpy, number by number."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as some

from embedder.adapters.specformer_network import Sizes, Specformer, cut_tokens

Numbers = npt.NDArray[np.float64]
PUBLISHED = Sizes(input_dim=22, embed_dim=768, num_layers=6, num_heads=6, max_len=800)
TINY = Sizes(input_dim=22, embed_dim=24, num_layers=2, num_heads=3, max_len=40)


def make_flux(seed: int, samples: int, level: float = 1.0, scatter: float = 0.5) -> npt.NDArray[np.float32]:
    return np.random.default_rng(seed).normal(level, scatter, samples).astype(np.float32)


def make_network(sizes: Sizes) -> Specformer:
    """Random weights, those of norms too; states so small that eps of a norm is seen, and an MLP that bends."""
    network = Specformer(sizes).eval()
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            size = 1.0 if "encoder" in name or "attention.attention" in name else 0.01
            centre = 1.0 if "norm" in name and "weight" in name else 0.0
            parameter.copy_(centre + size * torch.randn(parameter.shape, generator=generator))
    return network


def tokens_by_hand(flux: npt.NDArray[np.float32]) -> Numbers:
    values = [float(one) for one in flux]
    mean = sum(values) / len(values)
    deviation = max(math.sqrt(sum((one - mean) ** 2 for one in values) / (len(values) - 1)), 0.2)
    rows = [[(mean - 2) / 2, (deviation - 2) / 8] + 20 * [0.0]]
    begin = 0
    while begin + 20 < len(values):
        rows.append([0.0, 0.0] + [(one - mean) / deviation for one in values[begin : begin + 20]])
        begin += 10
    return np.array(rows)


def states_by_hand(tokens: Numbers, network: Specformer, heads: int) -> list[Numbers]:
    """After each block, and last after the final norm; of one spectrum, token by token and head by head."""
    weights = {name: tensor.double().numpy() for name, tensor in network.state_dict().items()}
    erf = np.vectorize(math.erf)

    def linear(x: Numbers, name: str) -> Any:
        return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    def norm(x: Numbers, name: str) -> Any:
        centred = x - x.mean(axis=1, keepdims=True)
        unit = centred / np.sqrt((centred**2).mean(axis=1, keepdims=True) + 1e-5)
        return unit * weights[f"{name}.weight"] + weights[f"{name}.bias"]

    states = linear(tokens, "data_embed") + weights["position_embed.weight"][: len(tokens)]
    width, seen = states.shape[1], []
    for block in range(sum(name.endswith("mlp.encoder.weight") for name in weights)):
        of_all = linear(norm(states, f"blocks.{block}.layernorm1"), f"blocks.{block}.attention.attention")
        query, key, value = of_all[:, :width], of_all[:, width : 2 * width], of_all[:, 2 * width :]
        attended = np.empty_like(states)
        for head in range(heads):
            own = slice(head * width // heads, (head + 1) * width // heads)
            weight = np.exp(query[:, own] @ key[:, own].T / math.sqrt(width // heads))
            attended[:, own] = weight / weight.sum(axis=1, keepdims=True) @ value[:, own]
        states = states + linear(attended, f"blocks.{block}.attention.projection")
        hidden = linear(norm(states, f"blocks.{block}.layernorm2"), f"blocks.{block}.mlp.encoder")
        states = states + linear(hidden * (1 + erf(hidden / math.sqrt(2))) / 2, f"blocks.{block}.mlp.decoder")
        seen.append(states)
    return [*seen, norm(states, "final_layernorm")]


@pytest.mark.parametrize(
    "flux",
    [
        make_flux(0, 21),
        make_flux(1, 30),
        make_flux(2, 31),
        make_flux(3, 407, level=-3.0, scatter=20.0),
        make_flux(4, 410, scatter=0.05),  # deviation below 0.2
    ],
)
def test_every_state_is_that_of_the_published_description(flux: npt.NDArray[np.float32]) -> None:
    network = make_network(TINY)
    seen: list[torch.Tensor] = []
    for block in network.blocks:
        block.register_forward_hook(lambda module, given, states: seen.append(states[0]))
    tokens = cut_tokens(flux, TINY)
    assert tokens.dtype == np.float32
    expected = tokens_by_hand(flux)
    assert np.abs(tokens - expected).max() < 1e-5
    with torch.inference_mode():
        final = network(torch.from_numpy(tokens)[None])[0]
    for found, wanted in zip([*seen, final], states_by_hand(expected, network, TINY.num_heads), strict=True):
        assert np.abs(found.numpy() - wanted).max() < 1e-5 * np.abs(wanted).max()


@given(some.integers(0, 9000))
def test_sections_begin_at_every_step_while_a_sample_comes_after_them(samples: int) -> None:
    assert PUBLISHED.count_tokens(samples) == 1 + sum(begin + 20 < samples for begin in range(0, 9000, 10))


def test_a_spectrum_of_desi_fits_and_the_longest_has_8010_samples() -> None:
    assert PUBLISHED.count_tokens(7781) == 778
    assert [PUBLISHED.count_tokens(samples) for samples in (8010, 8011)] == [800, 801]
    assert cut_tokens(make_flux(0, 7781), PUBLISHED).shape == (778, 22)


@given(some.floats(-1e30, 1e30), some.floats(0, 1e30), some.integers(21, 200))
def test_tokens_are_finite_and_scaled_whatever_the_unit(level: float, scatter: float, samples: int) -> None:
    flux = (level + scatter * make_flux(0, samples, 0.0, 1.0)).astype(np.float32)
    tokens = cut_tokens(flux, PUBLISHED)
    assert np.isfinite(tokens).all()
    assert np.abs(tokens[1:]).max() <= math.sqrt(samples)
    assert not tokens[1:, :2].any()
    assert not tokens[0, 2:].any()


def test_parameters_bear_the_published_names_and_number_43_millions() -> None:
    with torch.device("meta"):
        network = Specformer(PUBLISHED)
    assert sum(parameter.numel() for parameter in network.parameters()) == 43_177_750
    block = ["layernorm1", "attention.attention", "attention.projection", "layernorm2", "mlp.encoder", "mlp.decoder"]
    layers = ["data_embed", *(f"blocks.{number}.{part}" for number in range(6) for part in block)]
    names = {f"{layer}.{kind}" for layer in [*layers, "final_layernorm", "head"] for kind in ("weight", "bias")}
    assert set(network.state_dict()) == names | {"position_embed.weight"}


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"num_heads": 7}, "embed_dim 768 is no multiple of num_heads 7"),
        ({"slice_overlap": 20}, "slice_overlap 20 leaves no step"),
        ({"input_dim": 20}, "input_dim 20 is not slice_section_length"),
    ],
)
def test_sizes_that_contradict_each_other_are_refused(wrong: dict[str, int], said: str) -> None:
    sizes = {"input_dim": 22, "embed_dim": 768, "num_layers": 6, "num_heads": 6, "max_len": 800, **wrong}
    with pytest.raises(ValueError, match=said):
        Sizes(**sizes)
