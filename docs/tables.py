"""The tables of the README and of docs/, made from the code. `--check` says whether they are true."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from embedder.catalogue.datasets import known_datasets
from embedder.catalogue.models import listed_models
from embedder.catalogue.rows import ModelRow
from embedder.recipes import RECIPES
from scorer.metrics import METRICS, PROBES, Metric
from services.api import ENDPOINTS
from services.meters import TABLE as METERS
from shared.settings import TABLE

ROOT = Path(__file__).resolve().parent.parent


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def settings() -> str:
    """Every setting."""
    rows = ([f"`{row.name}`", f"`{row.default}`" if row.default else "", row.unit, row.help] for row in TABLE)
    return markdown(["setting", "default", "unit", "what it is"], rows)


def families() -> str:
    """Every listed family, with the names and sizes of its models."""
    families: dict[str, list[ModelRow]] = {}
    for row in listed_models():
        families.setdefault(row.family, []).append(row)
    rows = (
        [
            family,
            sizes[0].takes,
            ", ".join(f"`{row.name}` {_millions(row.parameters)}".strip() for row in sizes),
            sizes[0].licence,
        ]
        for family, sizes in families.items()
    )
    return markdown(["family", "takes", "models, million parameters", "licence"], rows)


def _millions(parameters: float) -> str:
    return f"{parameters:,.0f}" if parameters >= 100 else f"{parameters:.3g}"


def models() -> str:
    """Every listed model."""
    rows = (
        [
            f"`{row.name}`",
            f"{row.parameters:g}",
            f"`{row.checkpoint}`",
            row.pooling,
            f"{row.blocks or ''}",
            ", ".join(f"{name}: {json.dumps(value)}" for name, value in row.options.items()),
            row.licence,
        ]
        for row in listed_models()
    )
    return markdown(["model", "million parameters", "checkpoint", "vector", "blocks", "options", "licence"], rows)


def recipes() -> str:
    """Every recipe, by what it takes."""
    found = sorted((RECIPES.find(name) for name in RECIPES.names()), key=lambda recipe: (recipe.kind, recipe.name))
    said = ((recipe, (recipe.prepare.__doc__ or "").split("\n")[0].partition(": ")[2]) for recipe in found)
    rows = ([f"`{recipe.name}`", recipe.kind, first[:1].upper() + first[1:]] for recipe, first in said)
    return markdown(["recipe", "of", "what a model is shown"], rows)


def datasets() -> str:
    """Every listed dataset."""
    rows = (
        [
            f"`{row.name}`",
            row.title,
            ", ".join(f"`{modality.name}`" for modality in row.modalities),
            ", ".join(f"`{label}`" for label in row.labels),
            f"`{row.location}`" if row.location else "",
        ]
        for row in known_datasets().values()
    )
    return markdown(["dataset", "what it is", "modalities", "labels", "where from"], rows)


def endpoints() -> str:
    """Every endpoint of the api."""
    rows = ([f"`{endpoint.method} {endpoint.path}`", endpoint.summary] for endpoint in ENDPOINTS)
    return markdown(["endpoint", "what it gives"], rows)


def metrics() -> str:
    """Every metric and every probe."""
    rows: list[tuple[str, Metric[Any]]] = [("pairs", metric) for metric in METRICS.values()]
    rows += [("labels", probe) for probe in PROBES.values()]
    return markdown(
        ["metric", "what it is", "of", "for each k", "after"],
        ([f"`{row.name}`", row.title, of, "yes" if row.per_k else "", row.paper] for of, row in rows),
    )


def meters() -> str:
    """Everything that /metrics shows."""
    rows = (
        [f"`{meter.name}`", meter.kind, ", ".join(f"`{label}`" for label in meter.labels), meter.help]
        for meter in METERS
    )
    return markdown(["metric", "kind", "labels", "what it is"], rows)


PAGES: dict[str, dict[str, Callable[[], str]]] = {
    "README.md": {
        "settings": settings,
        "families": families,
        "datasets": datasets,
        "endpoints": endpoints,
        "metrics": metrics,
    },
    "docs/models.md": {"models": models},
    "docs/datasets.md": {"recipes": recipes},
    "docs/seeing.md": {"meters": meters},
}


def with_tables(page: str, text: str) -> str:
    """`text` of a page with what stands between each pair of markers made anew."""
    for name, table in PAGES[page].items():
        marked = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
        if not marked.search(text):
            raise SystemExit(f"{page} has no markers for the table {name!r}")
        made = table().replace("\\", r"\\")
        text = marked.sub(rf"\g<1>{made}\n\g<2>", text)
    return text


def main() -> None:
    """Write the tables, or with --check exit 1 if they are not as the code has them."""
    for page in PAGES:
        file = ROOT / page
        text = file.read_text(encoding="utf-8")
        true = with_tables(page, text)
        if "--check" not in sys.argv:
            file.write_text(true, encoding="utf-8")
        elif true != text:
            raise SystemExit(f"the tables of {page} are not as the code has them: run `make readme`")


if __name__ == "__main__":
    main()
