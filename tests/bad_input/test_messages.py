"""Messages on the queues: whatever lies there is a step, or a BadInput; no worker writes anything on its account."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as tuned
from hypothesis import strategies as some
from redis import Redis

from scorer.search.records import Search
from services.messages import Announcement, PartMessage, ScoreMessage, SearchMessage, parse_message
from shared.contract import Contract
from shared.contracts import EmbeddingSpec, PairSpec, ScoreSpec
from shared.errors import BadInput

Refused = Callable[..., AbstractContextManager[None]]
Job = Callable[..., EmbeddingSpec]
Plain = dict[str, Any]
ROOT = Path(__file__).resolve().parents[2]


def good(job: Job) -> dict[str, Plain]:
    """A good message of each task."""
    embedding = job().model_dump(mode="json")
    score = ScoreSpec(pair=PairSpec(left=job(), right=job(modality="jwst"))).model_dump(mode="json")
    search = Search(
        embedding=job(), manifest="a" * 64, objects=100, id_set="b" * 32, dimension=8, k=10, search_version=1, block=40,
        places="c" * 64,
    )  # fmt: skip
    return {
        "embed_part": {"embedding": embedding, "part": 0},
        "score_pair": {"score": score},
        "plan_searches": {"score": score},
        "search_step": {"score": "d" * 32, "search": search.model_dump(mode="json"), "step": "tile-00002-00000"},
        "announce": {"embedding": embedding},
    }


MODELS: dict[str, type[Contract]] = {
    "embed_part": PartMessage,
    "score_pair": ScoreMessage,
    "plan_searches": ScoreMessage,
    "search_step": SearchMessage,
    "announce": Announcement,
}


def put(path: str, value: Any) -> Callable[[Plain], Any]:
    """A message with another value at a dotted path."""

    def apply(message: Plain) -> Plain:
        *before, last = path.split(".")
        place = message
        for step in before:
            place = place[step]
        place[last] = value
        return message

    return apply


def without(name: str) -> Callable[[Plain], Any]:
    return lambda message: {key: value for key, value in message.items() if key != name}


MESSAGES: list[tuple[str, str, Callable[[Plain], Any], str]] = [
    ("null", "embed_part", lambda message: None, "message"),
    ("a text", "embed_part", lambda message: "embedding", "message"),
    ("a list", "embed_part", lambda message: [message], "message"),
    ("a number", "embed_part", lambda message: 7, "message"),
    ("an empty object", "embed_part", lambda message: {}, "embedding: this field is needed"),
    ("no embedding", "embed_part", without("embedding"), "embedding: this field is needed"),
    ("no part", "embed_part", without("part"), "part: this field is needed"),
    ("a part below nought", "embed_part", put("part", -1), "part: "),
    ("a part one past the last", "embed_part", put("part", 4), "part 4 of an embedding of 4 parts"),
    ("a part far past the last", "embed_part", put("part", 10**30), "of an embedding of 4 parts"),
    ("a part in words", "embed_part", put("part", "0"), "part: "),
    ("a part that is true", "embed_part", put("part", True), "part: "),
    ("a part and a half", "embed_part", put("part", 1.5), "part: "),
    ("a part that is null", "embed_part", put("part", None), "part: "),
    ("a part in a list", "embed_part", put("part", [0]), "part: "),
    ("layers that are a text", "embed_part", put("layers", "all"), "layers: "),
    ("layers that are null", "embed_part", put("layers", None), "layers: "),
    ("a layer that climbs", "embed_part", put("layers", ["../../etc"]), "layers.0: "),
    ("a layer that is a number", "embed_part", put("layers", [3]), "layers.0: "),
    ("the embedding's own layer again", "embed_part", put("layers", ["final"]), "`layers` are others"),
    ("a layer twice", "embed_part", put("layers", ["block-00", "block-00"]), "`layers` are others"),
    ("too many layers", "embed_part", put("layers", [f"block-{n:03d}" for n in range(101)]), "layers: "),
    ("an unknown field", "embed_part", put("__reduce__", "os.system"), "__reduce__: there is no such field"),
    ("an embedding that is a digest", "embed_part", put("embedding", "0" * 32), "embedding: "),
    ("an embedding that is null", "embed_part", put("embedding", None), "embedding: "),
    ("an embedding of another version", "embed_part", put("embedding.version", 2), "embedding.version: "),
    ("an embedding with a field too many", "embed_part", put("embedding.x", 1), "embedding.x: there is no such field"),
    ("a dataset that climbs", "embed_part", put("embedding.dataset.name", "../../etc"), "embedding.dataset.name: "),
    ("a model that climbs", "embed_part", put("embedding.model.name", "../x"), "embedding.model.name: "),
    ("a layer with a NUL", "embed_part", put("embedding.layer", "a\0"), "embedding.layer: "),
    ("a dataset of no rows", "embed_part", put("embedding.dataset.rows", 0), "embedding.dataset.rows: "),
    ("parts of no rows", "embed_part", put("embedding.model.part_rows", 0), "embedding.model.part_rows: "),
    ("parts of fewer than no rows", "embed_part", put("embedding.model.part_rows", -1), "part_rows: "),
    ("an adapter that climbs", "embed_part", put("embedding.model.adapter", "os/system"), "embedding.model.adapter: "),
    ("a source that climbs", "embed_part", put("embedding.dataset.source", "../x"), "embedding.dataset.source: "),
    ("a revision that climbs", "embed_part", put("embedding.dataset.revision", "a/../b"), "dataset.revision: "),
    ("a score that is null", "score_pair", put("score", None), "score: "),
    ("no score", "score_pair", without("score"), "score: this field is needed"),
    ("a score of nothing", "score_pair", put("score", {}), "score.pair: this field is needed"),
    ("a pair of one side", "score_pair", put("score.pair", {"left": {}}), "score.pair"),
    ("a pair of no sides", "score_pair", put("score.pair", []), "score.pair"),
    ("a score of no neighbours", "score_pair", put("score.scoring.k", 0), "score.scoring.k: "),
    ("a score of no metric", "score_pair", put("score.scoring.metrics", []), "score.scoring.metrics: "),
    ("a metric that climbs", "score_pair", put("score.scoring.metrics", ["../x"]), "score.scoring.metrics.0: "),
    (
        "a message of another task",
        "score_pair",
        lambda message: {"embedding": {}, "part": 0},
        "score: this field is needed",
    ),
    ("a plan for no score", "plan_searches", without("score"), "score: this field is needed"),
    ("a search that is null", "search_step", put("search", None), "search: "),
    ("a search for a score with a name", "search_step", put("score", "sky"), "score: "),
    ("a search that climbs", "search_step", put("search.id_set", "../../etc"), "search.id_set: "),
    ("a search in blocks of no rows", "search_step", put("search.block", 0), "search.block: "),
    ("a search of fewer than no objects", "search_step", put("search.objects", -5), "search.objects: "),
    ("a search for no neighbours", "search_step", put("search.k", 0), "search.k: "),
    ("no step of a search", "search_step", without("step"), "step: this field is needed"),
    ("a tile past the last", "search_step", put("step", "tile-00000-00003"), "of a search in 3 blocks"),
    ("a strip past the last", "search_step", put("step", "strip-99999"), "of a search in 3 blocks"),
    ("a step that is none", "search_step", put("step", "tile-0-0"), "of a search in 3 blocks"),
    ("a step that climbs", "search_step", put("step", "../../table"), "step: "),
    ("an announcement of nothing", "announce", lambda message: {}, "embedding: this field is needed"),
    ("an announcement of a text", "announce", put("embedding", "sky/hsc/vit"), "embedding: "),
    ("an announcement with a field too many", "announce", put("study", "x"), "study: there is no such field"),
]


@pytest.mark.parametrize(("task", "spoil", "says"), [pytest.param(*case, id=name) for name, *case in MESSAGES])
def test_a_message_is_refused(refused: Refused, job: Job, task: str, spoil: Callable[[Plain], Any], says: str) -> None:
    with refused(BadInput, says):
        parse_message(MODELS[task], spoil(good(job)[task]))


def test_good_messages_are_taken(job: Job) -> None:
    messages = good(job)
    assert parse_message(PartMessage, messages["embed_part"]).part == 0
    several = parse_message(PartMessage, {**messages["embed_part"], "layers": ["block-00", "block-01"]})
    assert [spec.layer for spec in several.embeddings] == ["final", "block-00", "block-01"]
    assert [spec.digest == job().digest for spec in several.embeddings] == [True, False, False]
    assert parse_message(ScoreMessage, messages["score_pair"]).score.pair.kind == "crossmodal"
    assert parse_message(SearchMessage, messages["search_step"]).search.grid.blocks == 3
    assert parse_message(Announcement, messages["announce"]).embedding == job()


ANY = some.recursive(
    some.none() | some.booleans() | some.integers() | some.floats() | some.text(),
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(some.text(max_size=9), inner, max_size=3),
    max_leaves=8,
)
FIELDS = some.sampled_from(["embedding", "part", "score", "search", "step"])


@tuned(max_examples=150, deadline=None, derandomize=True, database=None)
@given(some.sampled_from(sorted(MODELS)), ANY | some.dictionaries(FIELDS, ANY))
def test_anything_else_is_a_named_error(task: str, message: Any) -> None:
    with pytest.raises(BadInput, match="a message that cannot be one of ours"):
        parse_message(MODELS[task], message)


RUN = """
import json, sys
from services import embed_worker, score_worker
from shared.errors import SameSkyError
tasks = {name: getattr(score_worker, name) for name in ("score_pair", "plan_searches", "search_step", "announce")}
tasks["embed_part"] = embed_worker.embed_part
for line in sys.stdin:
    task, message = json.loads(line)
    try:
        tasks[task].run(message)
        ended = "done"
    except SameSkyError as error:
        ended = error.code
    except Exception as error:
        ended = f"{type(error).__name__}, which has no name of ours"
    print(json.dumps(ended), flush=True)
"""


def test_the_tasks_refuse_what_the_door_refuses_and_write_nothing(tmp_path: Path, redis_url: str, job: Job) -> None:
    store = tmp_path / "store"
    given_ = [(task, spoil(good(job)[task])) for _, task, spoil, _ in MESSAGES]
    environment = {**os.environ, "SAMESKY_REDIS_URL": redis_url, "SAMESKY_STORE_URL": f"file://{store}"}
    with Redis.from_url(redis_url, decode_responses=True) as redis:
        redis.flushall()
        run = subprocess.run(
            [sys.executable, "-c", RUN],
            input="".join(f"{json.dumps(line)}\n" for line in given_),
            capture_output=True,
            text=True,
            check=True,
            cwd=ROOT,
            env={**environment, "PYTHONPATH": str(ROOT)},
        )
        left = list(redis.scan_iter())
    ended = [json.loads(line) for line in run.stdout.splitlines()]
    assert {end for end in ended if end not in ("bad-input", "done")} == set()
    assert len(ended) == len(MESSAGES) == run.stderr.count("a message is refused")
    assert [path for path in store.rglob("*") if path.is_file()] == []
    assert left == []
