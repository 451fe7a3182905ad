"""Study files: read as meant, or refused with file, line and field."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.study_file import read_study_file
from shared.errors import BadStudy

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"


def write(folder: Path, text: str | bytes) -> Path:
    file = folder / "sky.yaml"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return file


def test_the_examples_are_studies() -> None:
    radio = read_study_file(EXAMPLES / "radio.yaml")
    assert radio.datasets[0].folder == str(EXAMPLES.parents[1] / "shared/data/radio_first_nvss")
    assert isinstance(radio.datasets[0].modalities, dict)
    assert radio.datasets[0].modalities["first"].field_arcsec == 230.4
    assert set(radio.datasets[0].labels) == {"redshift", "fr_class"}
    assert read_study_file(EXAMPLES / "mocksky.yaml").datasets[0].limit == 512
    sdss = read_study_file(EXAMPLES / "sdss.yaml").datasets[0]
    assert isinstance(sdss.modalities, dict)
    told = [column.name for seen in sdss.modalities.values() for column in seen.columns]
    assert isinstance(sdss.labels, dict)
    assert len(told) == 8
    assert sdss.labels["redshift"].column not in told


def test_a_relative_folder_is_taken_from_the_file(tmp_path: Path) -> None:
    text = "datasets: [{name: a, folder: ../tables, modalities: {x: {column: c, bands: [g]}}}]\nmodels: [m]\n"
    (tmp_path / "studies").mkdir()
    study = read_study_file(write(tmp_path / "studies", text))
    assert study.datasets[0].folder == str(tmp_path / "tables")
    absolute = read_study_file(write(tmp_path, text.replace("../tables", "/data/tables")))
    assert absolute.datasets[0].folder == "/data/tables"


def test_networks_compute_in_float32_unless_another_is_asked_for(tmp_path: Path) -> None:
    text = "datasets: [mocksky]\nmodels: [vit-base]\n"
    assert read_study_file(write(tmp_path, text)).dtype == "float32"
    assert read_study_file(write(tmp_path, f"{text}dtype: bfloat16\n")).dtype == "bfloat16"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("datasets: [mocksky]\nmodels:\n  - vit-base\n  - Vit Large\n", "sky.yaml:4: models.1: "),
        (
            "datasets: [mocksky]\nmodls: [vit-base]\n",
            "sky.yaml:2: modls: there is no such field (and 1 more); did you mean models?",
        ),
        ("datasets: [mocksky]\nmodels: [a]\nscorng:\n  k: 3\n", "sky.yaml:3: scorng: there is no such field; did you "),
        (
            "models: [a]\ndatasets:\n- name: x\n  folder: y\n  modalities:\n    r:\n      colum: c\n",
            "sky.yaml:7: datasets.0.modalities.r.colum: there is no such field (and 1 more); "
            "did you mean column or columns?",
        ),
        (
            "models: [a]\ndatasets:\n- name: x\n  folder: y\n  modalities:\n    r:\n      column: c\n      band: [g]\n",
            "sky.yaml:8: datasets.0.modalities.r.band: there is no such field; did you mean bands?",
        ),
        (
            "models: [a]\ndatasets:\n- {name: x, folder: y, modalities: {}, labels: {z: {column: c, missing: [[]]}}}\n",
            "sky.yaml:3: datasets.0.labels.z.missing.0: should be a valid",
        ),
        ("datasets: [mocksky]\nmodels: [a]\nscoring:\n  k: ten\n", "sky.yaml:4: scoring.k: should be a valid integer"),
        ("datasets: [mocksky]\nmodels: vit-base\n", "sky.yaml:2: models: should be a list, not 'vit-base'"),
        ("datasets: [mocksky]\nmodels: [no]\n", "sky.yaml:2: models.0: should be a valid string, not false"),
        ("datasets: [mocksky]\nmodels: []\n", "sky.yaml:2: models: should not be empty"),
        ("models: [a]\nmodels: [b]\n", "sky.yaml:2: the key 'models' stands twice"),
        ("models: [a\ndatasets: [b]\n", "sky.yaml:2: "),
        ("models: [a]\n\tdatasets: b\n", "sky.yaml:2: "),
        ("a: &x [1]\nb: *x\n", "sky.yaml:2: aliases are not read"),
        ("a: !!python/object/apply:os.system [ls]\n", "sky.yaml:1: tags are not read"),
        ("? [a, b]\n: c\n", "sky.yaml:1: a key must be a plain word"),
        ("---\na: 1\n---\nb: 2\n", "sky.yaml:3: "),
        ("- 1\n", "sky.yaml:1: should be a valid dictionary"),
        ("", "sky.yaml is empty"),
        ("[" * 3_000, "sky.yaml: it is nested too deeply"),
        ("#" * 300_000, "sky.yaml is larger than 256 KiB"),
        (b"models: [\xff]", "sky.yaml is not UTF-8 text"),
        (b"models: [\x00]", "sky.yaml: "),
    ],
)
def test_a_malformed_file_is_refused_by_line_and_field(tmp_path: Path, text: str | bytes, message: str) -> None:
    with pytest.raises(BadStudy) as caught:
        read_study_file(write(tmp_path, text))
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_a_date_is_the_text_it_was(tmp_path: Path) -> None:
    study = read_study_file(write(tmp_path, "title: 2026-01-31\ndatasets: [mocksky]\nmodels: [a]\n"))
    assert study.title == "2026-01-31"


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadStudy, match=r"none\.yaml cannot be read: No such file"):
        read_study_file(tmp_path / "none.yaml")
