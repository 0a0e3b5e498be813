from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from sklearn.metrics import balanced_accuracy_score, f1_score, roc_auc_score, top_k_accuracy_score

from tests.helpers.plugins import use_plugin
from trainable.config import ObjectiveConfig, TrialConfig
from trainable.config.costs import cost_rows
from trainable.device import Device
from trainable.finetuner import FineTuner
from trainable.judging.metrics import EPOCH_METRICS, validation_metric
from trainable.judging.objective import Objective
from trainable.judging.predictions import Predictions

EPOCHS = ({"val_acc": 0.9, "val_loss": 0.5}, {"val_acc": 0.8, "val_loss": 0.3})


@pytest.mark.parametrize(("name", "better"), [("val_acc", 0), ("val_loss", 1)])
def test_better_is_more_of_what_is_maximized_and_less_of_what_is_minimized(
    name: str, better: int
) -> None:
    objective = Objective.named(name)
    assert max(EPOCHS, key=objective.rank) is EPOCHS[better]
    sure = Predictions(torch.tensor([[9.0, 0.0], [0.0, 9.0]]), torch.tensor([0, 1]))
    unsure = Predictions(torch.tensor([[0.1, 0.0], [0.0, 0.1]]), torch.tensor([0, 1]))
    wrong = Predictions(torch.tensor([[0.0, 9.0], [9.0, 0.0]]), torch.tensor([0, 1]))
    ranked = sorted((wrong, sure, unsure), key=objective.rank_of)
    assert [id(each) for each in ranked] == [id(wrong), id(unsure), id(sure)]


def test_among_equals_the_lower_loss_is_better() -> None:
    rank = Objective.named("val_acc").rank
    assert rank({"val_acc": 0.9, "val_loss": 0.4}) > rank({"val_acc": 0.9, "val_loss": 0.5})


def test_it_is_called_by_its_split_and_shown_as_what_it_is() -> None:
    accuracy, loss = Objective.named("val_acc"), Objective.named("val_loss")
    assert (accuracy.on("test"), accuracy.title("test")) == ("test_acc", "test accuracy")
    assert (accuracy.show(0.97222), loss.show(0.123456)) == ("97.22%", "0.1235")
    assert accuracy.show(None) == "-"


def test_a_metric_that_is_no_validation_metric_is_refused() -> None:
    with pytest.raises(ValueError, match="test_acc: a name starts with val_"):
        validation_metric("test_acc", "accuracy", "maximize")


