"""From a pinned model to its loaded adapter. A model library is imported when a model of its kind is met."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from embedder.adapters.base import Adapter
from embedder.extensions import Registry
from embedder.hub import open_stand_in
from shared.contracts import Dtype, ModelRef
from shared.errors import CheckpointUnavailable
from shared.settings import Settings

Load = Callable[[ModelRef, Dtype, Settings], Adapter]


def load_adapter(model: ModelRef, settings: Settings, dtype: Dtype = "float32") -> Adapter:
    """The model, ready to run on the device of SAMESKY_DEVICE. dtype: what its network computes in.

    Raises UnknownName for an adapter that is not installed, CheckpointUnavailable, HubUnavailable, BadSetting.
    """
    return ADAPTERS.find(model.adapter)(model, dtype, settings)


class KeptAdapter:
    """The model that was loaded last: asked for again, it is there; before another is loaded, it is let go.

    So no two models are in memory at once.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._kept: dict[tuple[ModelRef, Dtype], Adapter] = {}

    def load(self, model: ModelRef, dtype: Dtype) -> Adapter:
        """The model, ready to run. Raises what `load_adapter` raises."""
        if (model, dtype) not in self._kept:
            self._kept.clear()
            self._kept[model, dtype] = load_adapter(model, self._settings, dtype)
        return self._kept[model, dtype]


def _of_hub(module: str) -> Load:
    """Of `embedder.adapters.MODULE`: `load_MODULE(model, folder, device, dtype)`, the folder a stand-in for the hub."""

    def load(model: ModelRef, dtype: Dtype, settings: Settings) -> Adapter:
        folder = open_stand_in("model", model.checkpoint, model.revision, settings)
        from embedder.device import choose_device, find_dtype

        function = getattr(import_module(f"embedder.adapters.{module}"), f"load_{module}")
        adapter: Adapter = function(model, folder, choose_device(settings.device, settings.threads), find_dtype(dtype))
        return adapter

    return load


def _load_efficientnet(model: ModelRef, dtype: Dtype, settings: Settings) -> Adapter:
    from embedder.adapters.efficientnet import load_efficientnet
    from embedder.device import choose_device, find_dtype

    return load_efficientnet(model, choose_device(settings.device, settings.threads), find_dtype(dtype))


def _load_text_wheel(model: ModelRef, dtype: Dtype, settings: Settings) -> Adapter:
    from embedder.adapters.hf_text import load_text_wheel
    from embedder.device import choose_device, find_dtype

    return load_text_wheel(model, choose_device(settings.device, settings.threads), find_dtype(dtype))


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


def _load_fake(model: ModelRef, dtype: Dtype, settings: Settings) -> Adapter:
    del dtype, settings
    from embedder.adapters.fake import load_fake

    return load_fake(model)


ADAPTERS = Registry[Load](
    "adapter",
    {
        "efficientnet": _load_efficientnet,
        "hf-vision": _of_hub("hf_vision"),
        "hf-clip": _of_hub("hf_clip"),
        "hf-vision-language": _of_hub("hf_vision_language"),
        "hf-text": _of_hub("hf_text"),
        "hf-text-wheel": _load_text_wheel,
        "specformer": _of_hub("specformer"),
        "astropt": _of_hub("astropt"),
        "aion": _of_hub("aion"),
        "diffusion": _of_hub("diffusion"),
        "chronos": _of_hub("chronos"),
        "label": _load_given,
        "numbers": _load_given,
        "published": _load_published,
        "fake": _load_fake,
    },
    lambda extension: extension.adapters,
)
