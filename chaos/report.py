"""The table of a run over several seeds: faults by kind, what was lost or doubled, how soon work went on."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from chaos.recovery import quantile


@dataclass(frozen=True)
class Outcome:
    """What became of one seed.

    faults: done, by name. requests: storage requests harmed, by harm. steps: parts and scores wanted. lost: jobs,
    pairs and results that are not as they must be. doubled: manifests and scores that had two writers. repeated:
    results stored again. restarts: seconds from a kill until the work was held again. breaches: all that is wrong.
    """

    seed: int
    storage: str
    faults: dict[str, int]
    requests: dict[str, int]
    steps: int
    lost: int
    doubled: int
    repeated: int
    restarts: list[float]
    processes: dict[str, int]
    seconds: float
    breaches: list[str] = field(default_factory=list)

    @property
    def total(self) -> int:
        """Faults done."""
        return sum(self.faults.values())


def summarise(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """All seeds together, as plain JSON values."""
    restarts = [seconds for outcome in outcomes for seconds in outcome.restarts]
    steps, again = sum(outcome.steps for outcome in outcomes), sum(outcome.repeated for outcome in outcomes)
    faults, requests = Counter[str](), Counter[str]()
    for outcome in outcomes:
        faults.update(outcome.faults)
        requests.update(outcome.requests)
    return {
        "seeds": [outcome.seed for outcome in outcomes],
        "faults": dict(sorted(faults.items())),
        "total": faults.total(),
        "requests_harmed": dict(sorted(requests.items())),
        "steps": steps,
        "lost": sum(outcome.lost for outcome in outcomes),
        "doubled": sum(outcome.doubled for outcome in outcomes),
        "kills_of_held_work": len(restarts),
        "restart_p50": quantile(restarts, 0.5),
        "restart_p99": quantile(restarts, 0.99),
        "repeated": again,
        "repeated_share": again / steps if steps else 0.0,
        "seconds": round(sum(outcome.seconds for outcome in outcomes), 1),
    }


def draw_tables(outcomes: Sequence[Outcome]) -> list[Table]:
    """One row for each kind of fault, and one for each seed."""
    total = summarise(outcomes)
    kinds = Table("fault", "times", title=f"{total['total']} faults over {len(outcomes)} seeds")
    for name, times in total["faults"].items():
        kinds.add_row(name, str(times))
    seeds = Table("seed", "store", "faults", "lost", "doubled", "restart p50, s", "p99, s", "repeated", "s", "verdict")
    for outcome in outcomes:
        seeds.add_row(str(outcome.seed), outcome.storage, *_cells(summarise([outcome])), _verdict(outcome))
    failed = sum(bool(outcome.breaches) for outcome in outcomes)
    seeds.add_section()
    seeds.add_row("all", "", *_cells(total), f"{failed} failed" if failed else "kept")
    return [kinds, seeds]


def _cells(found: dict[str, Any]) -> list[str]:
    quantiles = ["" if found[name] is None else f"{found[name]:.1f}" for name in ("restart_p50", "restart_p99")]
    again = f"{found['repeated']} of {found['steps']}, {found['repeated_share']:.1%}"
    return [
        str(found["total"]),
        str(found["lost"]),
        str(found["doubled"]),
        *quantiles,
        again,
        f"{found['seconds']:.0f}",
    ]


def _verdict(outcome: Outcome) -> str:
    return f"{len(outcome.breaches)} breaches" if outcome.breaches else "kept"


def write_report(folder: Path, outcomes: Sequence[Outcome]) -> str:
    """Write `report.txt` and `report.json` into `folder`; the text."""
    text = StringIO()
    console = Console(file=text, width=140)
    for table in draw_tables(outcomes):
        console.print(table)
    for outcome in outcomes:
        for breach in outcome.breaches:
            console.print(f"seed {outcome.seed}: {breach}", markup=False, soft_wrap=True)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.txt").write_text(text.getvalue(), encoding="utf-8")
    whole = {"all": summarise(outcomes), "seeds": [asdict(outcome) for outcome in outcomes]}
    (folder / "report.json").write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")
    return text.getvalue()