def test_another_metric_needs_one_function_and_nothing_else(
    tiny: Callable[..., TrialConfig], device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The seam: registered outside, named in a config, reported by each epoch."""
    use_plugin("tests.helpers.plugins.kappa", monkeypatch)
    plain = FineTuner(tiny(), device).train_epoch()
    tuner = FineTuner(tiny(objective={"metric": "val_kappa"}), device)
    epoch = tuner.train_epoch()
    assert tuple(plain) == EPOCH_METRICS
    assert set(epoch) == {*EPOCH_METRICS, "val_kappa"}
    predictions = tuner.evaluate("val")
    chance = predictions.confusion().sum(0) @ predictions.confusion().sum(1)
    by_chance = chance / len(predictions.labels) ** 2
    assert epoch["val_kappa"] == pytest.approx((epoch["val_acc"] - by_chance) / (1 - by_chance))
    for name in ("train_loss", "train_acc", "val_loss", "val_acc"):
        assert epoch[name] == plain[name], "the objective changes no other metric"


BUILT_IN = ("val_balanced_acc", "val_macro_f1", "val_auroc", "val_top5_acc", "val_cost")
COSTS = {"3": {"8": 20}, "8": {"3": 5}}


def test_what_is_asked_for_is_reported_by_every_epoch_beside_the_objective(
    tiny: Callable[..., TrialConfig], device: Device
) -> None:
    objective = {"metric": "val_macro_f1", "also": BUILT_IN, "costs": COSTS}
    tuner = FineTuner(tiny(objective=objective), device)
    epoch = tuner.train_epoch()
    assert set(epoch) == {*EPOCH_METRICS, *BUILT_IN}
    assert set(tuner.objective.epoch_metrics) == set(epoch)
    found = tuner.evaluate("val")
    labels, answers = found.labels, found.logits.argmax(1)
    scores = found.logits.double().softmax(1)
    costs = np.ones((10, 10)) - np.eye(10)
    costs[3, 8], costs[8, 3] = 20, 5
    assert epoch["val_balanced_acc"] == pytest.approx(balanced_accuracy_score(labels, answers))
    assert epoch["val_macro_f1"] == pytest.approx(f1_score(labels, answers, average="macro"))
    assert epoch["val_auroc"] == pytest.approx(
        roc_auc_score(labels, scores, multi_class="ovr", average="macro")
    )
    assert epoch["val_top5_acc"] == pytest.approx(top_k_accuracy_score(labels, scores, k=5))
    assert epoch["val_cost"] == pytest.approx(costs[labels, answers].mean())


@pytest.mark.parametrize("name", [*BUILT_IN, "val_acc", "val_loss"])
def test_a_model_that_knows_better_is_better_by_every_metric(name: str) -> None:
    classes = [str(number) for number in range(10)]
    costs = COSTS if name == "val_cost" else None
    objective = Objective.of(
        ObjectiveConfig.model_validate({"metric": name, "costs": costs}), classes
    )
    draw = torch.Generator().manual_seed(0)
    labels = torch.randint(10, (300,), generator=draw)
    noise = torch.randn(300, 10, generator=draw)
    truth = torch.nn.functional.one_hot(labels, 10)
    good, poor = (Predictions(noise + lead * truth, labels) for lead in (3.0, 1.0))
    assert objective.rank_of(good) > objective.rank_of(poor)
    value = objective.metric.of(good)
    assert objective.signed(value) > objective.signed(objective.metric.of(poor))
    assert objective.measured(good) == {name: value}


@pytest.mark.parametrize(
    ("config", "classes", "told"),
    [
        ({"metric": "val_top5_acc"}, 5, "val_top5_acc is always 1 with 5 classes"),
        ({"metric": "val_auroc"}, 1, "needs two classes at least"),
        (
            {"metric": "val_cost", "costs": {"nevsu": {"0": 2}}},
            10,
            "objective.costs: there is no class nevsu among the 10",
        ),
        (
            {"also": "val_cost", "costs": {"3": {"33": 2}}},
            10,
            "no class 33 among the 10; nearest: 3",
        ),
    ],
)
def test_what_classes_do_not_allow_is_said_before_training(
    config: dict[str, Any], classes: int, told: str
) -> None:
    names = [str(number) for number in range(classes)]
    with pytest.raises(ValueError, match=told):
        Objective.of(ObjectiveConfig.model_validate(config), names)


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"metric": "val_cost"}, "objective.metric=val_cost needs objective.costs"),
        ({"costs": COSTS}, "objective.costs means nothing with objective.metric=val_acc"),
        ({"metric": "val_cost", "costs": {"a": 3}}, "a must hold answers and their costs"),
        ({"metric": "val_cost", "costs": {"a": {"b": -1}}}, "a taken for b costs -1.0: must be 0"),
        ({"metric": "val_cost", "costs": {"a": {"a": 1}}}, "a taken for a is right, and costs 0"),
        ({"metric": "val_cost", "costs": {}}, "must name a mistake"),
        ({"metric": "val_cost", "costs": {True: {"a": 1}}}, "write it in quotes"),
        ({"metric": "val_f1"}, r"nearest: val_m(ac|ic)ro_f1"),
    ],
)
def test_costs_that_are_none_are_refused(config: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        ObjectiveConfig.model_validate(config)


def test_costs_are_the_same_once_they_were_recorded() -> None:
    given = TrialConfig.model_validate(
        {"objective": {"metric": "val_cost", "costs": {3: {8: 20}, "8": {"3": 0.5}}}}
    )
    assert TrialConfig.recorded(given.model_dump_json()).objective == given.objective
    rows = cost_rows(given.objective.costs or (), ["3", "5", "8"])
    assert rows == [[0, 1, 20], [1, 0, 1], [0.5, 1, 0]]
