"""The tables of models and datasets, and that reading them is light."""

from __future__ import annotations

import subprocess
import sys

import pytest

from embedder.adapters.loading import ADAPTERS
from embedder.catalogue.datasets import find_dataset, known_datasets
from embedder.catalogue.models import find_model, known_models, label_model, listed_models
from embedder.recipes import check_recipe
from embedder.samples import entry_columns
from embedder.sources.mocksky import LABELS, MODALITIES, VERSION
from shared.errors import UnknownName


def test_every_model_has_an_adapter_and_parts_of_a_power_of_two() -> None:
    for row in known_models().values():
        assert row.adapter in ADAPTERS.names()
        assert row.part_rows & (row.part_rows - 1) == 0
        assert row.revision == "main" if row.origin == "hub" else row.revision != "main"


def test_families_of_the_paper_are_listed_and_fakes_are_not() -> None:
    sizes: dict[str, list[str]] = {}
    for row in listed_models():
        sizes.setdefault(row.family, []).append(row.size)
    expected = {
        "efficientnet-lite": ["lite0", "lite1", "lite2"],
        "vit": ["base", "large", "huge"],
        "dinov2": ["small", "base", "large", "giant"],
        "convnextv2": ["nano", "tiny", "base", "large"],
        "ijepa": ["huge", "giant"],
        "dinov3": ["vits16", "vits16plus", "vitb16", "vitl16", "vith16plus", "vit7b16"],
        "vjepa2": ["large", "huge", "giant"],
        "vit-mae": ["base", "large", "huge"],
        "hiera": ["tiny", "small", "base", "base-plus", "large", "huge"],
        "minilm": ["l6"],
        "bge": ["small", "base", "large"],
        "qwen3-embedding": ["0.6b", "4b", "8b"],
    }
    assert {family: sizes.get(family) for family in expected} == expected
    assert not {"fake", "label"} & set(sizes)
    assert find_model("fake-small").family == "fake"
    assert find_model("label") == label_model()


def test_each_kind_of_data_has_the_models_that_take_it() -> None:
    families: dict[str, set[str]] = {}
    for row in known_models().values():
        families.setdefault(row.takes, set()).add(row.family)
    assert families["image"] >= {"efficientnet-lite", "vit", "dinov2", "convnextv2", "ijepa", "fake"}
    assert families["text"] >= {"minilm", "bge", "qwen3-embedding"}
    assert (families["label"], families["numbers"]) == ({"label"}, {"numbers"})


def test_sizes_of_a_family_grow() -> None:
    for family in {row.family for row in known_models().values()}:
        parameters = [row.parameters for row in known_models().values() if row.family == family]
        assert parameters == sorted(set(parameters))


@pytest.mark.parametrize(("asked", "near"), [("vit-bse", "vit-base"), ("efficientnet-light0", "efficientnet-lite0")])
def test_an_unknown_model_is_answered_with_near_ones(asked: str, near: str) -> None:
    with pytest.raises(UnknownName, match=near):
        find_model(asked)


def test_an_unknown_dataset_is_answered_with_near_ones() -> None:
    with pytest.raises(UnknownName, match="did you mean jwst_hsc"):
        find_dataset("jwst_hs")


def test_every_modality_can_be_shown_by_its_recipe() -> None:
    for row in known_datasets().values():
        for modality in (*row.modalities, *row.label_modalities()):
            check_recipe(modality)


def test_framings_are_whole_numbers_of_the_reference_pixels() -> None:
    hsc, jwst, legacy = find_dataset("mocksky").modalities[:3]
    assert hsc.field_arcsec is not None
    assert legacy.field_arcsec is not None
    assert jwst.field_arcsec is None
    assert hsc.field_arcsec / 0.168 == pytest.approx(28, abs=1e-9)
    assert legacy.field_arcsec / 0.262 == pytest.approx(18, abs=1e-9)


def test_the_row_of_mocksky_says_what_mocksky_is() -> None:
    row = find_dataset("mocksky")
    assert row.simulated
    assert row.revision == VERSION
    assert row.labels == {label.name: label.unit for label in LABELS}
    assert tuple(modality.name for modality in row.modalities) == (*MODALITIES, "catalogue")
    for modality in (row.modalities[-1], *row.label_modalities()):
        assert set(entry_columns(modality)) <= {label.name for label in LABELS}


def test_a_label_of_the_catalogue_stands_in_the_column_of_its_name() -> None:
    (mass,) = (label for label in find_dataset("mocksky").label_modalities() if label.name == "log_stellar_mass")
    assert (mass.kind, mass.column, mass.recipe, mass.unit) == ("label", "log_stellar_mass", "label-v1", "dex(solMass)")


def test_accepting_a_study_loads_no_model_library() -> None:
    script = (
        "import sys, embedder.catalogue.models, embedder.catalogue.datasets\n"
        "heavy = {'torch', 'transformers', 'pyarrow', 'astropy', 'scipy', 'datasets', 'numpy'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
        "from embedder.resolve import resolve_dataset\n"
        "from shared.requests import DatasetRequest\n"
        "from shared.settings import Settings\n"
        "resolve_dataset(DatasetRequest(name='mocksky'), Settings.read({}))\n"
        "heavy = {'torch', 'transformers', 'astropy', 'scipy', 'PIL'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
