"""Nothing from outside is executed: read off the syntax of every file of ours, and shown to catch what it forbids."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.settings import TABLE

ROOT = Path(__file__).resolve().parent.parent
FILES = sorted(
    path
    for room in ("services", "embedder", "scorer", "shared", "samesky", "examples", "benchmarks", "docs")
    for path in (ROOT / room).rglob("*.py")
)
# Modules that turn bytes into code or objects of any class.
UNSAFE_MODULES = {"pickle", "cPickle", "_pickle", "shelve", "marshal", "dill", "cloudpickle", "joblib", "jsonpickle"}
HARMLESS = {"UnpicklingError"}  # what torch.load raises of a file it will not read
UNSAFE_CALLS = {"eval", "exec", "compile", "__import__", "os.system", "os.popen", "yaml.load", "yaml.unsafe_load"}


def faults(source: str) -> Iterator[str]:
    """What a file may not hold, with its line."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""] if {alias.name for alias in node.names} - HARMLESS else []
        else:
            names = []
        yield from (f"{node.lineno}: imports {name}" for name in names if name.split(".")[0] in UNSAFE_MODULES)
        if isinstance(node, ast.Call):
            yield from (f"{node.lineno}: {fault}" for fault in _call_faults(node))


def _call_faults(call: ast.Call) -> Iterator[str]:
    name = ast.unparse(call.func)
    given = {word.arg: word.value for word in call.keywords}
    if name in UNSAFE_CALLS:
        yield f"calls {name}"
    if name == "torch.load" and not _is(given.get("weights_only"), True):
        yield "torch.load without weights_only=True"
    for word, only in (("trust_remote_code", False), ("allow_pickle", False), ("shell", False), ("weights_only", True)):
        if word in given and not _is(given[word], only):
            yield f"{word} is not {only}"
    if None in given and name == "torch.load":
        yield "torch.load takes its arguments from elsewhere"


def _is(node: ast.expr | None, value: bool) -> bool:
    return isinstance(node, ast.Constant) and node.value is value


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_executes_nothing_from_outside(path: Path) -> None:
    assert not list(faults(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "import os, shelve",
        "from pickle import UnpicklingError, loads",
        "from marshal import loads",
        "from joblib.externals import x",
        "torch.load(f)",
        "torch.load(f, weights_only=False)",
        "torch.load(f, weights_only=safe)",
        "torch.load(f, weights_only=True, **more)",
        "AutoModel.from_pretrained(name, trust_remote_code=True)",
        "AutoModel.from_pretrained(name, trust_remote_code=flag)",
        "numpy.load(f, allow_pickle=True)",
        "subprocess.run(line, shell=True)",
        "def f():\n    import pickle as p",
        "yaml.load(text)",
        "eval(text)",
    ],
)
def test_what_is_forbidden_is_found(source: str) -> None:
    assert list(faults(source))


def test_what_is_allowed_is_let_be() -> None:
    loads = "torch.load(f, map_location='cpu', weights_only=True)\nnumpy.load(f, allow_pickle=False)\n"
    assert not list(faults(f"import json\nfrom pickle import UnpicklingError\n{loads}"))


def test_the_rule_about_weights_meets_the_weights() -> None:
    assert "efficientnet.py" in {path.name for path in FILES if "torch.load(" in path.read_text(encoding="utf-8")}


def test_every_test_that_the_threat_model_names_exists() -> None:
    text = (ROOT / "docs/security.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:tests|services|docker)/[\w./]+)`", text))
    assert len(named) >= 10
    assert not [name for name in named if not (ROOT / name).exists()]
    settings = {row.name for row in TABLE}
    assert set(re.findall(r"SAMESKY_[A-Z_]+", text)) <= settings
