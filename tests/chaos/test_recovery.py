"""What is measured of recovery: the leases as seen, the time until a dead worker's work went on, work done again."""

from __future__ import annotations

from chaos.faults import Fault, Kind
from chaos.injector import Deed
from chaos.proxy import Entry
from chaos.recovery import quantile, repeated, seconds_to_restart
from chaos.traffic import made_parts, made_scores, rival_writers
from chaos.watch import Holds

EMBEDDING = f"embeddings/sky/hsc/fake/final/{'a' * 32}/"
SCORE = f"scores/sky/{'b' * 32}/{'c' * 32}.json"


def kill(at: float, *held: str, kind: Kind = Kind.KILL_WORKER) -> Deed:
    return Deed(Fault(0, kind, 0.5, 0.5, 1.0), at, "embedder-0", list(held))


def put(at: float, key: str, *, sent: str = "x", taken: str = "x", status: int = 200) -> Entry:
    return Entry(at, "PUT", key, status, sent, taken)


def test_who_holds_what_is_seen() -> None:
    holds = Holds()
    holds.see(1, {"a:0": "5 host:71", "a:1": "6 host:7"})
    assert holds.held_by(71) == ["a:0"]
    assert holds.held_by(7) == ["a:1"]
    holds.see(2, {"a:1": "6 host:7"})
    assert holds.held_by(71) == []
    holds.see(4, {"a:0": "8 host:9", "a:1": "6 host:7"})
    assert holds.taken_over("a:0", 1.5) == 4
    assert holds.taken_over("a:1", 1.5) is None
    assert holds.taken_over("b:0", 1.5) is None


def test_a_lease_taken_up_again_by_its_holder_is_no_takeover() -> None:
    holds = Holds()
    for moment, held in ((1, {"a:0": "5 host:7"}), (2, {}), (3, {"a:0": "5 host:7"})):
        holds.see(moment, held)
    assert holds.taken_over("a:0", 1.5) is None


def test_seconds_to_restart() -> None:
    holds = Holds()
    for moment, held in ((9, {"a:0": "5 h:7", "a:1": "6 h:7"}), (12, {}), (14, {"a:0": "8 h:9"})):
        holds.see(moment, held)
    made = {"a:0": [20.0], "a:1": [8.0, 13.0], "a:2": [3.0]}
    assert seconds_to_restart([kill(10, "a:0")], holds, made) == {"kill worker": [4]}
    assert seconds_to_restart([kill(10, "a:1")], holds, made) == {"kill worker": [3]}
    assert seconds_to_restart([kill(10, "a:2")], holds, made) == {}
    assert seconds_to_restart([kill(10, "a:0", kind=Kind.TERM_WORKER)], holds, made) == {}


def test_quantiles() -> None:
    assert quantile([], 0.5) is None
    assert quantile([3, 1, 2], 0.5) == 2
    assert quantile(range(1, 101), 0.99) == 99
    assert quantile([7], 0.99) == 7


def test_what_was_made_twice_is_counted_once_over() -> None:
    receipts = [f"{EMBEDDING}attempts/{attempt}/part-00001.json" for attempt in ("one", "two")]
    entries = [put(1, receipts[0]), put(2, receipts[0]), put(3, receipts[1]), put(4, receipts[1], status=500)]
    made = made_parts(entries)
    assert made == {f"{'a' * 32}:1": [1, 3]}
    assert repeated(made) == 1
    assert made_scores([put(1, SCORE), put(2, SCORE.replace(".json", ".objects.parquet"))]) == {"c" * 32: [1]}


def test_rival_writers_are_found() -> None:
    manifest = f"{EMBEDDING}manifest.json"
    same = [put(1, manifest), put(2, manifest)]
    assert rival_writers(same) == {}
    bent = put(3, manifest, sent="x", taken="y")
    assert rival_writers([*same, bent]) == {}
    refused = put(3, manifest, sent="y", taken="y", status=412)
    assert rival_writers([*same, refused]) == {}
    assert rival_writers([*same, put(3, manifest, sent="y", taken="y")]) == {manifest: {"x", "y"}}
    assert set(rival_writers([put(1, SCORE), put(2, SCORE, sent="z", taken="z")])) == {SCORE}
