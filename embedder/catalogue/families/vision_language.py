"""Models of images that were trained with words: as one half of a pair, or as what a language model reads.

Imports the row types only. Sizes, pooling and checkpoints are those of arXiv 2509.19453 and its authors' later work.
Parameters are those that a vector goes through: of CLIP the half that sees, of the others all but the head that writes.
They were counted on networks of the shapes that the checkpoints' converters have, built without weights; with the head,
they are the totals that the hub shows.

At 4 bytes each, the larger ones need more room than most machines have: ask for bfloat16. PaliGemma's language model,
Gemma 2, was trained in bfloat16, and its states leave the range of float16.

gflop: 2 P T + 4 L T^2 d, as in `vision`, with 256 tokens of a picture for PaliGemma 2 at 224 pixels and 576 for
LLaVA 1.5 at 336; how many LLaVA-OneVision makes depends on the picture.
"""

from __future__ import annotations

from embedder.catalogue.rows import Family, Size

_PROMPT = "<image> "

_CLIP = Family(name="clip", title="CLIP {size}", adapter="hf-clip", pooling="projected", licence="MIT")
_PALIGEMMA2 = Family(
    name="paligemma2",
    title="PaliGemma 2 {size}, mixed tasks",
    adapter="hf-vision-language",
    pooling="masked-mean",
    licence="Gemma terms of use; gated",
    dtypes=("float32", "bfloat16"),
    options={"prompt": _PROMPT},
    published_as="paligemma",
)
_LLAVA = Family(
    name="llava",
    title="LLaVA {size}",
    adapter="hf-vision-language",
    pooling="masked-mean",
    licence="Llama 2 Community License",
    options={"prompt": _PROMPT},
)
# A family of its own: another picture tower and another language model, so no step of size from LLaVA 1.5.
_ONEVISION = Family(
    name="llava-onevision",
    title="LLaVA-OneVision {size}",
    adapter="hf-vision-language",
    pooling="masked-mean",
    licence="Apache-2.0",
    options={"prompt": _PROMPT},
    published_as="llava_ov",
)

ROWS = (
    *_CLIP.rows(
        Size("base", "openai/clip-vit-base-patch16", 86, 128, 12, dimension=512, gflop=35),
        Size("large", "openai/clip-vit-large-patch14", 304, 64, 24, dimension=768, gflop=163),
    ),
    *_PALIGEMMA2.rows(
        Size("3b", "google/paligemma2-3b-mix-224", 3032, 32, 26, dimension=2304, gflop=1587),
        Size("10b", "google/paligemma2-10b-mix-224", 9663, 32, 42, dimension=3584, gflop=5046),
        Size("28b", "google/paligemma2-28b-mix-224", 27650, 32, 46, dimension=4608, gflop=14380),
    ),
    *_LLAVA.rows(
        Size("1.5-7b", "llava-hf/llava-1.5-7b-hf", 6932, 32, 32, published_as="15_7b", dimension=4096, gflop=8218),
        Size("1.5-13b", "llava-hf/llava-1.5-13b-hf", 13187, 32, 40, published_as="15_13b", dimension=5120, gflop=15573),
    ),
    *_ONEVISION.rows(Size("7b", "llava-hf/llava-onevision-qwen2-7b-ov-hf", 7486, 32, 28, dimension=3584)),
)
