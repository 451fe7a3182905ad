"""From datasets and models to jobs and pairs."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from shared.contracts import DatasetRef, Dtype, EmbeddingSpec, ModelRef, PairPolicy, Scoring, Study
from shared.errors import BadStudy, TooFewObjects
from shared.modalities import Modality
from shared.planning import MOST_EMBEDDINGS, MOST_PAIRS, choose_pairs, expand, refuse_idle, refuse_unseen

SpecMaker = Callable[..., EmbeddingSpec]
Plan = Callable[..., Study]

SIZES = {"small": 22.0, "base": 86.0, "large": 300.0}


@pytest.fixture
def plan(make_spec: SpecMaker) -> Plan:
    """Plan a study of dinov2 in these sizes and of one vit, on hsc, jwst and a desi spectrum."""

    def make(
        *policies: PairPolicy,
        sizes: tuple[str, ...] = ("large", "small", "base"),
        k: int = 10,
        layers: dict[str, tuple[str, ...]] | None = None,
    ) -> Study:
        base = make_spec()
        modalities = [
            base.modality,
            base.modality.model_copy(update={"name": "jwst"}),
            Modality(name="desi", kind="spectrum", column="spectrum", recipe="spectrum-v1"),
        ]
        models = [
            base.model.model_copy(update={"name": f"dinov2-{size}", "family": "dinov2", "parameters": SIZES[size]})
            for size in sizes
        ]
        models.append(base.model.model_copy(update={"name": "vit-base", "family": "vit", "parameters": 86.0}))
        return expand([(base.dataset, modalities)], models, policies, Scoring(k=k), created_at="now", layers=layers)

    return make


def _labels(study: Study) -> set[str]:
    return {score.pair.label.replace("tiny/", "") for score in study.scores()}


def test_each_model_sees_what_it_takes(plan: Plan) -> None:
    labels = [spec.label for spec in plan("all").embeddings]
    assert len(labels) == len(set(labels)) == 4 * 2
    assert not any("desi" in label for label in labels)


def test_crossmodal_is_one_model_in_two_modalities(plan: Plan) -> None:
    models = ["dinov2-small", "dinov2-base", "dinov2-large", "vit-base"]
    assert _labels(plan("crossmodal")) == {f"hsc/{model}|jwst/{model}" for model in models}


def test_intramodal_is_one_step_of_size(plan: Plan) -> None:
    assert _labels(plan("intramodal")) == {
        f"{modality}/dinov2-{a}|{modality}/dinov2-{b}"
        for modality in ("hsc", "jwst")
        for a, b in (("base", "small"), ("base", "large"))
    }


def test_a_size_left_out_is_stepped_over(plan: Plan) -> None:
    labels = _labels(plan("intramodal", sizes=("large", "small")))
    assert labels == {f"{seen}/dinov2-large|{seen}/dinov2-small" for seen in ("hsc", "jwst")}


def test_policies_add_up_and_no_pair_comes_twice(plan: Plan) -> None:
    both = plan("crossmodal", "intramodal")
    assert _labels(both) == _labels(plan("crossmodal")) | _labels(plan("intramodal"))
    everything = plan("all", "crossmodal", "intramodal")
    assert len(everything.pairs) == len(set(everything.pairs)) == 8 * 7 // 2


def test_pairs_do_not_cross_datasets(make_spec: SpecMaker) -> None:
    specs = [make_spec(modality__name=name, dataset__name=home) for home in ("one", "two") for name in ("hsc", "jwst")]
    assert choose_pairs(specs, ["all"]) == [(0, 1), (2, 3)]


@pytest.mark.parametrize("k", [100, 101, 1000])
def test_k_of_all_objects_or_more_is_refused(plan: Plan, k: int) -> None:
    with pytest.raises(TooFewObjects, match=f"k = {k} neighbours of 100 objects in tiny; expected k < 100"):
        plan("crossmodal", k=k)
    assert plan("crossmodal", k=99).pairs


def test_a_study_without_a_pair_is_refused(make_spec: SpecMaker) -> None:
    spec = make_spec()
    dataset: DatasetRef = spec.dataset
    model: ModelRef = spec.model
    for policy in ("crossmodal", "intramodal", "all"):
        with pytest.raises(BadStudy, match="leave no pair"):
            expand([(dataset, [spec.modality])], [model], [policy], Scoring(), created_at="now")


def test_what_is_asked_for_twice_is_in_the_study_once(make_spec: SpecMaker) -> None:
    spec = make_spec()
    seen = (spec.dataset, [spec.modality, spec.modality.model_copy(update={"name": "jwst"})])
    once, twice = (
        expand([seen] * times, [spec.model] * times, ["crossmodal"], Scoring(), created_at="now") for times in (1, 2)
    )
    assert twice == once


def test_an_embedding_that_no_pair_compares_is_not_made(make_spec: SpecMaker) -> None:
    spec = make_spec()
    alone = (spec.dataset.model_copy(update={"name": "alone"}), [spec.modality])
    both = (spec.dataset, [spec.modality, spec.modality.model_copy(update={"name": "jwst"})])
    study = expand([alone, both], [spec.model], ["crossmodal"], Scoring(), created_at="now")
    assert [made.dataset.name for made in study.embeddings] == [spec.dataset.name] * 2
    assert study.pairs == ((0, 1),)


def test_a_modality_named_that_no_model_takes_is_refused(make_spec: SpecMaker) -> None:
    spec = make_spec()
    desi = Modality(name="desi", kind="spectrum", column="spectrum", recipe="spectrum-v1")
    refuse_unseen("tiny", [spec.modality], [spec.model])
    with pytest.raises(BadStudy, match="no model of the study takes desi of tiny"):
        refuse_unseen("tiny", [spec.modality, desi], [spec.model])


def _many(spec: EmbeddingSpec, modalities: int) -> list[Modality]:
    return [spec.modality.model_copy(update={"name": f"m{number}"}) for number in range(modalities)]


def test_a_study_of_ten_thousand_pairs_is_taken_and_a_larger_one_refused(make_spec: SpecMaker) -> None:
    spec = make_spec()

    def plan_all(modalities: int) -> Study:
        return expand([(spec.dataset, _many(spec, modalities))], [spec.model], ["all"], Scoring(), created_at="now")

    assert len(plan_all(142).pairs) == 142 * 141 // 2
    assert 316 * 315 // 2 <= MOST_PAIRS < 317 * 316 // 2
    assert len(plan_all(316).pairs) == 316 * 315 // 2
    with pytest.raises(BadStudy, match=r"a study of 50,086 pairs; expected at most 50,000 pairs"):
        plan_all(317)


def test_more_embeddings_than_a_study_may_have_are_refused_before_they_are_built(make_spec: SpecMaker) -> None:
    spec = make_spec()
    modalities = _many(spec, MOST_EMBEDDINGS // 1000)
    datasets = [(spec.dataset, modalities)]
    with pytest.raises(BadStudy, match=r"a study of 10,010 embeddings; expected at most 10,000 embeddings"):
        expand(datasets, [spec.model] * 1001, ["crossmodal"], Scoring(), created_at="now")


def test_layers_are_compared_each_with_each_over_modalities_and_leave_the_size_steps_alone(plan: Plan) -> None:
    layers = {"vit-base": ("block-03", "final")}
    study = plan("crossmodal", "intramodal", sizes=("small", "base"), layers=layers)
    assert sum(spec.layer == "block-03" for spec in study.embeddings) == 2
    vit = {label for label in _labels(study) if "vit" in label}
    assert vit == {f"hsc/vit-base{a}|jwst/vit-base{b}" for a in ("", "/block-03") for b in ("", "/block-03")}
    assert {label for label in _labels(study) if "dinov2-base|hsc" in label} == {"hsc/dinov2-base|hsc/dinov2-small"}


def test_embeddings_that_differ_in_the_layer_alone_are_of_one_pass(plan: Plan) -> None:
    layers = {"vit-base": ("block-03", "block-07", "final"), "dinov2-base": ("block-00", "final")}
    study = plan("crossmodal", sizes=("small", "base"), layers=layers)
    found = [[spec.label.removeprefix("tiny/") for spec in together] for together in study.passes]
    assert found == [
        [f"{modality}/{model}{'' if layer == 'final' else f'/{layer}'}" for layer in layers.get(model, ["final"])]
        for modality in ("hsc", "jwst")
        for model in ("dinov2-small", "dinov2-base", "vit-base")
    ]
    assert sum(map(len, study.passes)) == len(study.embeddings)


def test_what_is_cut_or_lies_otherwise_is_of_no_common_pass(make_spec: SpecMaker) -> None:
    base = make_spec()
    others = [
        make_spec(layer="block-00", dtype="bfloat16"),
        make_spec(layer="block-00", model__part_rows=20),
        make_spec(layer="block-00", dataset__location="1"),
        make_spec(layer="block-00", modality__name="jwst"),
    ]
    same = make_spec(layer="block-00")
    study = Study(created_at="now", embeddings=(base, *others, same, base), pairs=(), scoring=Scoring())
    assert study.passes == ((base, same), *((other,) for other in others))


SPECTRUM = Modality(name="desi", kind="spectrum", column="spectrum", recipe="spectrum-v1")


@pytest.fixture
def cross(make_spec: SpecMaker) -> Plan:
    """Plan a study of two models of images on hsc and jwst, of two of spectra on desi, and of a label."""

    def make(*policies: PairPolicy, layers: dict[str, tuple[str, ...]] | None = None, label: bool = True) -> Study:
        spec = make_spec()
        images = [spec.model.model_copy(update={"name": name, "family": name}) for name in ("vit", "dino")]
        spectra = [
            spec.model.model_copy(update={"name": name, "family": name, "takes": "spectrum"})
            for name in ("specformer", "lines")
        ]
        seen = [*_many(spec, 2), SPECTRUM, *([_label("redshift")] if label else [])]
        models = [*images, *spectra, LABEL_MODEL]
        return expand([(spec.dataset, seen)], models, policies, Scoring(), created_at="now", layers=layers)

    return make


def test_crosskind_is_every_model_of_one_kind_with_every_one_of_the_other(cross: Plan) -> None:
    study = cross("crosskind")
    assert _labels(study) == {
        f"desi/{spectrum}|{image}/{model}"
        for image in ("m0", "m1")
        for model in ("vit", "dino")
        for spectrum in ("specformer", "lines")
    }
    assert len(study.pairs) == len(set(study.pairs)) == 8
    assert {score.pair.kind for score in study.scores()} == {"crosskind"}
    assert study == cross("crosskind", label=False)


def test_crosskind_is_of_final_layers_only(cross: Plan) -> None:
    layers = {"vit": ("block-00", "final"), "specformer": ("block-01", "final"), "lines": ("block-01",)}
    study = cross("crosskind", layers=layers)
    assert {spec.layer for spec in study.embeddings} == {"final"}
    assert len(study.pairs) == 4  # of lines only a block is asked for
    both = cross("crosskind", "crossmodal", layers=layers)
    assert {score.pair.label for score in study.scores()} < {score.pair.label for score in both.scores()}
    assert sum(score.pair.kind == "crosskind" for score in both.scores()) == 4


def test_crosskind_stays_within_its_dataset_and_pairs_no_label(make_spec: SpecMaker) -> None:
    spectrum: dict[str, object] = {"modality__name": "desi", "modality__kind": "spectrum", "modality__bands": ()}
    label: dict[str, object] = {"modality__kind": "label", "modality__column": "z", "modality__bands": ()}
    specs = [
        make_spec(dataset__name="one", **label),
        make_spec(dataset__name="one"),
        make_spec(dataset__name="two", **spectrum),
        make_spec(dataset__name="one", **spectrum),
        make_spec(dataset__name="two", modality__name="redshift", **label),
    ]
    assert choose_pairs(specs, ["crosskind"]) == [(1, 3)]
    assert choose_pairs(specs, ["crosskind", "probes"]) == [(0, 1), (0, 3), (1, 3), (2, 4)]


def test_a_study_of_one_kind_has_nothing_across(plan: Plan, cross: Plan) -> None:
    with pytest.raises(BadStudy, match="the policies crosskind leave no pair"):
        plan("crosskind")
    everything = cross("all", "crosskind")
    assert _labels(everything) == _labels(cross("all")) > _labels(cross("crosskind"))


LABEL_MODEL = ModelRef(
    name="label",
    family="label",
    adapter="label",
    checkpoint="label",
    revision="1",
    pooling="value",
    takes="label",
    parameters=0,
)
PROBING: tuple[PairPolicy, ...] = ("crossmodal", "intramodal", "all", "probes")


def _label(name: str) -> Modality:
    return Modality(name=name, kind="label", column=name, recipe="label-v1")


@pytest.fixture
def probe(make_spec: SpecMaker) -> Plan:
    """Plan a study of two sizes of dinov2 on hsc and jwst, with two labels."""

    def make(
        *policies: PairPolicy,
        labels: tuple[str, ...] = ("redshift", "mass"),
        modalities: int = 2,
        dtype: Dtype = "float32",
    ) -> Study:
        spec = make_spec()
        models = [
            spec.model.model_copy(update={"name": f"dinov2-{size}", "family": "dinov2", "parameters": SIZES[size]})
            for size in ("small", "base")
        ]
        seen = [*_many(spec, modalities), *map(_label, labels)]
        return expand(
            [(spec.dataset, seen)], [*models, LABEL_MODEL], policies, Scoring(), created_at="now", dtype=dtype
        )

    return make


def test_networks_compute_in_the_bits_asked_for_and_what_is_given_keeps_its_own(probe: Plan) -> None:
    study = probe("crossmodal", "probes", dtype="bfloat16")
    assert {spec.modality.kind: spec.dtype for spec in study.embeddings} == {"image": "bfloat16", "label": "float32"}
    plain = probe("crossmodal", "probes")
    labels, ours = ({s.digest for s in one.embeddings if s.modality.kind == "label"} for one in (plain, study))
    assert labels == ours, "a label is stored once, whatever networks compute in"
    assert study.id != plain.id


def test_probes_are_of_every_embedding_and_every_label(probe: Plan) -> None:
    study = probe("probes")
    assert _labels(study) == {
        f"{a}|{b}"
        for embedding in ("m0/dinov2-small", "m0/dinov2-base", "m1/dinov2-small", "m1/dinov2-base")
        for a, b in [sorted((embedding, f"{label}/label")) for label in ("redshift", "mass")]
    }
    assert {score.pair.kind for score in study.scores()} == {"probe"}
    assert all(score.scoring.metrics == study.scoring.probes for score in study.scores())
    assert sum(spec.modality.kind == "label" for spec in study.embeddings) == 2


@pytest.mark.parametrize("policy", ["crossmodal", "intramodal", "all"])
def test_labels_are_in_a_study_for_probes_alone(probe: Plan, policy: PairPolicy) -> None:
    without = probe(policy, labels=())
    assert probe(policy) == without
    both = probe(policy, "probes")
    pairs = {score.pair.label for score in both.scores() if score.pair.kind != "probe"}
    assert pairs == {score.pair.label for score in without.scores()}
    assert len(both.pairs) == len(without.pairs) + 8


def test_no_policy_pairs_two_labels(probe: Plan) -> None:
    for score in probe(*PROBING).scores():
        sides = [score.pair.left.modality.kind, score.pair.right.modality.kind]
        assert sides.count("label") <= 1


def test_probes_stay_within_their_dataset(make_spec: SpecMaker) -> None:
    labels: dict[str, object] = {"modality__kind": "label", "modality__column": "z", "modality__bands": ()}
    specs = [
        make_spec(dataset__name="one", **labels),
        make_spec(dataset__name="one"),
        make_spec(dataset__name="two"),
        make_spec(dataset__name="three", **labels),
        make_spec(dataset__name="two", modality__name="redshift", **labels),
    ]
    assert choose_pairs(specs, ["probes"]) == [(0, 1), (2, 4)]


def test_probes_without_a_label_are_refused(make_spec: SpecMaker, probe: Plan) -> None:
    with pytest.raises(BadStudy, match=r"no label to hold embeddings against: none is known of tiny; .*give `labels`"):
        probe("crossmodal", "probes", labels=())
    spec = make_spec()
    known = (spec.dataset, [spec.modality, _label("redshift")])
    unknown = (spec.dataset.model_copy(update={"name": "bare"}), [spec.modality])
    study = expand([unknown, known], [spec.model, LABEL_MODEL], ["probes"], Scoring(), created_at="now")
    assert [made.dataset.name for made in study.embeddings] == ["tiny", "tiny"]
    with pytest.raises(BadStudy, match="leave no pair to compare"):
        expand([(spec.dataset, [_label("redshift")])], [spec.model, LABEL_MODEL], ["probes"], Scoring(), created_at="n")


def test_a_study_of_more_probes_than_pairs_may_be_is_refused(make_spec: SpecMaker) -> None:
    spec = make_spec()
    labels = [_label(f"l{number}") for number in range(51)]
    seen = [(spec.dataset, [*_many(spec, 1000), *labels])]
    with pytest.raises(BadStudy, match=r"a study of 51,000 pairs; expected at most 50,000"):
        expand(seen, [spec.model, LABEL_MODEL], ["probes"], Scoring(), created_at="now")
    fewer = [(spec.dataset, [*_many(spec, 1000), *labels[:50]])]
    assert len(expand(fewer, [spec.model, LABEL_MODEL], ["probes"], Scoring(), created_at="now").pairs) == MOST_PAIRS


def test_a_label_needs_no_model_of_the_study(make_spec: SpecMaker) -> None:
    refuse_unseen("tiny", [make_spec().modality, _label("redshift")], [make_spec().model])


def test_a_model_that_takes_nothing_of_the_study_is_refused(make_spec: SpecMaker) -> None:
    spec = make_spec()
    text = spec.model.model_copy(update={"name": "minilm", "takes": "text"})
    refuse_idle([spec.model], [(spec.dataset, [spec.modality])])
    with pytest.raises(BadStudy, match="minilm takes no modality of the study: it takes text data, and there is image"):
        refuse_idle([spec.model, text], [(spec.dataset, [spec.modality])])
