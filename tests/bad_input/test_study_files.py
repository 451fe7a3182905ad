"""Study files: whatever a file holds, it is a study, or an error that names the file and where it went wrong."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given
from hypothesis import settings as tuned
from hypothesis import strategies as some

from services.study_file import read_study_file
from shared.errors import BadStudy

Refused = Callable[..., AbstractContextManager[None]]
GOOD = "datasets: [mocksky]\nmodels: [fake-small]\n"


def nested(depth: int) -> str:
    return "".join("  " * level + f"k{level}:\n" for level in range(depth))


OWN = "datasets:\n- name: a\n  folder: b\n  modalities: {m: {column: c}}\n  labels:\n    z: "
BILLION_LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
FILES: list[tuple[str, str | bytes, str]] = [
    ("no bytes", "", "sky.yaml is empty"),
    ("white space", " \n\n", "sky.yaml is empty"),
    ("a comment", "# mocksky\n", "sky.yaml is empty"),
    ("an end of document", "...\n", "sky.yaml"),
    ("null", "null\n", "sky.yaml:1: "),
    ("a number", "3\n", "sky.yaml:1: "),
    ("a text", "mocksky\n", "sky.yaml:1: "),
    ("a list", "- datasets: [mocksky]\n", "sky.yaml:1: "),
    ("two documents", f"{GOOD}---\n{GOOD}", "sky.yaml:3: "),
    ("a tab", "datasets: [mocksky]\n\tmodels: [a]\n", "sky.yaml:2: "),
    ("an open bracket", "datasets: [mocksky\nmodels: [a]\n", "sky.yaml:2: "),
    ("an open quote", 'title: "Sky\nmodels: [a]\n', "sky.yaml:"),
    ("a colon too many", "title: a: b\n", "sky.yaml:1: "),
    ("uneven indents", "datasets:\n    - a\n  - b\n", "sky.yaml:3: "),
    ("a key twice", f"{GOOD}models: [b]\n", "sky.yaml:3: the key 'models' stands twice"),
    ("a key twice, deeply", f"{GOOD}scoring:\n  k: 1\n  k: 2\n", "sky.yaml:5: the key 'k' stands twice"),
    ("a key that is a list", "? [a]\n: b\n", "sky.yaml:1: a key must be a plain word"),
    ("a key that is a mapping", "? {a: b}\n: c\n", "sky.yaml:1: a key must be a plain word"),
    ("a key that is a number", f"{GOOD}3: 4\n", "sky.yaml:3: "),
    ("a key that is null", f"{GOOD}~: 4\n", "sky.yaml:3: "),
    ("a key that is true", f"{GOOD}yes: 4\n", "sky.yaml:3: "),
    ("an alias", "datasets: &d [mocksky]\nmodels: *d\n", "sky.yaml:2: aliases are not read"),
    ("an alias of itself", "datasets: &d [*d]\n", "sky.yaml:1: aliases are not read"),
    ("a bomb of aliases", BILLION_LAUGHS, "sky.yaml:2: aliases are not read"),
    ("a merge", f"{GOOD}base: &b {{k: 1}}\nscoring:\n  <<: *b\n", "aliases are not read"),
    ("a merge without an alias", f"{GOOD}scoring:\n  <<: {{k: 1}}\n", "sky.yaml:4: "),
    ("a Python call", "a: !!python/object/apply:os.system [ls]\n", "sky.yaml:1: tags are not read"),
    ("a Python name", "a: !!python/name:os.system\n", "sky.yaml:1: tags are not read"),
    ("a Python module", "!!python/module:os\n", "sky.yaml:1: tags are not read"),
    ("a Python tuple", "models: !!python/tuple [a]\n", "sky.yaml:1: tags are not read"),
    ("a tag of one's own", "models: !mine [a]\n", "sky.yaml:1: tags are not read"),
    ("a binary text", f"{GOOD}title: !!binary aGk=\n", "sky.yaml:3: "),
    ("a binary text that is none", f"{GOOD}title: !!binary é\n", "sky.yaml:3: "),
    ("a set", "models: !!set {a, b}\ndatasets: [mocksky]\n", "sky.yaml:1: "),
    ("a number by its tag that is none", f"{GOOD}scoring:\n  k: !!int ten\n", "sky.yaml:4: "),
    ("a time by its tag that is none", f"{GOOD}title: !!timestamp never\n", "sky.yaml:3: "),
    ("a truth by its tag that is none", f"{GOOD}title: !!bool perhaps\n", "sky.yaml:3: "),
    ("a float by its tag that is none", f"{GOOD}scoring:\n  confidence: !!float x\n", "sky.yaml:4: "),
    ("pairs by their tag", f"{GOOD}scoring: !!pairs [k]\n", "sky.yaml:3: "),
    ("a mapping by its tag that is none", f"{GOOD}scoring: !!map [k]\n", "sky.yaml:3: "),
    ("NaN", f"{GOOD}scoring:\n  confidence: .nan\n", "sky.yaml:4: scoring.confidence: "),
    ("an infinity", f"{GOOD}scoring:\n  confidence: .inf\n", "sky.yaml:4: scoring.confidence: "),
    ("a number in octal", f"{GOOD}scoring:\n  k: 0o17\n", "sky.yaml:4: scoring.k: "),
    ("a number of base sixty", f"{GOOD}scoring:\n  k: 190:20:30\n", "sky.yaml:4: scoring.k: "),
    ("a number of 5,000 digits", f"{GOOD}scoring:\n  k: {'9' * 5000}\n", "sky.yaml:4: "),
    ("a number of 1,000 digits", f"{GOOD}scoring:\n  k: {'9' * 1000}\n", "sky.yaml:4: scoring.k: "),
    ("no for a name", "datasets: [mocksky]\nmodels: [no]\n", "sky.yaml:2: models.0: "),
    ("a number for a name", "datasets: [1.0]\nmodels: [a]\n", "sky.yaml:1: datasets.0: "),
    ("a near field", "datasets: [mocksky]\nmodel: [a]\n", "did you mean models?"),
    ("a near field of a dataset", "datasets: [{name: a, limits: 3}]\nmodels: [a]\n", "did you mean limit?"),
    ("a near policy", f"{GOOD}pairs: [intramodel]\n", "did you mean intramodal?"),
    (
        "a label that is a text",
        f"{OWN}{{column: z}}\n    y: redshift\nmodels: [a]\n",
        "sky.yaml:7: datasets.0.labels.y: ",
    ),
    ("a label of classes yes and no", f"{OWN}{{column: z, classes: [yes, no]}}\nmodels: [a]\n", "not true"),
    ("labels in a list", "datasets: [{name: a, folder: b, modalities: {}, labels: [z]}]\nmodels: [a]\n", "a mapping"),
    ("a folder and a hub id", "datasets: [{name: a, folder: b, hub: c/d, modalities: {}}]\nmodels: [a]\n", "not both"),
    ("a hub id that climbs", "datasets: [{name: a, hub: ../b, modalities: {}}]\nmodels: [a]\n", "OWNER/NAME"),
    ("a title with an escape", f'{GOOD}title: "\\e[2J"\n', "sky.yaml:3: title: should have no control characters"),
    ("a name with an escaped NUL", 'datasets: ["a\\0"]\nmodels: [a]\n', "sky.yaml:1: datasets.0.name: "),
    ("half of a surrogate pair", f'{GOOD}title: "\\ud800"\n', "sky.yaml:3: title: "),
    ("a field with a line feed", f'{GOOD}"a\\nb": 1\n', "sky.yaml:3: "),
    ("a type of number of the processor's", f"{GOOD}dtype: float64\n", "sky.yaml:3: dtype: "),
    ("a near type of number", f"{GOOD}dtype: bf16\n", "should be 'float32', 'bfloat16' or 'float16'"),
    ("two types of number", f"{GOOD}dtype: [float32, float16]\n", "sky.yaml:3: dtype: "),
    ("a NUL", b"datasets: [\x00]\n", "sky.yaml: "),
    ("a bell", b"datasets: [\x07]\n", "sky.yaml: "),
    ("Latin letters", "title: café\n".encode("latin-1"), "sky.yaml is not UTF-8 text (byte 10)"),
    ("UTF-16", GOOD.encode("utf-16"), "sky.yaml is not UTF-8 text (byte 0)"),
    ("a table of Parquet", b"PAR1\x15\x04\x15\xff", "sky.yaml is not UTF-8 text"),
    ("a zip", b"PK\x03\x04\x14\x00\x00\x00\xff", "sky.yaml is not UTF-8 text"),
    ("deep lists", "[" * 5000, "nested too deeply"),
    ("deep mappings", "{a: " * 5000, "nested too deeply"),
    ("deep lines", nested(1200)[: 250 * 1024], "sky.yaml"),
    ("a quarter of a mebibyte and a byte", "#" * (256 * 1024 + 1), "sky.yaml is larger than 256 KiB"),
    ("20,000 models", f"datasets: [mocksky]\nmodels: [{'a, ' * 20_000}]\n", "sky.yaml:2: models: "),
]


@pytest.mark.parametrize(("text", "says"), [pytest.param(*case, id=name) for name, *case in FILES])
def test_a_study_file_is_refused(refused: Refused, tmp_path: Path, text: str | bytes, says: str) -> None:
    file = tmp_path / "sky.yaml"
    file.write_bytes(text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text)
    with refused(BadStudy, says):
        read_study_file(file)


def missing(folder: Path) -> Path:
    return folder / "none.yaml"


def itself(folder: Path) -> Path:
    (folder / "loop.yaml").symlink_to("loop.yaml")
    return folder / "loop.yaml"


def long_name(folder: Path) -> Path:
    return folder / ("x" * 5000)


def with_nul(folder: Path) -> Path:
    return folder / "a\0b.yaml"


PLACES: list[tuple[str, Callable[[Path], Path], str]] = [
    ("that is not there", missing, "No such file"),
    ("that is a folder", lambda folder: folder, "Is a directory"),
    ("that is a link to itself", itself, "Too many levels"),
    ("of a name too long", long_name, "File name too long"),
    ("of a name with a NUL", with_nul, "embedded null"),
]


@pytest.mark.parametrize(("place", "says"), [pytest.param(*case, id=name) for name, *case in PLACES])
def test_a_place_without_a_study_file_is_refused(
    refused: Refused, tmp_path: Path, place: Callable[[Path], Path], says: str
) -> None:
    file = place(tmp_path)
    with refused(BadStudy, says):
        read_study_file(file)


SCALARS = some.none() | some.booleans() | some.integers() | some.floats() | some.text() | some.dates()
VALUES = some.recursive(
    SCALARS, lambda inner: some.lists(inner) | some.dictionaries(some.text(max_size=9), inner), max_leaves=8
)
FIELDS = some.sampled_from(["datasets", "models", "pairs", "scoring", "title", "modles"])
CHARACTERS = some.text(some.sampled_from(" \n\t-:[]{}&*!|>'\"%@`#,?~abk0\x85\ufeff\u2028"), max_size=60)


@tuned(
    max_examples=300,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    some.binary(max_size=200)
    | CHARACTERS.map(str.encode)
    | some.dictionaries(FIELDS, VALUES).map(lambda data: yaml.safe_dump(data, allow_unicode=True).encode())
    | some.tuples(some.integers(0, len(GOOD)), some.binary(max_size=6)).map(
        lambda cut: GOOD.encode()[: cut[0]] + cut[1] + GOOD.encode()[cut[0] :]
    )
)
def test_any_bytes_are_a_study_or_a_named_error(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "sky.yaml"
    file.write_bytes(data)
    try:
        study: Any = read_study_file(file)
    except BadStudy as error:
        said = str(error)
        assert said.startswith("sky.yaml")
        assert said.isprintable()
    else:
        assert study.models
