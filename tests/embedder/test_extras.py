"""Where an optional extra is not installed, the models that need it say how to install it, before the hub is asked."""

from __future__ import annotations

import sys

import pytest

from embedder.adapters.extras import import_extra
from embedder.adapters.loading import load_adapter
from embedder.catalogue.models import find_model, known_models
from shared.contracts import ModelRef
from shared.errors import CheckpointUnavailable
from shared.settings import Settings

MODULES = {"diffusion": ("diffusers", "diffusion"), "chronos": ("chronos.chronos_bolt", "light-curves")}


def pin(name: str) -> ModelRef:
    row = find_model(name)
    shared = row.model_dump(include=ModelRef.model_fields.keys() & type(row).model_fields.keys())
    return ModelRef.model_validate({**shared, "revision": "1" * 40})


@pytest.mark.parametrize("name", [row.name for row in known_models().values() if row.adapter in MODULES])
def test_a_model_says_which_extra_it_needs(name: str, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    module, extra = MODULES[find_model(name).adapter]
    monkeypatch.setitem(sys.modules, module, None)  # as Python has it: importing it is an ImportError
    with pytest.raises(CheckpointUnavailable) as caught:
        load_adapter(pin(name), settings)
    assert f"the package {module.partition('.')[0]}, which this model needs, cannot be imported" in caught.value.wrong
    assert caught.value.remedy == f"in this repository, pip install '.[{extra}]' where the embedder runs"


def test_a_package_that_is_there_is_given() -> None:
    import json

    assert import_extra("json", "none") is json
    with pytest.raises(CheckpointUnavailable, match="the package nowhere, which this model needs"):
        import_extra("nowhere.to_be_found", "none")
