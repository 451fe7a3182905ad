"""What rows say of a model, held against its architecture, built by the published configuration without memory."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import transformers

from embedder.adapters.hf_vision import _list_blocks
from embedder.catalogue.models import find_model, known_models


def patches(width: int, blocks: int, heads: int, hidden: int = 0, **more: Any) -> dict[str, Any]:
    """A ViT's configuration; hidden: of its MLP, four times the width unless said."""
    return {
        "hidden_size": width,
        "num_hidden_layers": blocks,
        "num_attention_heads": heads,
        "intermediate_size": hidden or 4 * width,
        **more,
    }


def frames(width: int, blocks: int, heads: int, ratio: float = 4) -> dict[str, Any]:
    """A V-JEPA 2's configuration."""
    return {"hidden_size": width, "num_hidden_layers": blocks, "num_attention_heads": heads, "mlp_ratio": ratio}


REGISTERS = {"num_register_tokens": 4}
GATED = {**REGISTERS, "use_gated_mlp": True}
FOURTEEN = {"patch_size": 14, "image_size": 518, **REGISTERS}
# What the checkpoints' `config.json` has that is not the default of its class; of DINOv3, Hiera and V-JEPA 2, as those
# scripts of transformers have it that converted them.
PUBLISHED: dict[str, dict[str, dict[str, Any]]] = {
    "ViTModel": {
        "vit-base": patches(768, 12, 12),
        "vit-large": patches(1024, 24, 16),
        "vit-huge": patches(1280, 32, 16, patch_size=14),
    },
    "Dinov2WithRegistersModel": {
        "dinov2-small": patches(384, 12, 6, **FOURTEEN),
        "dinov2-base": patches(768, 12, 12, **FOURTEEN),
        "dinov2-large": patches(1024, 24, 16, **FOURTEEN),
        "dinov2-giant": patches(1536, 40, 24, **FOURTEEN, use_swiglu_ffn=True),
    },
    "ConvNextV2Model": {
        "convnextv2-nano": {"depths": [2, 2, 8, 2], "hidden_sizes": [80, 160, 320, 640]},
        "convnextv2-tiny": {"depths": [3, 3, 9, 3], "hidden_sizes": [96, 192, 384, 768]},
        "convnextv2-base": {"depths": [3, 3, 27, 3], "hidden_sizes": [128, 256, 512, 1024]},
        "convnextv2-large": {"depths": [3, 3, 27, 3], "hidden_sizes": [192, 384, 768, 1536]},
    },
    "IJepaModel": {
        "ijepa-huge": patches(1280, 32, 16, patch_size=14),
        "ijepa-giant": patches(1408, 40, 16, 6144),
    },
    "DINOv3ViTModel": {
        "dinov3-vits16": patches(384, 12, 6, **REGISTERS),
        "dinov3-vits16plus": patches(384, 12, 6, **GATED),
        "dinov3-vitb16": patches(768, 12, 12, **REGISTERS),
        "dinov3-vitl16": patches(1024, 24, 16, **REGISTERS),
        "dinov3-vith16plus": patches(1280, 32, 20, **GATED),
        "dinov3-vit7b16": patches(4096, 40, 32, 8192, **GATED, query_bias=False, value_bias=False),
    },
    "VJEPA2Model": {
        "vjepa2-large": frames(1024, 24, 16),
        "vjepa2-huge": frames(1280, 32, 16),
        "vjepa2-giant": frames(1408, 40, 22, 48 / 11),
    },
    "ViTMAEModel": {
        "vit-mae-base": patches(768, 12, 12),
        "vit-mae-large": patches(1024, 24, 16),
        "vit-mae-huge": patches(1280, 32, 16, patch_size=14),
    },
    "HieraModel": {
        "hiera-tiny": {"depths": [1, 2, 7, 2]},
        "hiera-small": {"depths": [1, 2, 11, 2]},
        "hiera-base": {},
        "hiera-base-plus": {"embed_dim": 112, "num_heads": [2, 4, 8, 16]},
        "hiera-large": {"embed_dim": 144, "num_heads": [2, 4, 8, 16], "depths": [2, 6, 36, 4]},
        "hiera-huge": {"embed_dim": 256, "num_heads": [4, 8, 16, 32], "depths": [2, 6, 36, 4]},
    },
}
NOT_SEEN = ("predictor.", "pooler.")  # parts of a model that the vector does not come from


def test_every_vision_model_is_held_against_its_architecture() -> None:
    rows = {row.name for row in known_models().values() if row.adapter == "hf-vision"}
    assert rows == {name for models in PUBLISHED.values() for name in models}


@pytest.mark.parametrize("of_class", PUBLISHED)
def test_a_row_has_the_parameters_and_blocks_of_its_architecture(of_class: str) -> None:
    """Within 6 per cent: papers round, that of V-JEPA 2 its 632 million to 600."""
    for name, config in PUBLISHED[of_class].items():
        network_class = getattr(transformers, of_class)
        with torch.device("meta"):
            network = network_class(network_class.config_class(**config))
        seen = sum(values.numel() for part, values in network.named_parameters() if not part.startswith(NOT_SEEN))
        row = find_model(name)
        assert row.parameters == pytest.approx(seen / 1e6, rel=0.06), name
        assert row.blocks == len(_list_blocks(network)), name
