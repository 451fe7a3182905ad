"""`python -m chaos --seeds 1,2,3 --faults 20 --store rclone`: run seeds, report; exit 1 if a promise was broken."""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path

from chaos import study
from chaos.cluster import Storage
from chaos.faults import Kind
from chaos.report import Outcome, write_report
from chaos.run import PRODUCTS, Plan, run_seed, run_undisturbed

STORES: tuple[Storage, Storage] = ("moto", "rclone")


def main() -> None:
    """Parse, run, report."""
    signal.signal(signal.SIGTERM, _interrupt)
    asked = _parse()
    plan = Plan(asked.faults, asked.folder, asked.datasets, asked.attempts, asked.kinds, asked.products)
    folder = asked.folder
    study.write_tables(plan.data, plan.datasets)
    print(f"the undisturbed run of {plan.datasets} datasets", flush=True)
    undisturbed = run_undisturbed(plan)
    outcomes: list[Outcome] = []
    for seed in asked.seeds:
        storage = asked.store or STORES[seed % len(STORES)]
        print(f"seed {seed}: {plan.faults} faults on {storage}", flush=True)
        outcomes.append(run_seed(plan, seed, storage, undisturbed))
        _tell(outcomes[-1], folder / str(seed))
    print(write_report(folder, outcomes))
    failed = [outcome.seed for outcome in outcomes if outcome.breaches]
    for seed in failed:
        print(f"seed {seed} broke a promise. Its logs: {folder / str(seed)}. Once more: {_again(seed, asked)}")
    sys.exit(bool(failed))


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m chaos", description=__doc__)
    parser.add_argument("--seeds", type=_seeds, default=(1, 2, 3), help="numbers with commas between; or 1-10")
    parser.add_argument("--faults", type=int, default=20, help="faults in each run")
    parser.add_argument("--store", choices=STORES, help="S3 server; without it, moto for even seeds, rclone for odd")
    parser.add_argument("--datasets", type=int, default=5, help="9 jobs and 15 pairs for each")
    parser.add_argument("--kinds", type=_kinds, default=frozenset(Kind), help="only these, as kill-worker,storage")
    parser.add_argument("--attempts", type=int, default=8, help="starts of one step before it is failed")
    parser.add_argument("--products", type=int, default=PRODUCTS, help="of one step of a search for neighbours")
    parser.add_argument("--folder", type=Path, default=Path("build/chaos"), help="for data, logs and the report")
    return parser.parse_args()


def _seeds(text: str) -> tuple[int, ...]:
    found: list[int] = []
    for each in text.split(","):
        first, _, last = each.partition("-")
        found += range(int(first), int(last or first) + 1)
    return tuple(found)


def _kinds(text: str) -> frozenset[Kind]:
    known = {_slug(kind): kind for kind in Kind}
    unknown = sorted(set(text.split(",")) - known.keys())
    if unknown:
        raise argparse.ArgumentTypeError(f"no kind {', '.join(unknown)}; there are {', '.join(known)}")
    return frozenset(known[each] for each in text.split(","))


def _slug(kind: Kind) -> str:
    return kind.replace(" ", "-")


def _again(seed: int, asked: argparse.Namespace) -> str:
    """The command that runs one seed again as it was."""
    again = f"python -m chaos --seeds {seed} --faults {asked.faults} --datasets {asked.datasets}"
    again += f" --attempts {asked.attempts}" + (f" --store {asked.store}" if asked.store else "")
    again += f" --products {asked.products}" if asked.products != PRODUCTS else ""
    return again + ("" if len(asked.kinds) == len(Kind) else f" --kinds {','.join(map(_slug, sorted(asked.kinds)))}")


def _tell(outcome: Outcome, place: Path) -> None:
    ending = f"{len(outcome.breaches)} breaches, logs in {place}" if outcome.breaches else "kept"
    print(f"seed {outcome.seed}: {outcome.total} faults, {outcome.seconds:.0f} s, {ending}", flush=True)


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
