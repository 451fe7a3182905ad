"""The tables of runs over several seeds: faults by kind, what was lost or doubled, how soon work went on.

`python -m chaos.report build/chaos/*/outcome.json` draws them again, in Markdown, from what the seeds left.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from chaos.recovery import quantile

_SEEDS = ("seeds", "store", "faults", "lost", "doubled", "made again", "restart p50, s", "p99, s", "took, s", "verdict")


@dataclass(frozen=True)
class Outcome:
    """What became of one seed.

    faults: done, by name. requests: storage requests harmed, by harm. steps: parts and scores wanted. lost: jobs,
    pairs and results that are not as they must be. doubled: manifests and scores that had two writers. repeated:
    results stored again. restarts: seconds from a kill until the work was held again, by kind of kill. processes:
    how often each was started again. breaches: all that is wrong.
    """

    seed: int
    storage: str
    faults: dict[str, int]
    requests: dict[str, int]
    steps: int
    lost: int
    doubled: int
    repeated: int
    restarts: dict[str, list[float]]
    processes: dict[str, int]
    seconds: float
    breaches: list[str] = field(default_factory=list)

    @property
    def total(self) -> int:
        """Faults done."""
        return sum(self.faults.values())


def summarise(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """All seeds together, as plain JSON values."""
    by_kind = _by_kind(outcomes)
    restarts = [seconds for each in by_kind.values() for seconds in each]
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


def draw_tables(outcomes: Sequence[Outcome]) -> str:
    """Three tables in Markdown: a row for each seed, store and all; for each kind of fault; for each kind of kill."""
    stores = sorted({outcome.storage for outcome in outcomes})
    each = {store: [outcome for outcome in outcomes if outcome.storage == store] for store in stores}
    seeds = [_row(str(outcome.seed), outcome.storage, [outcome]) for outcome in outcomes]
    seeds += [_row(f"{len(some)} seeds", store, some) for store, some in each.items()]
    seeds.append(_row(f"{len(outcomes)} seeds", "all", outcomes))
    total, parts = summarise(outcomes)["faults"], [summarise(some)["faults"] for some in each.values()]
    faults = [(name, *(str(part.get(name, 0)) for part in parts), str(times)) for name, times in total.items()]
    restarts = [_spread(kind, seconds) for kind, seconds in sorted(_by_kind(outcomes).items())]
    tables = [
        _table(_SEEDS, seeds),
        _table(("fault", *stores, "all"), faults),
        _table(("done to a worker with a step", "times", "restart p50, s", "p99, s", "longest, s"), restarts),
    ]
    return "\n".join(tables)


def _by_kind(outcomes: Iterable[Outcome]) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for outcome in outcomes:
        for kind, seconds in outcome.restarts.items():
            found.setdefault(kind, []).extend(seconds)
    return found


def _row(seeds: str, store: str, outcomes: Sequence[Outcome]) -> tuple[str, ...]:
    found, failed = summarise(outcomes), sum(len(outcome.breaches) for outcome in outcomes)
    return (
        seeds,
        store,
        *(str(found[name]) for name in ("total", "lost", "doubled")),
        f"{found['repeated']} of {found['steps']} ({found['repeated_share']:.1%})",
        *("" if found[name] is None else f"{found[name]:.1f}" for name in ("restart_p50", "restart_p99")),
        f"{found['seconds']:.0f}",
        f"{failed} breaches" if failed else "kept",
    )


def _spread(kind: str, seconds: Sequence[float]) -> tuple[str, ...]:
    spread = (quantile(seconds, 0.5), quantile(seconds, 0.99), max(seconds))
    return (kind, str(len(seconds)), *(f"{each:.1f}" for each in spread))


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def write_outcome(folder: Path, outcome: Outcome) -> None:
    """Write `outcome.json` into the seed's folder."""
    (folder / "outcome.json").write_text(json.dumps(asdict(outcome), indent=1) + "\n", encoding="utf-8")


def write_report(folder: Path, outcomes: Sequence[Outcome]) -> str:
    """Write `report.md` and `report.json` into `folder`; the text."""
    text = draw_tables(outcomes)
    text += "".join(f"\nseed {outcome.seed}: {breach}" for outcome in outcomes for breach in outcome.breaches)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.md").write_text(text, encoding="utf-8")
    whole = {"all": summarise(outcomes), "seeds": [asdict(outcome) for outcome in outcomes]}
    (folder / "report.json").write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")
    return text


if __name__ == "__main__":
    read = [Outcome(**json.loads(Path(name).read_text(encoding="utf-8"))) for name in sys.argv[1:]]
    print(draw_tables(sorted(read, key=lambda outcome: outcome.seed)))
