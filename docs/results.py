"""Writes docs/results.md anew: studies of real galaxies, run on this machine, and the checks of the numbers' meaning.

    python -m docs.results [FOLDER]

FOLDER keeps the studies' data (build/results, unless given), so that a second run finds them done.
"""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.planted_truth import Agreement, experiment
from docs.tables import markdown
from embedder.adapters.loading import load_adapter
from embedder.catalogue.models import find_model
from embedder.resolve import resolve_model
from services.client import Client
from services.local import running
from services.trend_table import read_trend_table
from shared.packages import package_versions
from shared.settings import Settings
from shared.states import State
from shared.trends import Trend

ROOT = Path(__file__).resolve().parent.parent
PAPER = ROOT.parent / "shared" / "paper" / "figure1_mknn.csv"
GALAXIES, MODEL = 512, "efficientnet-lite0"
Row = Mapping[str, Any]


def main() -> None:
    """Run what is not done yet, and write the page."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "build" / "results"
    settings = Settings.read()
    with running(settings, folder, any_port=True) as stack, Client(stack.api_url) as client:
        radio, layers, sdss = (run(client, name) for name in ("radio", "radio_layers", "sdss"))
        parts = [introduction(), *radio_part(client, radio), *layer_part(client, layers), *sdss_part(client, sdss)]
    parts += [*paper_part(), *planted_part(settings)]
    (ROOT / "docs" / "results.md").write_text("\n".join(parts), encoding="utf-8")


def run(client: Client, name: str) -> str:
    """The id of an example study, once it is done."""
    study = client.submit(ROOT / "examples" / f"{name}.yaml")
    print(f"{name}: {study.id}", file=sys.stderr)  # noqa: T201
    if client.wait(study.id).state is not State.DONE:
        raise SystemExit(f"{name} is not done: see `samesky status {study.id}`")
    return study.id


def introduction() -> str:
    """What the page is, and what made it."""
    versions = package_versions("samesky", "torch", "transformers", "faiss-cpu", "numpy")
    made = ", ".join(f"{name} {version}" for name, version in versions.items())
    return f"""# What was measured on real galaxies

Every number here was made by `make results` (`python -m docs.results`), without a GPU,
on {os.cpu_count()} cores of {platform.machine()}: {made}.
The studies are those of `examples/`, on tables that lie beside the checkout; each section says its command.
`calibrated` is 0 at or below what unrelated embeddings reach 95 times of 100, and 1 for a perfect score;
[metrics.md](metrics.md) and [probes.md](probes.md) define every word.
"""


def radio_part(client: Client, study: str) -> Iterator[str]:
    """658 radio galaxies."""
    scores = [row for row in client.scores(study) if row["kind"] == "crossmodal"]
    yield """## 658 radio galaxies, seen by FIRST and by NVSS

    samesky submit examples/radio.yaml --watch
    samesky scores

The same patch of sky, 230.4 arcsec wide, with a beam of 5 arcsec (FIRST) and of 45 arcsec (NVSS), by three sizes of
EfficientNet-Lite with ImageNet weights. FR-DEEP v2 (Tang, Scaife & Leahy 2019), FIRST (Becker et al. 1995), NVSS
(Condon et al. 1998).
"""
    yield score_table(row for row in scores if row["k"] in (None, 10))
    yield """SVCCA says nothing here: 99 % of the variance is in hundreds of components, which correlate as well
when the 658 objects are relabelled. That a bare 0.64 looks like agreement is why each number has its null.
"""
    yield "MKNN of other numbers of neighbours, from the same search:\n"
    yield score_table(row for row in scores if row["metric"] == "mknn" and row["k"] != 10)
    yield "### Are larger models more alike? `samesky trend`, `samesky differences`\n"
    yield f"{sentence(client.trend(study))}\n"
    yield difference_table(client.differences(study))
    yield "### What the embeddings know: `samesky probes`\n"
    yield "Redshift (586 known) and Fanaroff-Riley class (I or II): R², and balanced accuracy.\n"
    yield probe_table(client.probes(study))
    yield "### Do models that agree more know more? `samesky links`\n"
    yield link_table(client.links(study))


def layer_part(client: Client, study: str) -> Iterator[str]:
    """Layers of one model."""
    (one,) = client.layers(study)
    best = one["best"]
    yield """## Which layers agree

    samesky submit examples/radio_layers.yaml --watch
    samesky layers
"""
    rows = ([f"`{name}`", *map(three, values)] for name, values in zip(one["left_layers"], one["values"], strict=True))
    yield f"MKNN (k = {one['k']}) of {one['model']}, FIRST down, NVSS across:\n"
    yield markdown(["", *(f"`{name}`" for name in one["right_layers"])], rows) + "\n"
    yield (
        f"The best pair, `{best['left_layer']}` with `{best['right_layer']}`, has {four(best['value'])}. Of unrelated "
        f"layers the best of as many pairs stays below {four(best['threshold'])} (95 %), under the same relabellings "
        f"of all; calibrated against that, it is {four(best['calibrated'])}, p = {short(best['p_value'])}.\n"
    )


def sdss_part(client: Client, study: str) -> Iterator[str]:
    """10,000 galaxies in words."""
    jobs = client.jobs(study)
    rows = {job.modality: (job.rows, sum(job.dropped.values())) for job in jobs}
    told = ", ".join(f"{name}: {total - left} of {total}" for name, (total, left) in rows.items())
    yield f"""## 10,000 galaxies in the words of SDSS and of 2MASS

    samesky submit examples/sdss.yaml --watch

