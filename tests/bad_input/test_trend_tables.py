"""Score tables: whatever a CSV file holds, it is scores with a trend, or an error that names file, line and column."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as tuned
from hypothesis import strategies as some

from scorer.trends import measure_trend
from services.trend_table import read_trend_table
from shared.errors import BadTable, MissingColumn, SameSkyError, TooFewSizes, UnknownName

Refused = Callable[..., AbstractContextManager[None]]
HEAD = "modality,family,size,params_millions,mknn_percent\n"
SCORED = (
    "dataset,kind,left_modality,right_modality,left_family,left_model,left_parameters,right_parameters,metric,k,value\n"
)
GOOD = "a,vit,base,86,1.0\na,vit,large,304,2.0\n"
ROW = "sky,crossmodal,hsc,jwst,vit,vit-base,86,86,mknn,10,0.1\n"


def scored(**changes: str) -> str:
    """A table of one row, good but for these cells."""
    names, cells = SCORED.strip().split(","), ROW.strip().split(",")
    return SCORED + ",".join((dict(zip(names, cells, strict=True)) | changes).values()) + "\n"


FILES: list[tuple[str, str | bytes, type[SameSkyError], str]] = [
    ("no bytes", "", BadTable, "sky.csv is empty"),
    ("comments", "# MKNN\n# by size\n", BadTable, "sky.csv is empty"),
    ("white space", " \n\n", BadTable, "sky.csv is empty"),
    ("names alone", HEAD, BadTable, "sky.csv has column names, and nothing below them"),
    ("names and a comment", f"{HEAD}# a,vit,base,86,1\n", BadTable, "nothing below them"),
    ("no names", GOOD, MissingColumn, "sky.csv has no column dataset"),
    ("another table", "name,value\nx,1\n", MissingColumn, "modality, family, size, params_millions, mknn_percent"),
    ("no family", f"{HEAD.replace('family', 'kin')}{GOOD}", MissingColumn, "sky.csv has no column family"),
    ("no value", SCORED.replace("value", "worth") + ROW, MissingColumn, "sky.csv has no column value"),
    ("tabs for commas", f"{HEAD}{GOOD}".replace(",", "\t"), MissingColumn, "has no column"),
    ("a column twice", f"#\n{HEAD.replace('size', 'family')}{GOOD}", BadTable, "sky.csv:2: the column 'family' stands"),
    ("a row too short", f"{HEAD}a,vit,base,86\n", BadTable, "sky.csv:2: 4 values in 5 columns"),
    ("a row too long", f"# x\n\n{HEAD}{GOOD}a,vit,huge,632,3,4\n", BadTable, "sky.csv:6: 6 values in 5 columns"),
    ("a number in words", f"{HEAD}{GOOD}a,vit,huge,many,3\n", BadTable, "sky.csv:4: params_millions: "),
    ("a number with its unit", f"{HEAD}a,vit,huge,632M,3\n", BadTable, "sky.csv:2: params_millions: "),
    ("a comma for a point", f'{HEAD}a,vit,huge,632,"3,1"\n', BadTable, "sky.csv:2: mknn_percent: "),
    ("no parameters", f"{HEAD}a,vit,huge,0,3\n", BadTable, "sky.csv:2: params_millions: should be greater than 0"),
    ("fewer parameters than none", f"{HEAD}a,vit,huge,-1,3\n", BadTable, "sky.csv:2: params_millions: "),
    ("more parameters than there are", f"{HEAD}a,vit,huge,1e300,3\n", BadTable, "sky.csv:2: params_millions: "),
    ("an empty cell", f"{HEAD}a,vit,huge,632,\n", BadTable, "sky.csv:2: mknn_percent: "),
    ("an empty name", f"{HEAD}a,,huge,632,3\n", BadTable, "sky.csv:2: family: "),
    ("NaN", f"{HEAD}a,vit,huge,632,nan\n", BadTable, "sky.csv:2: mknn_percent: "),
    ("an infinity", f"{HEAD}a,vit,huge,632,inf\n", BadTable, "sky.csv:2: mknn_percent: "),
    ("a number too large for one", f"{HEAD}a,vit,huge,632,1e999\n", BadTable, "sky.csv:2: mknn_percent: "),
    ("more than all", f"{HEAD}a,vit,huge,632,100.1\n", BadTable, "sky.csv:2: mknn_percent: "),
    ("less than nothing", f"{HEAD}a,vit,huge,632,-0.1\n", BadTable, "sky.csv:2: mknn_percent: "),
    ("a name with an escape", f"{HEAD}a,\x1b[2J,huge,632,3\n", BadTable, "sky.csv:2: family: should have printable"),
    ("a name over two lines", f'{HEAD}a,"v\nit",huge,632,3\n', BadTable, "sky.csv:3: family: should have printable"),
    ("a name too long", f"{HEAD}a,{'v' * 201},huge,632,3\n", BadTable, "sky.csv:2: family: "),
    ("a size twice", f"{HEAD}{GOOD}a,vit,base,87,3\n", BadTable, "sky.csv:4: base of vit in a stands on line 2 too"),
    ("an open quote", f'{HEAD}a,vit,"huge,632,3\n', BadTable, "sky.csv:2: "),
    ("a quote amid a word", f'{HEAD}a,vit,"hu"ge,632,3\n', BadTable, "sky.csv:2: "),
    ("a cell without end", f"{HEAD}a,vit,{'x' * 200_000},632,3\n", BadTable, "sky.csv:2: "),
    ("a NUL", f"{HEAD}a,\0,huge,632,3\n", BadTable, "sky.csv:2: "),
    ("a kind nobody has", scored(kind="sideways"), BadTable, "sky.csv:2: kind: "),
    ("a near kind", scored(kind="crossmodel"), BadTable, "did you mean crossmodal?"),
    ("a k in words", scored(k="ten"), BadTable, "sky.csv:2: k: "),
    ("a k of nought", scored(k="0"), BadTable, "sky.csv:2: k: "),
    ("a k and a half", scored(k="1.5"), BadTable, "sky.csv:2: k: "),
    ("a value in words", scored(value="high"), BadTable, "sky.csv:2: value: "),
    ("a value that is not finite", scored(value="-inf"), BadTable, "sky.csv:2: value: "),
    ("a value beyond squares", scored(value="1e200"), BadTable, "sky.csv:2: value: "),
    ("a dataset without a name", scored(dataset=""), BadTable, "sky.csv:2: dataset: "),
    ("no crossmodal pair", scored(kind="intramodal"), BadTable, "sky.csv has no crossmodal or crosskind mknn"),
    (
        "no final layer",
        SCORED.replace("value", "value,left_layer,right_layer") + ROW.strip() + ",final,block-03\n",
        BadTable,
        "expected rows of kind crossmodal or crosskind, and of final layers",
    ),
    ("another metric", scored(metric="cka"), UnknownName, "sky.csv has no metric 'mknn'; expected one of cka"),
    (
        "fewer parameters of a pair than none",
        scored(right_parameters="-1"),
        BadTable,
        "sky.csv:2: right_parameters: should be greater",
    ),
    ("a pair of whom", scored(kind="crosskind"), BadTable, "sky.csv:2: a crosskind pair, of which it is not said"),
    (
        "a pair of nobody",
        SCORED.replace("value", "value,right_model,right_family") + ROW.replace("modal", "kind").strip() + ",,\n",
        BadTable,
        "a crosskind pair, of which it is not said which models",
    ),
    ("several k", f"{SCORED}{ROW}{ROW.replace(',10,', ',5,')}", BadTable, "sky.csv has mknn at k = 5 and 10"),
    (
        "a score twice",
        f"{SCORED}{ROW}{ROW}",
        BadTable,
        "sky.csv:3: vit-base of vit in sky: hsc | jwst stands on line 2",
    ),
    (
        "Latin letters",
        f"{HEAD}a,caf\xe9,huge,632,3\n".encode("latin-1"),
        BadTable,
        "sky.csv is not UTF-8 text (byte 55)",
    ),
    ("UTF-16", f"{HEAD}{GOOD}".encode("utf-16"), BadTable, "sky.csv is not UTF-8 text (byte 0)"),
    ("a table of Parquet", b"PAR1\x15\x04\x15\xff", BadTable, "sky.csv is not UTF-8 text"),
    ("eight mebibytes and a byte", "#" * (8 * 1024 * 1024 + 1), BadTable, "sky.csv is larger than 8192 KiB"),
    ("one size", f"{HEAD}a,vit,base,86,1\n", TooFewSizes, "no family can show a trend (a, vit: one size only)"),
    ("two equal sizes", f"{HEAD}a,vit,old,86,1\na,vit,new,86,2\n", TooFewSizes, "neither is the larger"),
]


@pytest.mark.parametrize(("text", "error", "says"), [pytest.param(*case, id=name) for name, *case in FILES])
def test_a_table_is_refused(
    refused: Refused, tmp_path: Path, text: str | bytes, error: type[SameSkyError], says: str
) -> None:
    file = tmp_path / "sky.csv"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    with refused(error, says):
        measure_trend(read_trend_table(file, "mknn")[0], metric="mknn")


ASKED: list[tuple[str, str, str, int | None, type[SameSkyError], str]] = [
    ("a metric that the paper has not", f"{HEAD}{GOOD}", "cka", None, UnknownName, "has no metric 'cka'"),
    ("a k that the paper does not say", f"{HEAD}{GOOD}", "mknn", 10, BadTable, "sky.csv does not say its k"),
    (
        "a k that is not there",
        f"{SCORED}{ROW}",
        "mknn",
        7,
        BadTable,
        "has no crossmodal or crosskind mknn at k = 7; expected k = 10",
    ),
    ("a metric with an escape", f"{SCORED}{ROW}", "\x1b[2J", None, UnknownName, r"has no metric '\x1b[2J'"),
]


@pytest.mark.parametrize(
    ("text", "metric", "k", "error", "says"), [pytest.param(*case, id=name) for name, *case in ASKED]
)
def test_what_a_table_does_not_have_is_refused(
    refused: Refused, tmp_path: Path, text: str, metric: str, k: int | None, error: type[SameSkyError], says: str
) -> None:
    file = tmp_path / "sky.csv"
    file.write_text(text)
    with refused(error, says):
        read_trend_table(file, metric, k)


cells = some.one_of(some.text(max_size=8), some.floats().map(str), some.sampled_from(["crossmodal", "mknn", "10", '"']))
tables = some.one_of(
    some.binary(max_size=200),
    some.lists(some.lists(cells, min_size=5, max_size=5).map(",".join), max_size=5).map(
        lambda rows: (HEAD + "\n".join(rows)).encode("utf-8", "surrogatepass")
    ),
    some.lists(some.lists(cells, min_size=11, max_size=11).map(",".join), max_size=5).map(
        lambda rows: (SCORED + "\n".join(rows)).encode("utf-8", "surrogatepass")
    ),
)


@given(content=tables)
@tuned(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_are_a_trend_or_a_named_error(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "any.csv"
    file.write_bytes(content)
    refusal = ""
    try:
        rungs, k = read_trend_table(file, "mknn")
        assert measure_trend(rungs, metric="mknn", k=k).overall.signs.steps > 0
    except (BadTable, MissingColumn, UnknownName, TooFewSizes) as error:
        refusal = str(error)
    assert refusal.isprintable()
