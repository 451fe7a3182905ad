"""Writes the table of decades in docs/scaling.md anew, from the table of constants above it: `python -m docs.scaling`.

`--check` says whether it is true.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import Path

from docs.tables import markdown
from services.cli.plan_tables import format_bytes

PAGE = Path(__file__).resolve().parent / "scaling.md"
OPERATIONS, DIMENSION, PART_ROWS, EMBEDDINGS, K, PERMUTATIONS = 35e9, 768, 128, 36, 10, 1000
PAIRS = EMBEDDINGS * (EMBEDDINGS - 1) // 2
DECADES = range(4, 10)
_CONSTANT = re.compile(r"^\| `(\w+)` \| ([\d.e+-]+) \|", re.MULTILINE)
_TABLE = re.compile(r"(<!-- decades -->\n).*?(<!-- /decades -->)", re.DOTALL)


def read_constants(text: str) -> dict[str, float]:
    """The table of constants, by name."""
    return {name: float(value) for name, value in _CONSTANT.findall(text)}


def count(constant: Mapping[str, float], objects: int) -> list[tuple[str, str]]:
    """What the study of the page takes with so many objects: what, and how much."""
    n, m = float(objects), EMBEDDINGS
    products = n * n * DIMENSION
    parts = -(-objects // PART_ROWS)
    embedding = m * n * (OPERATIONS / constant["network"] + constant["preparing"])
    on_gpus, feeding = m * n * OPERATIONS / constant["gpu_network"], m * n * constant["preparing"]
    searching = m * constant["search"] * 2 * products / constant["product"]
    searching_on_gpus = m * 2 * products / constant["gpu_product"]
    scoring = PAIRS * n * (constant["overlap"] + PERMUTATIONS * constant["relabelling"])
    vectors, tables = (m * n * (4 * numbers + constant["id"]) for numbers in (DIMENSION, K))
    steps = (m * parts + PAIRS) * constant["step"]
    return [
        ("embedding, core-hours", _hours(embedding)),
        ("or GPU-hours", _hours(on_gpus)),
        ("and to feed them, core-hours", _hours(feeding)),
        ("36 exact searches, core-hours", _hours(searching)),
        ("or GPU-hours", _hours(searching_on_gpus)),
        ("630 MKNN with permutations, core-hours", _hours(scoring)),
        ("vectors", format_bytes(vectors)),
        ("neighbour tables", format_bytes(tables)),
        ("parts of an embedding", f"{parts:,}"),
        ("its manifest", format_bytes(parts * constant["part"])),
        ("ids of one embedding in a process", format_bytes(n * constant["memory"])),
        ("between steps, core-hours", _hours(steps)),
    ]


def with_table(text: str) -> str:
    """The page with its table as the constants have it."""
    constant = read_constants(text)
    columns = [count(constant, 10**decade) for decade in DECADES]
    rows = [[what, *(column[row][1] for column in columns)] for row, (what, _) in enumerate(columns[0])]
    table = markdown(["objects", *(f"10^{decade}" for decade in DECADES)], rows)
    return _TABLE.sub(rf"\g<1>{table}\n\g<2>", text)


def _hours(seconds: float) -> str:
    hours = seconds / 3600
    return f"{hours:,.0f}" if hours >= 10 else f"{hours:.2g}"


def main() -> None:
    """Write the table, or with --check exit 1 if it is not true."""
    text = PAGE.read_text(encoding="utf-8")
    if "--check" not in sys.argv:
        PAGE.write_text(with_table(text), encoding="utf-8")
    elif with_table(text) != text:
        raise SystemExit("the table of docs/scaling.md is not as its constants have it: run `python -m docs.scaling`")


if __name__ == "__main__":
    main()
