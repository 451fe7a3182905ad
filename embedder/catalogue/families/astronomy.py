"""Models trained on the sky itself. Imports the row types only."""

from __future__ import annotations

from embedder.catalogue.rows import Family, Size

# A spectrum of DESI is 778 tokens, 77 GFLOP: a little more than twice an image through ViT-base.
_SPECFORMER = Family(
    name="specformer",
    title="Specformer, the spectrum encoder of AstroCLIP",
    adapter="specformer",
    pooling="mean-after-first",
    takes="spectrum",
    licence="MIT",
    options={"file": "specformer.ckpt"},
)

ROWS = (*_SPECFORMER.rows(Size("base", "polymathic-ai/specformer", 43.2, 64, 6)),)
