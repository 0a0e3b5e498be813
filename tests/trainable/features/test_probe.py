"""A linear classifier on what a frozen network makes of images."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tests.helpers.label_sets import write_table
from trainable.augment.views import Views
from trainable.config import (
    DataConfig,
    ModelConfig,
    ObjectiveConfig,
    TrainConfig,
    TrialConfig,
)
from trainable.data.datasets import Dataset, Split, load_dataset
from trainable.device import Precision, resolve_device
from trainable.features import probe as module
from trainable.features.linear import fitted
from trainable.features.probe import linear_head, probe
from trainable.finetuner import FineTuner
from trainable.runtime import Runtime
from trainable.store.arrays import ArrayStore

CONFIG = TrialConfig(data=DataConfig(image_size=16, limit=300))


@pytest.fixture
def runtime(tmp_path: Path) -> Runtime:
    return Runtime(threads=1, use_gpu=False, cache_root=str(tmp_path), cache_bytes=10**9)


@pytest.mark.slow
def test_it_says_how_well_the_features_tell_the_classes_apart(runtime: Runtime) -> None:
    found = probe(CONFIG, runtime)
    assert found.accuracy > 0.6
    assert found.trained + found.tested == 300
    assert found.seconds > 0
    assert probe(CONFIG, Runtime(threads=1, use_gpu=False)).accuracy == found.accuracy


def test_a_trial_of_the_head_alone_finds_its_features_in_the_store(
    runtime: Runtime, tmp_path: Path
) -> None:
    probe(CONFIG, runtime)
    before = {entry.folder for entry in ArrayStore(tmp_path).entries()}
    assert len(before) == 2
    head = CONFIG.model_copy(update={"model": ModelConfig(unfreeze_depth=0)})
    FineTuner.on(runtime, head).train_epoch()
    assert {entry.folder for entry in ArrayStore(tmp_path).entries()} == before


def test_of_many_images_some_are_looked_at_and_nothing_is_stored(
    runtime: Runtime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST", {"train": 50, "val": 20})
    found = probe(CONFIG, runtime)
    assert (found.trained, found.tested) == (50, 20)
    assert ArrayStore(tmp_path).entries() == []
    assert probe(CONFIG, runtime).accuracy == found.accuracy


@pytest.mark.slow
def test_of_a_fold_it_is_fitted_to_the_folds_training_images_alone(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = CONFIG.model_copy(update={"data": CONFIG.data.model_copy(update={"fold": "1/3"})})
    dataset = load_dataset(config.data)
    taken = []

    def part_of(views: Views, places: NDArray[np.int64]) -> Views:
        taken.append(views.images[places])
        return replace(views, images=taken[-1])

    monkeypatch.setattr(module, "_part_of", part_of)
    found = probe(config, runtime)
    assert (found.trained, found.tested) == (len(dataset.train), len(dataset.val))
    assert torch.equal(taken[0], dataset.train.images)
    assert torch.equal(taken[1], dataset.val.images)


def of_two_classes(dataset: Dataset) -> Dataset:
    def part(split: Split) -> Split:
        kept = split.labels < 2
        return replace(split, images=split.images[kept], labels=split.labels[kept])

    parts = {name: part(dataset.split(name)) for name in ("train", "val", "test")}
    return replace(dataset, classes=dataset.classes[:2], fingerprint="two", **parts)


# In bfloat16 the network rounds weights, bias and answer to eight bits each.
@pytest.mark.parametrize(
    ("precision", "most", "mean"),
    [("fp32", 1e-4, 1e-5), pytest.param("bf16", 0.1, 0.01, marks=pytest.mark.slow)],
)
@pytest.mark.parametrize("classes", [10, 2])
def test_a_head_can_start_as_the_classifier(
    tmp_path: Path, classes: int, precision: Precision, most: float, mean: float
) -> None:
    """Before any training, the network answers as the classifier that was fitted to features."""
    dataset = load_dataset(CONFIG.data)
    if classes == 2:
        dataset = of_two_classes(dataset)
    model = CONFIG.model.model_copy(update={"head": "probe", "unfreeze_depth": 1})
    store, device = ArrayStore(tmp_path), resolve_device(precision)
    config = CONFIG.model_copy(update={"model": model})
    tuner = FineTuner(config, device, store, dataset=dataset)
    features = module._Features(CONFIG, dataset, device, store)
    classifier = fitted(*features.of("train"))
    inputs, labels = features.of("val")
    found = tuner.evaluate("val").logits.softmax(1)
    expected = torch.from_numpy(classifier.predict_proba(inputs)).float()
    assert found.shape == (len(labels), classes)
    wrong = (found - expected).abs()
    assert wrong.max() < most
    assert wrong.mean() < mean
    assert (found.argmax(1) == expected.argmax(1)).float().mean() > 0.95
    assert (expected.argmax(1).numpy() == labels).mean() > 0.6


def test_a_class_without_an_image_to_learn_is_never_the_answer(runtime: Runtime) -> None:
    dataset = load_dataset(CONFIG.data)
    kept = torch.nonzero(dataset.train.labels != 3).squeeze(1)
    part = replace(
        dataset.train, images=dataset.train.images[kept], labels=dataset.train.labels[kept]
    )
    device = resolve_device("fp32")
    weight, bias = linear_head(CONFIG, replace(dataset, train=part), device, None)
    inputs, _ = module._Features(CONFIG, dataset, device, None).of("val")
    assert 3 not in (torch.from_numpy(inputs) @ weight.T + bias).argmax(1)


@pytest.mark.slow
@pytest.mark.parametrize("own", [False, True])
def test_images_count_in_the_head_as_they_do_in_training(tmp_path: Path, own: bool) -> None:
    """By the classes' weights as by the images' own, a class of few images is answered more."""
    dataset, device = load_dataset(CONFIG.data), resolve_device("fp32")
    labels = dataset.train.labels.numpy()
    few = np.flatnonzero((labels > 0) | (np.cumsum(labels == 0) <= 3))
    train = dataset.train.at(few)
    dataset, store = replace(dataset, train=train, fingerprint="few"), ArrayStore(tmp_path)
    by_class = TrainConfig(class_weights="none" if own else "balanced")
    weights = np.where(train.labels.numpy() == 0, 8.0, 1.0)
    heavy = replace(dataset, train=replace(train, weights=weights) if own else train)
    heads = [
        linear_head(CONFIG, dataset, device, store),
        linear_head(CONFIG.model_copy(update={"train": by_class}), heavy, device, store),
    ]
    inputs, truth = module._Features(CONFIG, dataset, device, store).of("train")
    scores = [(torch.from_numpy(inputs) @ weight.T + bias).softmax(1) for weight, bias in heads]
    plain, weighted = (each[torch.from_numpy(truth) == 0, 0].mean() for each in scores)
    assert weighted > plain + 0.02


def test_weights_that_lack_a_layer_have_no_features(tmp_path: Path) -> None:
    state = torchvision.models.resnet18().state_dict()
    file = tmp_path / "part.pt"
    torch.save({k: v for k, v in state.items() if not k.startswith(("layer4", "fc"))}, file)
    model = ModelConfig(weights=(str(file),), head="probe")
    with pytest.raises(ValueError, match=r"model\.head=probe.*complete weights"):
        FineTuner(CONFIG.model_copy(update={"model": model}))


@pytest.fixture(scope="module")
def of_labels(tmp_path_factory: pytest.TempPathFactory) -> TrialConfig:
    root = write_table(tmp_path_factory.mktemp("table"), 240)
    data = DataConfig(source="table", root=root, image_size=16, labels="several")
    return TrialConfig(data=data, objective=ObjectiveConfig(metric="val_map"))


@pytest.fixture(scope="module")
def labelled(of_labels: TrialConfig) -> Dataset:
    return load_dataset(of_labels.data)


class TestSeveral:
    """Of any number of labels an image."""

    @pytest.mark.parametrize("precision", ["fp32", pytest.param("bf16", marks=pytest.mark.slow)])
    def test_a_head_starts_better_than_one_of_random_weights(
        self, of_labels: TrialConfig, labelled: Dataset, precision: Precision
    ) -> None:
        device, found = resolve_device(precision), {}
        for head in ("random", "probe"):
            model = ModelConfig.model_validate({"head": head, "unfreeze_depth": 1})
            started = of_labels.model_copy(update={"model": model})
            found[head] = FineTuner(started, device, dataset=labelled).evaluate("val")
        probed, random = found["probe"], found["random"]
        assert probed.mean_average_precision > max(0.75, random.mean_average_precision + 0.1)
        assert probed.micro_f1 > 0.6
        assert probed.loss < random.loss

    @pytest.mark.parametrize(
        ("precision", "most", "mean"), [("fp32", 1e-4, 1e-5), ("bf16", 0.1, 0.01)]
    )
    @pytest.mark.slow
    def test_it_answers_as_the_classifiers_that_were_fitted_to_features(
        self,
        of_labels: TrialConfig,
        labelled: Dataset,
        precision: Precision,
        most: float,
        mean: float,
    ) -> None:
        model = ModelConfig(head="probe", unfreeze_depth=1)
        device = resolve_device(precision)
        tuner = FineTuner(of_labels.model_copy(update={"model": model}), device, dataset=labelled)
        features = module._Features(of_labels, labelled, device, None)
        (inputs, _), (tested, _) = features.of("train"), features.of("val")
        each = LogisticRegression(C=0.1, max_iter=200)
        classifier = make_pipeline(StandardScaler(), OneVsRestClassifier(each))
        expected = classifier.fit(inputs, labelled.train.targets).predict_proba(tested)
        wrong = np.abs(tuner.evaluate("val").probabilities - expected)
        assert wrong.max() < most
        assert wrong.mean() < mean

    @pytest.mark.slow
    def test_labels_count_as_they_do_in_training(
        self, of_labels: TrialConfig, labelled: Dataset
    ) -> None:
        device = resolve_device("fp32")
        balanced = of_labels.model_copy(update={"train": TrainConfig(class_weights="balanced")})
        inputs, _ = module._Features(of_labels, labelled, device, None).of("val")
        rare = int(labelled.train.targets.sum(0).argmin())
        plain, weighted = (
            torch.from_numpy(inputs) @ weight.T + bias
            for weight, bias in (
                linear_head(c, labelled, device, None) for c in (of_labels, balanced)
            )
        )
        assert (weighted[:, rare] > plain[:, rare]).float().mean() > 0.9

    @pytest.mark.slow
    def test_of_many_images_the_labels_are_those_of_the_ones_looked_at(
        self, of_labels: TrialConfig, labelled: Dataset, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "MOST", {"train": 90, "val": 20})
        model = ModelConfig(head="probe", unfreeze_depth=0)
        tuner = FineTuner(of_labels.model_copy(update={"model": model}), dataset=labelled)
        assert tuner.evaluate("val").mean_average_precision > 0.7
