"""One run: a cluster, its studies, the faults of a seed as the work goes on, a bounded wait, the verdict."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

from chaos import study as work
from chaos import verdict
from chaos.cluster import Cluster, Storage
from chaos.faults import Fault, Kind, draw_schedule
from chaos.injector import Deed, Injector
from chaos.proxy import Entry
from chaos.recovery import repeated, seconds_to_restart
from chaos.report import Outcome, write_outcome
from chaos.traffic import made_parts, made_scores
from chaos.watch import Holds, LeaseWatch
from services.board import Board
from services.client import Client
from services.garbage import Garbage
from services.ledger import Ledger
from shared import keys
from shared.contracts import Study
from shared.errors import SameSkyError
from shared.records import read_record
from shared.settings import Settings
from shared.store import DirectoryStore, ObjectStore

POISON = "fake-poison"
_LONGEST_WORK_SECONDS, _LONGEST_END_SECONDS, _LONGEST_ANSWER_SECONDS = 600.0, 240.0, 60.0
_PATIENCE_SECONDS, _LOOK_SECONDS = 8.0, 0.4
_DOUBLED = ("one manifest", "one score")
PRODUCTS = 80_000
T = TypeVar("T")


@dataclass(frozen=True)
class Plan:
    """What runs of several seeds have in common.

    folder: for data, logs and results. datasets: see `chaos.study`. attempts: starts of one step; more than the
    default, since a kill is a start, and no innocent step may fail for having met three. kinds: of faults. products:
    of one step of a search for neighbours, which by default cuts every search into 2 by 2 tiles or 4 by 4; in the
    undisturbed run, none is cut.
    """

    faults: int
    folder: Path
    datasets: int
    attempts: int = 8
    kinds: Collection[Kind] = frozenset(Kind)
    products: int = PRODUCTS

    @property
    def data(self) -> Path:
        """Where the tables lie."""
        return self.folder / "data"


def run_undisturbed(plan: Plan) -> ObjectStore:
    """Run the main study with nothing in its way, on a directory; the store with its results."""
    folder = plan.folder / "undisturbed"
    with Cluster(folder, plan.data, "folder") as cluster, Client(cluster.api_url) as client:
        accepted = client.submit(work.main_study(plan.data, plan.datasets))
        client.wait(accepted.id, timeout=_LONGEST_WORK_SECONDS)
    return DirectoryStore(folder.resolve() / "s3")


def run_seed(plan: Plan, seed: int, storage: Storage, undisturbed: ObjectStore) -> Outcome:
    """Run one seed, and judge it. Its logs, requests and faults stay in a folder named by the seed."""
    began, folder = time.monotonic(), plan.folder / str(seed)
    schedule = draw_schedule(seed, plan.faults, _kinds(plan, storage))
    with (
        Cluster(folder, plan.data, storage, seed=seed, settings=_settings(plan)) as cluster,
        LeaseWatch(cluster.redis_url) as watch,
        Client(cluster.api_url) as client,
    ):
        studies = [work.main_study(plan.data, plan.datasets), work.poison_study(plan.data)]
        ids = [_patiently(lambda asked=asked: client.submit(asked)).id for asked in studies]  # type: ignore[misc]
        assert cluster.proxy is not None
        store, entries = cluster.open_store(), cluster.proxy.entries
        wanted = [_read_study(store, study_id) for study_id in ids]
        injector = Injector(cluster, watch)
        try:
            _let_loose(injector, schedule, lambda: _share_done(entries, wanted[0]))
        finally:
            injector.close()
        cluster.proxy.bursts.end()
        _await_ends(client, ids)
        shown = [_show(client, one, POISON if one is wanted[1] else "") for one in wanted]
        garbage = _find_garbage(cluster, store)
        breaches = judge(shown, store, undisturbed, entries, garbage, attempts=plan.attempts)
        breaches += _check_starts(cluster, plan, injector.deeds)
        restarts = {name: child.restarts for name, child in cluster.children.items()}
    _write_down(folder, injector.deeds, shown, watch.holds)
    made = made_parts(entries) | made_scores(entries)
    done = [deed for deed in injector.deeds if deed.done]
    doubled = sum(breach.check in _DOUBLED for breach in breaches)
    outcome = Outcome(
        seed=seed,
        storage=storage,
        faults=dict(Counter(deed.fault.name for deed in done)),
        requests=_hits(done),
        steps=_steps(wanted[0]),
        lost=len(breaches) - doubled,
        doubled=doubled,
        repeated=repeated(made),
        restarts=seconds_to_restart(done, watch.holds, made),
        processes=restarts,
        seconds=round(time.monotonic() - began, 1),
        breaches=[f"{breach.check}: {breach.what}" for breach in breaches],
    )
    write_outcome(folder, outcome)
    return outcome


def judge(
    shown: Sequence[verdict.Shown],
    store: ObjectStore,
    undisturbed: ObjectStore,
    entries: Sequence[Entry],
    garbage: Collection[str],
    *,
    attempts: int,
) -> list[verdict.Breach]:
    """All that is wrong with a history. The first study is compared with the undisturbed one.

    garbage: what garbage collection would take.
    """
    breaches = [breach for one in shown for breach in verdict.check_ends(one, attempts)]
    breaches += verdict.check_embeddings(shown[0].study, store, undisturbed)
    breaches += verdict.check_scores(shown[0].study, store, undisturbed)
    breaches += verdict.check_writers(entries)
    breaches += verdict.check_orphans(store, [one.study for one in shown], garbage)
    return breaches


def _check_starts(cluster: Cluster, plan: Plan, deeds: Sequence[Deed]) -> Iterator[verdict.Breach]:
    """Starts are counted in Redis, so that each flush may let them begin anew."""
    flushes = sum(deed.fault.kind is Kind.FLUSH_REDIS for deed in deeds)
    logs = [(cluster.folder / "logs" / f"{name}.log").read_text(errors="replace") for name in cluster.embedders]
    return verdict.check_starts(logs, plan.attempts * (1 + flushes))


def _kinds(plan: Plan, storage: Storage) -> frozenset[Kind]:
    """The kinds that this store can stand: moto keeps its objects in memory, and would lose them when killed."""
    return frozenset(plan.kinds) - (set() if storage == "rclone" else {Kind.KILL_S3})


def _settings(plan: Plan) -> dict[str, str]:
    return {"SAMESKY_ATTEMPTS": str(plan.attempts), "SAMESKY_SEARCH_PRODUCTS": str(plan.products)}


def _find_garbage(cluster: Cluster, store: ObjectStore) -> list[str]:
    board = Board.open(Settings.read({"SAMESKY_REDIS_URL": cluster.redis_url}))
    found = Garbage(store, Ledger(store), board).find()
    (cluster.folder / "garbage.txt").write_text("".join(f"{key}\n" for key in found), encoding="utf-8")
    return found


def _let_loose(injector: Injector, schedule: Sequence[Fault], share_done: Callable[[], float]) -> None:
    """Do each fault when its share of the work is done, or when the work stands still; and let each meet something."""
    end = time.monotonic() + _LONGEST_WORK_SECONDS
    for fault in schedule:
        _watch_work(share_done, lambda share, fault=fault: share >= fault.share, end)  # type: ignore[misc]
        if share_done() >= 1 or time.monotonic() > end:
            return
        injector.inject(fault)
        time.sleep(_LOOK_SECONDS)
    _watch_work(share_done, lambda share: share >= 1 or all(deed.done for deed in injector.deeds), end)


def _watch_work(share_done: Callable[[], float], enough: Callable[[float], bool], end: float) -> None:
    """Return when enough of the work is done, when it has stood still for a while, or at the end."""
    share, moved = share_done(), time.monotonic()
    while not enough(share) and time.monotonic() < min(end, moved + _PATIENCE_SECONDS):
        time.sleep(_LOOK_SECONDS)
        former, share = share, share_done()
        if share > former:
            moved = time.monotonic()


def _share_done(entries: Sequence[Entry], study: Study) -> float:
    return (len(made_parts(entries)) + len(made_scores(entries))) / _steps(study)


def _steps(study: Study) -> int:
    return sum(spec.parts() for spec in study.embeddings) + len(study.pairs)


def _await_ends(client: Client, ids: Sequence[str]) -> None:
    """Return once every study is over, or the time is; then the verdict tells what is not."""
    deadline = time.monotonic() + _LONGEST_END_SECONDS
    for study_id in ids:
        while time.monotonic() < deadline:
            if _patiently(lambda study_id=study_id: client.status(study_id)).state.final:  # type: ignore[misc]
                break
            time.sleep(0.5)


def _patiently(ask: Callable[[], T]) -> T:
    """What the api answers, asked again while it does not. Raises its error when that stays for a minute."""
    deadline = time.monotonic() + _LONGEST_ANSWER_SECONDS
    while True:
        try:
            return ask()
        except SameSkyError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)


def _show(client: Client, study: Study, poisoned: str) -> verdict.Shown:
    jobs = _patiently(lambda: client.jobs(study.id))
    return verdict.Shown(study, jobs, _patiently(lambda: client.pairs(study.id)), poisoned)


def _read_study(store: ObjectStore, study_id: str) -> Study:
    study = read_record(store, keys.study(study_id), Study)
    if study is None:
        raise LookupError(f"the api accepted study {study_id}, and the store does not hold it")
    return study


def _hits(deeds: Sequence[Deed]) -> dict[str, int]:
    found = Counter[str]()
    for deed in deeds:
        if deed.burst:
            found[str(deed.burst.harm)] += deed.burst.hits
    return dict(found)


def _write_down(folder: Path, deeds: Sequence[Deed], shown: Sequence[verdict.Shown], holds: Holds) -> None:
    """What was done, who held what, and what the api showed in the end, beside the proxy's log of requests."""
    spells = [(spell.began, spell.until, step, spell.value) for step, each in holds.spells.items() for spell in each]
    lines = (f"{began:.2f} {until:.2f} {step} {value}\n" for began, until, step, value in sorted(spells))
    (folder / "leases.txt").write_text("".join(lines), encoding="utf-8")
    with (folder / "faults.jsonl").open("w", encoding="utf-8") as file:
        for deed in deeds:
            file.write(json.dumps({"name": deed.fault.name, "done": deed.done} | asdict(deed), default=str) + "\n")
    plain = [
        {
            "study": one.study.id,
            "poisoned": one.poisoned,
            "jobs": [job.model_dump(mode="json") for job in one.jobs],
            "pairs": [pair.model_dump(mode="json") for pair in one.pairs],
        }
        for one in shown
    ]
    (folder / "shown.json").write_text(json.dumps(plain, indent=1) + "\n", encoding="utf-8")
