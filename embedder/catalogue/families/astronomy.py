"""Models trained on the sky itself. Imports the row types only.

The networks of AstroPT and AION-1 come in packages of their own, as extras. AstroPT: sizes of arXiv 2509.19453; how
many blocks each has was read nowhere, so none is offered. Its package is under AGPL-3.0-or-later; its weights are under
MIT, says arXiv 2405.14930 of its first release. AION-1: arXiv 2510.17960, and the documentation of its package: 12
blocks in the encoder of the base model, package and weights under MIT.
"""

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

_ASTROPT = Family(
    name="astropt",
    title="AstroPT {size}, galaxies of the Legacy Surveys",
    adapter="astropt",
    pooling="mean",
    licence="MIT",
)
_WEIGHTS = "Smith42/astroPT_v2.0"
_AION = Family(
    name="aion",
    title="AION-1 {size}, images of HSC and of the Legacy Surveys",
    adapter="aion",
    pooling="mean",
    licence="MIT",
    recipe="flux-v1",
    knows=("hsc-g", "hsc-r", "hsc-i", "hsc-z", "hsc-y", "des-g", "des-r", "des-i", "des-z"),
)
_AION_DESI = Family(
    name="aion-desi",
    title="AION-1 {size}, spectra of DESI",
    adapter="aion",
    pooling="mean",
    takes="spectrum",
    licence="MIT",
    recipe="spectrum-flux-v1",
    knows=("desi",),
    options={"survey": "desi"},
)

ROWS = (
    *_SPECFORMER.rows(Size("base", "polymathic-ai/specformer", 43.2, 64, 6, dimension=768, gflop=78)),
    *_ASTROPT.rows(
        Size("015m", _WEIGHTS, 15, 1024, options={"file": "astropt/015M/ckpt.pt"}, published_as="15m"),
        Size("095m", _WEIGHTS, 95, 512, options={"file": "astropt/095M/ckpt.pt"}, published_as="95m"),
        Size("850m", _WEIGHTS, 850, 64, options={"file": "astropt/850M/ckpt.pt"}),
    ),
    *_AION.rows(Size("base", "polymathic-ai/aion-base", 300, 32, 12)),
    *_AION_DESI.rows(Size("base", "polymathic-ai/aion-base", 300, 32, 12)),
)
