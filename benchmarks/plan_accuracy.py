"""How near a plan comes to what its study takes: `python -m benchmarks.plan_accuracy`, about 10 minutes.

The demonstration and the study of radio galaxies, each on an empty installation of its own: planned, run to its end,
and planned again with one object less, so that nothing is done already, now by the records of the run. Held against
the plan are the seconds of parts and of scores as their records have them, the bytes of the store, and the time from
submission to the last score. mocksky's images are rendered before, since that is done once for a machine.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from benchmarks.ratios import Row
from embedder.catalogue.datasets import find_dataset
from embedder.sources.mocksky.source import MockSky
from services import demo
from services.client import Client, read_request
from services.ledger import Ledger
from services.local import running
from shared import keys
from shared.contracts import Study
from shared.embeddings import read_manifest
from shared.outcomes import ScoreRecord
from shared.plans import StudyPlan
from shared.records import read_record
from shared.requests import StudyRequest
from shared.settings import Settings
from shared.states import State
from shared.store import DirectoryStore, ObjectStore

RADIO = Path(__file__).resolve().parent.parent / "examples" / "radio.yaml"
GALAXIES, TARGET = 512, "0.5 to 2"
Place = tuple[str, str, str]


class Taken(NamedTuple):
    """What a study took. passes: seconds of parts by dataset, modality and model. elapsed: from submission to end."""

    passes: Mapping[Place, float]
    scoring: float
    written: int
    elapsed: float


class Trial(NamedTuple):
    """A study: planned when nothing was known, run, and planned again by its records."""

    before: StudyPlan
    after: StudyPlan
    taken: Taken


def run(name: str, request: StudyRequest, folder: Path) -> Trial:
    """Plan a study, run it, plan it again. folder: where there is nothing yet."""
    fewer = [dataset.model_copy(update={"limit": (dataset.limit or 658) - 1}) for dataset in request.datasets]
    with running(Settings.read(), folder, any_port=True) as stack, Client(stack.api_url) as client:
        before = client.plan(request)
        began = time.monotonic()
        progress = client.wait(client.submit(request).id)
        elapsed = time.monotonic() - began
        if progress.state is not State.DONE:
            raise SystemExit(f"{name} ended {progress.state}")
        after = client.plan(request.model_copy(update={"datasets": tuple(fewer)}))
    store = DirectoryStore(folder / "store")
    passes, scoring = read_seconds(store, Ledger(store).study(progress.id))
    written = sum(path.stat().st_size for path in (folder / "store").rglob("*") if path.is_file())
    return Trial(before, after, Taken(passes, scoring, written, elapsed))


def read_seconds(store: ObjectStore, study: Study) -> tuple[dict[Place, float], float]:
    """Seconds of the parts of each pass, and of all scores, as the records have them."""
    passes: dict[Place, float] = defaultdict(float)
    for spec in study.embeddings:
        manifest = read_manifest(store, spec)
        parts = manifest.parts if manifest else ()
        passes[spec.dataset.name, spec.modality.name, spec.model.name] += sum(part.seconds for part in parts)
    records = (read_record(store, keys.score(spec), ScoreRecord) for spec in study.scores())
    return passes, sum(record.provenance.seconds for record in records if record)


def compare(name: str, plan: StudyPlan, taken: Taken, how: str) -> list[Row]:
    """The plan over what was taken: all parts, the pass that is furthest off, all scores, bytes, elapsed time."""
    embedding = {(one.dataset, one.modality, one.model): one.seconds for one in plan.passes if one.model != "label"}
    ratios = {place: embedding[place] / taken.passes[place] for place in embedding}
    worst = max(ratios, key=lambda place: max(ratios[place], 1 / ratios[place]))
    scoring = sum(one.seconds for one in plan.scores)
    elapsed = min(max(taken.elapsed, plan.seconds_least), plan.seconds_most)  # between both a plan is right
    pairs = (
        ("all parts", sum(embedding.values()), sum(taken.passes[place] for place in embedding), "s"),
        (f"furthest off: {'/'.join(worst[1:])}", embedding[worst], taken.passes[worst], "s"),
        ("all scores", scoring, taken.scoring, "s"),
        ("bytes written", plan.bytes_written, taken.written, "bytes"),
        ("elapsed", elapsed, taken.elapsed, "s"),
    )
    return [
        Row(f"plan of {name}, {how}: {what}", planned, took, planned / took, unit=unit, target=TARGET)
        for what, planned, took, unit in pairs
    ]


def rows(radio: Path = RADIO) -> list[Row]:
    """The table of record."""
    found: list[Row] = []
    for name, request in (("demo", read_request(demo.study(GALAXIES))), ("radio", read_request(radio))):
        if name == "demo":
            render()
        with tempfile.TemporaryDirectory(prefix="samesky-plan-") as folder:
            trial = run(name, request, Path(folder))
        found += compare(name, trial.before, trial.taken, "nothing known")
        found += compare(name, trial.after, trial.taken, "by its records")
    return found


def render() -> None:
    """Make mocksky's images, where the cache lacks them."""
    sky = MockSky(0, GALAXIES, Settings.read().cache_dir)
    for modality in find_dataset("mocksky").modalities:
        if modality.name in demo.MODALITIES:
            for _ in sky.read(modality, 0, GALAXIES):
                pass


def main() -> None:
    """Measure and print; exit status 1 when a plan is off by more than a factor of two."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.plan_accuracy", description=__doc__)
    parser.add_argument("--radio", type=Path, default=RADIO, help="the study file, where its table is elsewhere")
    found = rows(parser.parse_args().radio)
    table = Table("what", "planned", "took", "planned/took", title="plans against what was taken")
    for row in found:
        table.add_row(row.what, f"{row.ours:,.1f}", f"{row.plain:,.1f}", f"{row.ratio:.2f}")
    Console().print(table)
    raise SystemExit(0 if all(0.5 <= row.ratio <= 2 for row in found) else 1)


if __name__ == "__main__":
    main()
