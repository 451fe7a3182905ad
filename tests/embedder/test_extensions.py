"""Packages that add models and datasets: the example as a user installs it, and some that are not as they should be."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from embedder.adapters.loading import ADAPTERS
from embedder.catalogue.datasets import known_datasets
from embedder.catalogue.models import known_models
from embedder.extensions import extensions
from shared.errors import BadExtension, SameSkyError, UnknownName

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "extension"

# What a study does with the example's model and dataset, from names to a score.
_STUDY = """
import json, sys
from embedder.catalogue.datasets import known_datasets
from embedder.catalogue.models import find_model, known_models, listed_models
assert "samesky_spirals.morphology" not in sys.modules and "samesky_spirals.drawing" not in sys.modules
from embedder.adapters.loading import load_adapter
from embedder.pipeline import embed_part, finish
from embedder.resolve import resolve_dataset, resolve_model
from embedder.sources.kinds import open_source
from shared.contracts import Scoring
from shared.outcomes import Attempt
from shared.planning import expand
from shared.requests import DatasetRequest
from shared.settings import Settings
from shared.store import MemoryStore

settings = Settings.read({"SAMESKY_THREADS": "1"})
row = find_model("morphology")
seen = resolve_dataset(DatasetRequest(name="spirals", limit=60), settings)
study = expand([seen], [resolve_model(row, settings)], ["crossmodal"], Scoring(), created_at="now")
store, attempt = MemoryStore(), Attempt(name="one", worker="test")
for spec in study.embeddings:
    source, adapter = open_source(spec.dataset, settings), load_adapter(spec.model, settings)
    for index in range(spec.parts()):
        embed_part([spec], index, source=source, adapter=adapter, store=store, attempt=attempt, batch=16,
                   on_rows=lambda rows: None)
    assert finish(spec, store).dimension == 33
from scorer.pipeline import score
record = score(study.scores()[0], store=store, threads=1, attempt=attempt)
print(json.dumps({
    "listed": row in listed_models(), "dataset": known_datasets()["spirals"].title, "n": record.objects,
    "mknn": record.results[0].value, "chance": 10 / 59,
}))
"""


def run(arguments: list[str], *paths: Path) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SAMESKY_")}
    places = os.pathsep.join([str(path) for path in paths] + [str(ROOT)])
    return subprocess.run(
        [sys.executable, *arguments],
        env={**environment, "PYTHONPATH": places},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def add_package(folder: Path, name: str, code: str, *, module: str | None = None, value: str = "EXTENSION") -> Path:
    """A package as pip leaves it: a module, and a folder of metadata with its entry point."""
    module = module or f"module_{name}"
    (folder / f"{module}.py").write_text(code)
    metadata = folder / f"package_{name}-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: package-{name}\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(f"[samesky.extensions]\n{name} = {module}:{value}\n")
    return folder


def test_the_example_is_installed_and_studied(tmp_path: Path) -> None:
    install = ["-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--disable-pip-version-check"]
    copied = tmp_path / "source"
    for file in (EXAMPLE / "pyproject.toml", *sorted((EXAMPLE / "samesky_spirals").glob("*.py"))):
        place = copied / file.relative_to(EXAMPLE)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(file.read_bytes())
    installed = run([*install, "--target", str(tmp_path / "site"), str(copied)])
    assert installed.returncode == 0, installed.stderr
    done = run(["-c", _STUDY], tmp_path / "site")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["listed"]
    assert said["dataset"] == "Drawn spiral galaxies, sharp and blurred"
    assert said["n"] == 60
    assert said["mknn"] > 2 * said["chance"]


_TAKEN = """
from embedder.catalogue.families import vision
from embedder.extensions import Extension
EXTENSION = Extension(models=(vision.ROWS[0],))
"""
_ADAPTER = """
from embedder.extensions import Extension
EXTENSION = Extension(adapters={"%s": "%s"})
"""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder where packages are looked for, by this process too; what was found there is forgotten afterwards."""
    remembered = (extensions, known_models, known_datasets)
    monkeypatch.syspath_prepend(tmp_path)
    for each in remembered:
        each.cache_clear()
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith("module_")]:
        del sys.modules[name]
    for each in remembered:
        each.cache_clear()


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("import no_such_library", "cannot be loaded: ModuleNotFoundError: No module named 'no_such_library'"),
        ("EXTENSIONS = 1", "cannot be loaded: AttributeError"),
        ("EXTENSION = ", "cannot be loaded: SyntaxError"),
        ("EXTENSION = {'models': []}", "is a dict; expected an embedder.extensions.Extension"),
        (_ADAPTER % ("mine", "not a place"), "cannot be loaded: ValidationError"),
        (_TAKEN, "extension wrong adds efficientnet-lite0, which is there already"),
    ],
    ids=["import", "name", "syntax", "type", "reference", "taken"],
)
def test_a_package_that_cannot_add_is_named(code: str, words: str, site: Path) -> None:
    add_package(site, "wrong", code)
    with pytest.raises(BadExtension, match=re.escape(words)):
        known_models()


def test_a_service_does_not_start_with_such_a_package(tmp_path: Path) -> None:
    add_package(tmp_path, "wrong", "import no_such_library")
    done = run(["-m", "services.cli", "api"], tmp_path)
    assert done.returncode == 2
    (line,) = done.stderr.strip().splitlines()
    assert "extension wrong of package-wrong cannot be loaded" in line
    assert "mend package-wrong, or uninstall it" in line


@pytest.mark.parametrize(
    ("added", "asked", "error", "words"),
    [
        (("mine", "module_mine:lode"), "mine", BadExtension, "adapter mine cannot be loaded: AttributeError"),
        (("mine", "module_mine:load"), "mind", UnknownName, "did you mean mine"),
        (("fake", "module_mine:load"), "mine", BadExtension, "adds fake, which is there already"),
    ],
    ids=["not there", "near", "taken"],
)
def test_an_adapter_that_cannot_be_had_is_named(
    added: tuple[str, str], asked: str, error: type[SameSkyError], words: str, site: Path
) -> None:
    add_package(site, "mine", _ADAPTER % added + "def load(model, dtype, settings): ...\n")
    with pytest.raises(error, match=words):
        ADAPTERS.find(asked)


def test_an_adapter_of_a_package_is_imported_when_it_is_met(site: Path) -> None:
    add_package(site, "mine", _ADAPTER % ("mine", "module_of_mine:load"))
    (site / "module_of_mine.py").write_text("def load(model, dtype, settings): ...\n")
    assert "mine" in ADAPTERS.names()
    assert "module_of_mine" not in sys.modules
    assert ADAPTERS.find("mine") is sys.modules["module_of_mine"].load


def test_two_packages_of_one_name_are_refused(site: Path) -> None:
    for number in "12":
        add_package(site, "same", _ADAPTER % (f"adapter-{number}", "a:b"), module=f"module_{number}")
        metadata = (site / "package_same-1.0.dist-info").rename(site / f"package_{number}-1.0.dist-info") / "METADATA"
        metadata.write_text(metadata.read_text().replace("package-same", f"package-{number}"))
    with pytest.raises(BadExtension, match="two packages have an extension same"):
        extensions()
