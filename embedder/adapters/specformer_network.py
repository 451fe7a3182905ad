"""Specformer, the spectrum encoder of AstroCLIP (Parker et al. 2024, arXiv 2310.03024): a spectrum cut into sections
that overlap, each a token, through blocks of attention. Imports numpy and torch only.

Its parameters bear the published names, so that the published weights load as they are. Where the paper is silent, this
follows the code its authors published with it: the norm comes before attention and before the MLP, whatever
`norm_first` of the checkpoint says; every norm has eps 1e-5; GELU is the exact one, by the error function; attention is
scaled by one over the root of a head's width, masks nothing, and takes query, key and value, in this order, from one
layer.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from embedder.samples import Floats

_STATISTICS = 2  # numbers of the first token: the mean and the deviation; in each other token, as many noughts in front
_LEAST_DEVIATION = 0.2
_WIDENING = 4  # of the MLP


@dataclass(frozen=True, slots=True)
class Sizes:
    """The sizes of one Specformer, as the `hyper_parameters` of its checkpoint name them.

    input_dim: numbers in one token. embed_dim: width of a state. num_layers: blocks. num_heads: of attention in each.
    max_len: positions, the most tokens of one spectrum. slice_section_length, slice_overlap: samples of one section,
    and how many it shares with the next. Raises ValueError for sizes that contradict each other.
    """

    input_dim: int
    embed_dim: int
    num_layers: int
    num_heads: int
    max_len: int
    slice_section_length: int = 20
    slice_overlap: int = 10

    def __post_init__(self) -> None:
        if self.embed_dim % self.num_heads:
            raise ValueError(f"embed_dim {self.embed_dim} is no multiple of num_heads {self.num_heads}")
        if self.slice_overlap >= self.slice_section_length:
            raise ValueError(f"slice_overlap {self.slice_overlap} leaves no step between sections")
        if self.input_dim != self.slice_section_length + _STATISTICS:
            raise ValueError(f"input_dim {self.input_dim} is not slice_section_length + {_STATISTICS}")

    def count_tokens(self, samples: int) -> int:
        """Tokens of a spectrum of so many samples: its sections, and one in front; 1 when it has no section.

        A section begins at every step, and is taken if at least one sample comes after it. Without that sample, a last
        section that is whole is not taken, since the published code does not, whose weights have never seen it. The
        7781 samples of DESI make 777 sections.
        """
        step = self.slice_section_length - self.slice_overlap
        return 1 + max(0, -(-(samples - self.slice_section_length) // step))


def cut_tokens(flux: Floats, sizes: Sizes) -> Floats:
    """The tokens of one spectrum, `(token, input_dim) float32`, from its flux, `(sample,)`: at least one section long.

    z = (flux - mean)/std, where std, of n - 1 degrees of freedom, is at least 0.2; in each section's token two noughts
    come first. The first token tells what z does not: (mean - 2)/2, (std - 2)/8, and noughts. Flux is in the unit that
    the weights were trained on: for the published ones DESI's, 1e-17 erg/s/cm^2/Angstrom.
    """
    values = flux.astype(np.float64)
    mean, deviation = values.mean(), max(values.std(ddof=1), _LEAST_DEVIATION)
    length, step = sizes.slice_section_length, sizes.slice_section_length - sizes.slice_overlap
    tokens = np.zeros((sizes.count_tokens(flux.size), sizes.input_dim), np.float32)
    tokens[0, :_STATISTICS] = (mean - 2) / 2, (deviation - 2) / 8
    sections = np.lib.stride_tricks.sliding_window_view((values - mean) / deviation, length)[::step]
    tokens[1:, _STATISTICS:] = sections[: len(tokens) - 1]  # (section, length)
    return tokens


class Specformer(nn.Module):
    """The network: tokens to states."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.data_embed = nn.Linear(sizes.input_dim, sizes.embed_dim)
        self.position_embed = nn.Embedding(sizes.max_len, sizes.embed_dim)
        self.blocks = nn.ModuleList(_Block(sizes.embed_dim, sizes.num_heads) for _ in range(sizes.num_layers))
        self.final_layernorm = nn.LayerNorm(sizes.embed_dim)
        self.head = nn.Linear(sizes.embed_dim, sizes.input_dim)  # to tokens again, in training only

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """From tokens, `(n, token, input_dim)`, to states after the final norm, `(n, token, embed_dim)`."""
        states = self.data_embed(tokens) + self.position_embed.weight[: tokens.shape[1]]  # (token, embed_dim) is added
        for block in self.blocks:
            states = block(states)
        normed: torch.Tensor = self.final_layernorm(states)
        return normed


class _Block(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.layernorm1 = nn.LayerNorm(width)
        self.attention = _Attention(width, heads)
        self.layernorm2 = nn.LayerNorm(width)
        self.mlp = _Mlp(width)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        states = states + self.attention(self.layernorm1(states))
        mixed: torch.Tensor = states + self.mlp(self.layernorm2(states))
        return mixed


class _Attention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self._heads = heads
        self.attention = nn.Linear(width, 3 * width)
        self.projection = nn.Linear(width, width)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        n, tokens, width = states.shape
        all_three = self.attention(states).view(n, tokens, 3, self._heads, width // self._heads)
        query, key, value = all_three.permute(2, 0, 3, 1, 4)  # each (n, head, token, width of a head)
        attended = functional.scaled_dot_product_attention(query, key, value)  # (n, head, token, width of a head)
        joined = attended.transpose(1, 2).reshape(n, tokens, width)  # heads side by side
        projected: torch.Tensor = self.projection(joined)
        return projected


class _Mlp(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.encoder = nn.Linear(width, _WIDENING * width)
        self.decoder = nn.Linear(_WIDENING * width, width)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        decoded: torch.Tensor = self.decoder(functional.gelu(self.encoder(states)))  # exact: no tanh
        return decoded
