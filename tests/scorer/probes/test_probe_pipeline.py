"""From a stored embedding and a stored label to a stored score."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from scorer.pipeline import score
from scorer.probes.agreement import measure_agreement
from scorer.probes.linear import measure_ridge
from scorer.probes.neighbourly import measure_knn
from scorer.probes.probing import Probing
from shared import keys
from shared.contracts import EmbeddingSpec, PairSpec, ScoreSpec, Scoring, Study
from shared.errors import BadRecord, BadStudy, DegenerateEmbedding, NotReady, TooFewObjects, UnknownName
from shared.modalities import Modality
from shared.outcomes import Attempt, Manifest, ScoreRecord
from shared.store import MemoryStore, ObjectStore
from shared.vectors import Vectors

Maker = Callable[..., EmbeddingSpec]
Keeper = Callable[[ObjectStore, EmbeddingSpec, Vectors], Manifest]
Floats = npt.NDArray[np.float64]
SCORING = Scoring(k=(5, 8), permutations=99, slow_permutations=99, resamples=99)
FR = ("FR I", "FR II")


class Stored:
    """An embedding of galaxies 0 to 179, and room for labels of theirs."""

    def __init__(self, make_spec: Maker, keep: Keeper) -> None:
        self.store, self._make_spec, self._keep = MemoryStore(), make_spec, keep
        stream = np.random.default_rng(1)
        hidden = stream.standard_normal((200, 3))
        self.redshift = hidden[:, 0].astype(np.float32)
        matrix = hidden @ stream.standard_normal((3, 12)) + 0.5 * stream.standard_normal((200, 12))
        self.matrix, self.embedding = matrix.astype(np.float32), make_spec("hsc")
        keep(self.store, self.embedding, self._vectors(self.matrix, stream.permutation(180)))

    def _vectors(self, matrix: npt.NDArray[np.float32], rows: npt.NDArray[np.int64]) -> Vectors:
        return Vectors(tuple(f"g{row:03d}" for row in rows), matrix[rows])

    def label(
        self, values: npt.ArrayLike, rows: npt.NDArray[np.int64], name: str = "redshift", classes: tuple[str, ...] = ()
    ) -> EmbeddingSpec:
        """A label of these galaxies, stored."""
        spec = self.label_spec(name, classes)
        column = np.asarray(values, dtype=np.float32).reshape(200, -1)
        self._keep(self.store, spec, self._vectors(column, rows))
        return spec

    def label_spec(self, name: str = "redshift", classes: tuple[str, ...] = ()) -> EmbeddingSpec:
        modality = Modality(name=name, kind="label", column=name, recipe="label-v1", classes=classes)
        model = self._make_spec().model.model_copy(update={"name": "label", "family": "label", "takes": "label"})
        return self._make_spec().model_copy(update={"modality": modality, "model": model})

    def spec(self, label: EmbeddingSpec, **scoring: object) -> ScoreSpec:
        """The score that a study asks for."""
        asked = SCORING.model_copy(update=scoring)
        study = Study(created_at="now", embeddings=(self.embedding, label), pairs=((0, 1),), scoring=asked)
        return study.score(0, 1)

    def score(self, spec: ScoreSpec) -> ScoreRecord:
        return score(spec, store=self.store, threads=1, attempt=Attempt(name="a1", worker="w"))


@pytest.fixture
def stored(make_spec: Maker, store_embedding: Keeper) -> Stored:
    """An embedding in memory."""
    return Stored(make_spec, store_embedding)


@pytest.mark.parametrize("name", ["redshift", "age"])
def test_a_probe_is_scored_whichever_side_the_label_is_on(
    stored: Stored, make_probing: Callable[..., Probing], name: str
) -> None:
    """Sides stand in the order of their names: age before hsc, redshift behind it."""
    rows = np.random.default_rng(2).permutation(np.arange(30, 200))
    label = stored.label(stored.redshift, rows, name)
    spec = stored.spec(label)
    assert (spec.pair.left if name == "age" else spec.pair.right) == label
    record = stored.score(spec)
    sizes = (170, 180) if name == "age" else (180, 170)
    assert (record.left_objects, record.right_objects, record.objects) == (*sizes, 150)
    assert [result.label for result in record.results] == [
        "ridge-probe", "knn-probe@5", "knn-probe@8", "label-agreement@5", "label-agreement@8",
    ]  # fmt: skip
    shared = np.arange(30, 180)
    probing = make_probing(stored.matrix[shared], stored.redshift[shared].astype(np.float64), k=8)
    # the draws are the pair's own, the values are not
    assert record.results[0].value == pytest.approx(measure_ridge(probing).value, abs=1e-9)
    assert record.results[2].value == pytest.approx(measure_knn(probing).value, abs=1e-12)
    assert record.results[4].value == pytest.approx(measure_agreement(probing).value, abs=1e-12)
    assert all(result.p_value == 0.01 and result.value > 0.4 for result in record.results)


def test_the_record_is_stored_with_each_objects_share(stored: Stored) -> None:
    label = stored.label(stored.redshift, np.arange(200))
    spec = stored.spec(label)
    record = stored.score(spec)
    assert ScoreRecord.model_validate_json(stored.store.get(keys.score(spec))) == record
    table = pq.read_table(pa.BufferReader(stored.store.get(record.per_object)))
    assert table.column("object_id").to_pylist() == [f"g{row:03d}" for row in range(180)]
    assert table.column_names[1:] == [result.label for result in record.results]
    for result in record.results:
        assert table.column(result.label).to_numpy().mean() == pytest.approx(result.value)
    assert stored.score(spec) == record


def test_classes_are_told_by_their_names_places(stored: Stored) -> None:
    codes = (stored.redshift > 0.4).astype(np.float32)
    label = stored.label(2 * codes, np.arange(200), "morphology", ("spiral", "irregular", "elliptical"))
    record = stored.score(stored.spec(label))
    ridge, knn, _, agreement, _ = record.results
    assert ridge.details["classes"] == knn.details["classes"] == 2  # nothing is irregular
    assert (ridge.chance, knn.chance) == (0.5, 0.5)
    share = codes[:180].mean()
    assert agreement.chance == pytest.approx(share**2 + (1 - share) ** 2, abs=0.01)
    assert all(result.p_value == 0.01 for result in record.results)


def test_the_same_label_is_no_other_score_when_it_is_asked_for_with_other_metrics(stored: Stored) -> None:
    label = stored.label_spec()
    assert stored.spec(label).digest == stored.spec(label, metrics=("other",)).digest
    assert stored.spec(label).digest != stored.spec(label, probes=("knn-probe",)).digest


def test_a_label_that_is_not_whole_may_be_tried_again(stored: Stored) -> None:
    with pytest.raises(NotReady, match="mocksky/redshift/label is not whole"):
        stored.score(stored.spec(stored.label_spec()))
    assert list(stored.store.keys(keys.SCORES)) == []


@pytest.mark.parametrize(
    ("change", "classes", "error", "words"),
    [
        (lambda z: np.full(200, 0.5), (), DegenerateEmbedding, "the label of all 180 shared objects is 0.5"),
        (lambda z: np.ones(200), FR, DegenerateEmbedding, "the label of all 180 shared objects is 'FR II'"),
        (lambda z: np.arange(200) < 4, FR, TooFewObjects, "4 of the 180 shared objects are of class 'FR II'"),
        (
            lambda z: np.arange(200) % 3,
            FR,
            BadRecord,
            "the label has the value 2; expected an index of one of 2 classes",
        ),
        (lambda z: (np.arange(200) % 2) / 2, FR, BadRecord, "the label has the value 0.5"),
        (lambda z: np.stack([z, z], axis=1), (), BadRecord, "vectors of 2 numbers; expected of one"),
    ],
)
def test_a_label_that_cannot_be_probed_is_refused(
    stored: Stored,
    change: Callable[[npt.NDArray[np.float32]], npt.ArrayLike],
    classes: tuple[str, ...],
    error: type[Exception],
    words: str,
) -> None:
    label = stored.label(change(stored.redshift), np.arange(200), classes=classes)
    with pytest.raises(error, match=words):
        stored.score(stored.spec(label))
    assert list(stored.store.keys(keys.SCORES)) == []


def test_few_shared_objects_are_refused(stored: Stored) -> None:
    few = stored.label(stored.redshift, np.arange(171, 200))
    with pytest.raises(TooFewObjects, match="share 9; expected at least 10"):
        stored.score(stored.spec(few))
    enough = stored.label(stored.redshift, np.arange(165, 200), "mass")
    assert stored.score(stored.spec(enough)).objects == 15
    with pytest.raises(TooFewObjects, match="share 15; expected at least 16"):
        stored.score(stored.spec(enough, k=(5, 15)))


def test_two_labels_are_no_pair(stored: Stored) -> None:
    one, other = (stored.label(stored.redshift, np.arange(200), name) for name in ("redshift", "mass"))
    with pytest.raises(BadStudy, match="a pair of two labels"):
        stored.score(ScoreSpec(pair=PairSpec(left=one, right=other), scoring=stored.spec(one).scoring))


def test_metrics_of_embeddings_are_not_measured_of_a_label(stored: Stored) -> None:
    label = stored.label(stored.redshift, np.arange(200))
    with pytest.raises(UnknownName, match="mknn is a metric, of two embeddings"):
        stored.score(ScoreSpec(pair=PairSpec(left=stored.embedding, right=label), scoring=SCORING))
