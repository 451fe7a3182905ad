"""From a pinned model to its loaded adapter. A model library is imported when a model of its kind is met."""

from __future__ import annotations

from collections.abc import Callable

from embedder.adapters.base import Adapter
from embedder.extensions import Registry
from embedder.hub import open_stand_in
from shared.contracts import Dtype, ModelRef
from shared.errors import CheckpointUnavailable
from shared.settings import Settings


def load_adapter(model: ModelRef, settings: Settings, dtype: Dtype = "float32") -> Adapter:
    """The model, ready to run on the device of SAMESKY_DEVICE. dtype: what its network computes in.

    Raises UnknownName for an adapter that is not installed, CheckpointUnavailable, HubUnavailable, BadSetting.
    """
    return ADAPTERS.find(model.adapter)(model, dtype, settings)


def _load_fake(model: ModelRef, dtype: Dtype, settings: Settings) -> Adapter:
    del dtype, settings
    from embedder.adapters.fake import load_fake

    return load_fake(model)


def _load_given(model: ModelRef, dtype: Dtype, settings: Settings) -> Adapter:
    del dtype, settings
    from embedder.adapters.given import GivenAdapter

    if model.revision != "1":
        raise CheckpointUnavailable(f"there is no {model.name} at revision {model.revision}", "1")
    return GivenAdapter()


def _load_published(model: ModelRef, dtype: Dtype, settings: Settings) -> Adapter:
    del dtype, settings
    from embedder.adapters.given import AS_PUBLISHED, PublishedAdapter

    if model.revision != AS_PUBLISHED:
        raise CheckpointUnavailable(f"vectors of {model.name} are not published at {model.revision}", AS_PUBLISHED)
    return PublishedAdapter()


def _load_efficientnet(model: ModelRef, dtype: Dtype, settings: Settings) -> Adapter:
    from embedder.adapters.efficientnet import load_efficientnet
    from embedder.device import choose_device, find_dtype

    return load_efficientnet(model, choose_device(settings.device, settings.threads), find_dtype(dtype))


def _load_hf_vision(model: ModelRef, dtype: Dtype, settings: Settings) -> Adapter:
    folder = open_stand_in("model", model.checkpoint, model.revision, settings)
    from embedder.adapters.hf_vision import load_hf_vision
    from embedder.device import choose_device, find_dtype

    return load_hf_vision(model, folder, choose_device(settings.device, settings.threads), find_dtype(dtype))


def _load_hf_clip(model: ModelRef, dtype: Dtype, settings: Settings) -> Adapter:
    folder = open_stand_in("model", model.checkpoint, model.revision, settings)
    from embedder.adapters.hf_clip import load_hf_clip
    from embedder.device import choose_device, find_dtype

    return load_hf_clip(model, folder, choose_device(settings.device, settings.threads), find_dtype(dtype))


def _load_hf_vision_language(model: ModelRef, dtype: Dtype, settings: Settings) -> Adapter:
    folder = open_stand_in("model", model.checkpoint, model.revision, settings)
    from embedder.adapters.hf_vision_language import load_hf_vision_language
    from embedder.device import choose_device, find_dtype

    return load_hf_vision_language(model, folder, choose_device(settings.device, settings.threads), find_dtype(dtype))


def _load_hf_text(model: ModelRef, dtype: Dtype, settings: Settings) -> Adapter:
    folder = open_stand_in("model", model.checkpoint, model.revision, settings)
    from embedder.adapters.hf_text import load_hf_text
    from embedder.device import choose_device, find_dtype

    return load_hf_text(model, folder, choose_device(settings.device, settings.threads), find_dtype(dtype))


def _load_text_wheel(model: ModelRef, dtype: Dtype, settings: Settings) -> Adapter:
    from embedder.adapters.hf_text import load_text_wheel
    from embedder.device import choose_device, find_dtype

    return load_text_wheel(model, choose_device(settings.device, settings.threads), find_dtype(dtype))


def _load_astropt(model: ModelRef, dtype: Dtype, settings: Settings) -> Adapter:
    folder = open_stand_in("model", model.checkpoint, model.revision, settings)
    from embedder.adapters.astropt import load_astropt
    from embedder.device import choose_device, find_dtype

    return load_astropt(model, folder, choose_device(settings.device, settings.threads), find_dtype(dtype))


def _load_aion(model: ModelRef, dtype: Dtype, settings: Settings) -> Adapter:
    folder = open_stand_in("model", model.checkpoint, model.revision, settings)
    from embedder.adapters.aion import load_aion
    from embedder.device import choose_device, find_dtype

    return load_aion(model, folder, choose_device(settings.device, settings.threads), find_dtype(dtype))


def _load_diffusion(model: ModelRef, dtype: Dtype, settings: Settings) -> Adapter:
    folder = open_stand_in("model", model.checkpoint, model.revision, settings)
    from embedder.adapters.diffusion import load_diffusion
    from embedder.device import choose_device, find_dtype

    return load_diffusion(model, folder, choose_device(settings.device, settings.threads), find_dtype(dtype))


def _load_chronos(model: ModelRef, dtype: Dtype, settings: Settings) -> Adapter:
    folder = open_stand_in("model", model.checkpoint, model.revision, settings)
    from embedder.adapters.chronos import load_chronos
    from embedder.device import choose_device, find_dtype

    return load_chronos(model, folder, choose_device(settings.device, settings.threads), find_dtype(dtype))


def _load_specformer(model: ModelRef, dtype: Dtype, settings: Settings) -> Adapter:
    folder = open_stand_in("model", model.checkpoint, model.revision, settings)
    from embedder.adapters.specformer import load_specformer
    from embedder.device import choose_device, find_dtype

    return load_specformer(model, folder, choose_device(settings.device, settings.threads), find_dtype(dtype))


Load = Callable[[ModelRef, Dtype, Settings], Adapter]
ADAPTERS = Registry[Load](
    "adapter",
    {
        "efficientnet": _load_efficientnet,
        "hf-vision": _load_hf_vision,
        "hf-clip": _load_hf_clip,
        "hf-vision-language": _load_hf_vision_language,
        "hf-text": _load_hf_text,
        "hf-text-wheel": _load_text_wheel,
        "astropt": _load_astropt,
        "aion": _load_aion,
        "diffusion": _load_diffusion,
        "chronos": _load_chronos,
        "specformer": _load_specformer,
        "label": _load_given,
        "numbers": _load_given,
        "published": _load_published,
        "fake": _load_fake,
    },
    lambda extension: extension.adapters,
)