Fluxes in u, g, r, i, z (SDSS) and magnitudes in J, H, K (2MASS), each told in one sentence, which MiniLM embeds;
objects with a vector: {told}. The sentences hold no redshift.
A language model that was never taught photometry sees digits; what it keeps of them is what is measured.
"""
    yield score_table(row for row in client.scores(study) if row["kind"] == "crossmodal")
    yield probe_table(client.probes(study))


def paper_part() -> Iterator[str]:
    """The paper's own figure."""
    if not PAPER.exists():
        return
    rungs, k = read_trend_table(PAPER, "mknn")
    from scorer.trends import measure_trend

    yield f"""## The paper's figure

    samesky trend --csv figure1_mknn.csv

The published scores of arXiv 2509.19453. {sentence(measure_trend(rungs, metric="mknn", k=k))}
The command shows two stricter tests beside it: values permuted within each ladder, and a family's sizes permuted
alike in all surveys.
"""


def planted_part(settings: Settings) -> Iterator[str]:
    """The simulated sky."""
    yield f"""## Where the truth is known

    make planted-truth

{GALAXIES} galaxies of the simulated sky with more and more noise, {MODEL}, k = 10. Agreement rises with
signal-to-noise, and is chance where the galaxies on the other side are others under the same ids.
"""
    adapter = load_adapter(resolve_model(find_model(MODEL), settings), settings)
    for left, right in (("hsc", "jwst"), ("hsc", "legacysurvey")):
        found, strangers = experiment(adapter, GALAXIES, left, right)
        rows = [[f"{noise:g} times", f"{ratio:.3g}", *cells(one)] for noise, (ratio, one) in found.items()]
        rows.append(["other galaxies", "", *cells(strangers)])
        head = [f"{left}, {right}: noise", "peak S/N", "MKNN", "chance", "threshold", "calibrated", "p"]
        yield markdown(head, rows) + "\n"


def cells(one: Agreement) -> list[str]:
    """Value, chance, threshold, calibrated, p."""
    worth = one.worth
    return [*map(four, (one.value, one.chance, worth.threshold, worth.calibrated)), short(worth.p_value)]


def sentence(trend: Trend) -> str:
    """The sign test in words."""
    test = trend.overall.signs
    steps = f"{test.increases} of {test.steps} steps to a larger model raise MKNN"
    return f"{steps} ({test.ties} tied), one-sided sign test p = {short(test.p_value)}."


def score_table(rows: Iterable[Row]) -> str:
    """A row for each metric and model."""
    head = ["metric", "k", "model", "value", "95 % interval", "chance", "calibrated", "p", "q", "n"]
    return _table(
        head,
        rows,
        lambda row: [
            f"`{row['metric']}`",
            "" if row["k"] is None else str(row["k"]),
            row["left_model"],
            four(row["value"]),
            span(row),
            four(row["chance"]),
            four(row["calibrated"]),
            short(row["p_value"]),
            short(row["q_value"]),
            str(row["objects"]),
        ],
    )


def difference_table(rows: Iterable[Row]) -> str:
    """A row for each step."""
    return _table(
        ["from", "to", "difference of MKNN", "95 % interval", "p", "q", "n"],
        rows,
        lambda row: [
            row["smaller_model"],
            row["larger_model"],
            f"{row['difference']:+.4f}",
            f"{row['low']:+.4f} to {row['high']:+.4f}",
            short(row["p_value"]),
            short(row["q_value"]),
            str(row["objects"]),
        ],
    )


def probe_table(rows: Iterable[Row]) -> str:
    """A row for each probe."""
    return _table(
        ["label", "probe", "k", "modality", "model", "value", "folds", "95 % interval", "chance", "p", "q", "n"],
        (row for row in rows if row["k"] in (None, 10)),
        lambda row: [
            row["label"],
            f"`{row['metric']}`",
            "" if row["k"] is None else str(row["k"]),
            row["modality"],
            row["model"],
            three(row["value"]),
            "" if row["folds_std"] is None else f"± {row['folds_std']:.3f}",
            span(row),
            three(row["chance"]),
            short(row["p_value"]),
            short(row["q_value"]),
            str(row["objects"]),
        ],
    )


def link_table(rows: Iterable[Row]) -> str:
    """A row for each label."""
    return _table(
        ["label", "models", "Spearman", "p", "note"],
        rows,
        lambda row: [
            row["label"],
            str(row["models"]),
            "" if row["spearman"] is None else f"{row['spearman']:+.2f}",
            short(row["spearman_p"]),
            row["note"],
        ],
    )


def _table(head: Sequence[str], rows: Iterable[Row], cells_of: Callable[[Row], list[str]]) -> str:
    return markdown(head, map(cells_of, rows)) + "\n"


def span(row: Row) -> str:
    """An interval."""
    return "" if row["low"] is None else f"{row['low']:.3f} to {row['high']:.3f}"


def four(value: float | None) -> str:
    """To four decimals."""
    return "" if value is None else f"{value:.4f}"


def three(value: float | None) -> str:
    """To three decimals."""
    return "" if value is None else f"{value:.3f}"


def short(value: float | None) -> str:
    """To two significant digits."""
    return "" if value is None else f"{value:.2g}"


if __name__ == "__main__":
    main()
